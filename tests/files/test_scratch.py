"""Scratch arrays: filled by one process, read by several, and gone afterwards."""

from __future__ import annotations

import gc
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


def test_values_are_appended_and_read_in_parts() -> None:
    scratch = Scratch("work")
    scratch.append("values", np.arange(3, dtype=np.float32))
    scratch.append("values", np.arange(3, 7, dtype=np.float32))
    np.testing.assert_array_equal(scratch.part("values", np.float32), np.arange(7))
    np.testing.assert_array_equal(scratch.part("values", np.float32, 2, 5), [2, 3, 4])
    assert not len(scratch.part("values", np.float32, 2, 2))
    scratch.drop("values")
    scratch.drop("values")
    assert scratch.part("values", np.float32).dtype == np.float32
    scratch.close()


def test_what_is_let_go_of_is_still_there() -> None:
    scratch, other = Scratch("work"), Scratch("work", owner=False)
    made = scratch.make("values", (5000,), np.int64)
    made[:] = np.arange(5000)
    scratch.release()
    read = other.read("values")
    assert read.sum() == made.sum() == 5000 * 4999 // 2
    other.release()
    np.testing.assert_array_equal(read, np.arange(5000))
    made[7] = -1
    scratch.release()
    assert made[7] == read[7] == -1
    scratch.close()


def test_a_forgotten_folder_is_removed(tmp_path: Path) -> None:
    Scratch("work").append("values", np.arange(3))
    gc.collect()
    assert not list(tmp_path.iterdir())
