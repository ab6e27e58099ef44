"""The list of models. No Qt, no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from napari_gest.errors import CheckpointError
from napari_gest.viewer import shelf
from napari_gest.viewer.shelf import ModelInfo, Shelf


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Shelf:
    monkeypatch.setattr(shelf, "BUNDLED", tmp_path / "bundled")
    monkeypatch.setattr(shelf, "TRAINED_HERE", tmp_path / "trained")
    return Shelf()


def test_models_are_found_by_where_they_lie(empty, tmp_path, write_model):
    assert empty.models == {}
    write_model(tmp_path / "bundled" / "mouse", "in the file", ["A", "B"])
    write_model(tmp_path / "trained" / "own", "my liver", ["A", "C"])
    (tmp_path / "trained" / "broken").mkdir()
    (tmp_path / "trained" / "broken" / "config.json").write_text("{")
    found = Shelf().models
    assert list(found) == ["mouse", "my liver"]
    assert found["mouse"].load_name == "mouse"
    assert found["my liver"].load_name == str(tmp_path / "trained" / "own")
    assert found["mouse"].target_sum == 250


def test_share_of_the_panel_and_best_model(empty, tmp_path, write_model):
    empty.add(write_model(tmp_path / "a", "half", ["A", "B", "C", "D"]))
    empty.add(write_model(tmp_path / "b", "all", ["A", "B"]))
    assert empty.models["half"].share_measured(["A", "B", "X"]) == 0.5
    assert empty.best_for(["A", "B", "X"]) == "all"
    assert empty.best_for(["X"]) is None


def test_same_name_elsewhere_gets_its_folder_in_the_name(empty, tmp_path, write_model):
    empty.add(write_model(tmp_path / "x" / "m", "m", ["A"]))
    info = empty.add(write_model(tmp_path / "y" / "m", "m", ["A"]))
    assert info.name == "m (y)"
    assert set(empty.models) == {"m", "m (y)"}


def test_a_folder_without_a_model_says_what_to_do(tmp_path):
    with pytest.raises(CheckpointError, match="napari-gest fit"):
        ModelInfo.read(tmp_path)


def test_listing_does_not_load_torch():
    code = (
        "import sys; from napari_gest.viewer.shelf import Shelf; Shelf()\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
