"""Files of tensors: shapes first, and no number that is not finite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from napari_gest.model.about import Damaged
from napari_gest.model.tensors import TensorFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    arrays = {
        "half": np.array([[1, 2], [3, 4]], np.float16),
        "whole": np.array([1, -2, 3], np.int32),
        "bad": np.array([0.0, np.nan], np.float32),
    }
    save_file(arrays, tmp_path / "x.safetensors")
    return tmp_path / "x.safetensors"


def test_numbers_are_read_in_full_precision(path: Path) -> None:
    with TensorFile(path) as file:
        assert file.shapes == {"half": (2, 2), "whole": (3,), "bad": (2,)}
        assert file.floats("half").tolist() == [[1, 2], [3, 4]]
        assert file.integers("whole", -5, 5).tolist() == [1, -2, 3]


def test_what_is_wrong_is_named(path: Path) -> None:
    with TensorFile(path) as file:
        with pytest.raises(Damaged, match="'bad' are NaN"):
            file.floats("bad")
        with pytest.raises(Damaged, match="'whole' falls to -2"):
            file.integers("whole", 0, 5)
        with pytest.raises(Damaged, match="'half' rises to 4"):
            file.floats("half", high=3)
        with pytest.raises(Damaged, match="no 'other'"):
            file.require_names(["half", "whole", "bad", "other"])
        with pytest.raises(Damaged, match="unknown tensor 'bad'"):
            file.require_names(["half", "whole"])
        with pytest.raises(Damaged, match="type F16"):
            file.require({"half": (2, 2), "whole": (3,), "bad": (2,)}, integers=("half",))


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="is missing"):
        TensorFile(tmp_path / "none.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(Damaged, match="cannot be read"):
        TensorFile(tmp_path / "x.safetensors")
