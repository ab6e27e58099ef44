"""Training cells: a model knows which cells it has seen, and nothing else of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from napari_gest.model.about import TRAINING_CELLS, Damaged
from napari_gest.model.training_cells import TrainingCells

CELLS = TrainingCells(
    np.array([7, 3, 4_000_000_000, 3], np.uint32), np.array([11, 2**31], np.uint32)
)


def test_they_are_read_as_they_were_written(tmp_path: Path) -> None:
    CELLS.write(tmp_path)
    read = TrainingCells.read(tmp_path)
    assert read is not None
    assert sorted(read.trained) == [3, 7, 4_000_000_000]
    assert sorted(read.selecting) == [11, 2**31]
    assert read.trained.dtype == np.uint32
    asked = np.array([3, 5, 11, 2**31, 4_000_000_000], np.uint32)
    assert read.seen(asked).tolist() == [True, False, True, True, True]


def test_a_model_of_before_has_none(tmp_path: Path) -> None:
    assert TrainingCells.read(tmp_path) is None
    assert CELLS.joined(None) is CELLS


def test_training_on_adds_to_what_was_seen() -> None:
    both = CELLS.joined(TrainingCells(np.array([5], np.uint32), np.array([6], np.uint32)))
    assert both.seen(np.array([3, 5, 6, 11, 8], np.uint32)).tolist() == [True] * 4 + [False]


@pytest.mark.parametrize(
    "arrays",
    [
        {"trained": np.zeros(3, np.int32)},
        {"trained": np.zeros(3, np.float32), "selecting": np.zeros(3, np.int32)},
        {"trained": np.zeros((3, 2), np.int32), "selecting": np.zeros(3, np.int32)},
    ],
)
def test_other_tensors_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    save_file(arrays, tmp_path / TRAINING_CELLS)
    with pytest.raises(Damaged, match=TRAINING_CELLS):
        TrainingCells.read(tmp_path)
