"""The child that tries HDF5 files: one for many files, and started again when it is gone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import h5py
import pytest

from napari_gest.errors import InputError
from napari_gest.tissue.probe import Probe


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = [1, 2, 3]
    return tmp_path / "a.h5"


@pytest.fixture
def probe():
    found = Probe()
    yield found
    found.close()


def test_one_child_tries_many_files(probe: Probe, file: Path) -> None:
    probe.ask(file).wait()
    assert probe._process is not None
    first = probe._process.pid
    for _ in range(3):
        probe.ask(file).wait()
    assert probe._process.pid == first


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="there are no such signals here")
def test_a_child_that_ends_refuses_the_file_and_the_next_gets_another(
    probe: Probe, file: Path
) -> None:
    probe.ask(file).wait()
    assert probe._process is not None
    first = probe._process.pid
    os.kill(first, signal.SIGSTOP)  # so that it cannot answer before it is killed
    question = probe.ask(file)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(InputError, match="HDF5"):
        question.wait()
    probe.ask(file).wait()
    assert probe._process is not None
    assert probe._process.pid != first


def test_a_file_that_is_no_hdf5_is_left_to_the_reader(probe: Probe, tmp_path: Path) -> None:
    (tmp_path / "b.h5").write_bytes(b"no")
    probe.ask(tmp_path / "b.h5").wait()
