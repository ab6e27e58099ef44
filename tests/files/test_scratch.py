"""Scratch arrays: filled by one process, read by several, and gone afterwards."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import numpy as np
import pytest

from napari_gest.files.scratch import Scratch


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_arrays_are_read_as_they_were_filled_and_cannot_be_changed() -> None:
    scratch, other = Scratch("work"), Scratch("work", owner=False)
    made = scratch.make("values", (5, 3), np.float32)
    made[:] = np.arange(15, dtype=np.float32).reshape(5, 3)
    made.flush()
    for one in (scratch, other):
        read = one.read("values")
        np.testing.assert_array_equal(read, np.arange(15).reshape(5, 3))
        assert read.dtype == np.float32
        with pytest.raises(ValueError, match="read-only"):
            read[0, 0] = 1.0
    assert isinstance(other.read("values").base, np.memmap)
    if hasattr(stat, "S_IRWXU") and not scratch.folder.drive:
        assert stat.S_IMODE(scratch.folder.stat().st_mode) == 0o700


def test_only_the_owner_removes_it(tmp_path: Path) -> None:
    scratch, other = Scratch("work"), Scratch("work", owner=False)
    scratch.make("values", (2,), np.int64).flush()
    other.close()
    assert (tmp_path / "napari-gest-work" / "values.npy").exists()
    scratch.close()
    assert not list(tmp_path.iterdir())
    scratch.close()


def test_a_name_is_taken_once() -> None:
    first = Scratch("work")
    with pytest.raises(FileExistsError):
        Scratch("work")
    first.close()
