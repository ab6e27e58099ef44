"""The list of models. No Qt, no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from napari_gest.app import model_registry
from napari_gest.app.model_registry import ModelInfo, ModelRegistry
from napari_gest.errors import CheckpointError


@pytest.fixture
def empty(tmp_path, monkeypatch) -> ModelRegistry:
    monkeypatch.setattr(model_registry, "BUNDLED", tmp_path / "bundled")
    monkeypatch.setattr(model_registry, "TRAINED_HERE", tmp_path / "trained")
    return ModelRegistry()


def test_models_are_found_by_where_they_lie(empty, tmp_path, write_model):
    assert empty.models == {}
    write_model(tmp_path / "bundled" / "mouse", "in the file", ["A", "B"])
    write_model(tmp_path / "trained" / "own", "my liver", ["A", "C"])
    (tmp_path / "trained" / "broken").mkdir()
    (tmp_path / "trained" / "broken" / "config.json").write_text("{")
    (tmp_path / "trained" / ".being-written").mkdir()
    (tmp_path / "trained" / ".being-written" / "config.json").write_text("{")
    (tmp_path / "trained" / "notes").mkdir()
    found = ModelRegistry()
    assert list(found.models) == ["mouse", "my liver"]
    assert "vocabulary.safetensors is missing" in found.broken["broken"]
    found = found.models
    assert found["mouse"].load_name == "mouse"
    assert found["my liver"].load_name == str(tmp_path / "trained" / "own")
    assert found["mouse"].target_sum == 250


def test_a_folder_that_cannot_be_read_does_not_hide_the_others(
    empty, tmp_path, write_model, monkeypatch
):
    write_model(tmp_path / "bundled" / "mouse", "mouse", ["A"])
    locked = write_model(tmp_path / "trained" / "locked", "locked", ["A"])
    exists, is_file = Path.exists, Path.is_file

    def denied(real):
        def ask(path):
            if locked in path.parents:
                raise PermissionError(13, "Permission denied")
            return real(path)

        return ask

    monkeypatch.setattr(Path, "exists", denied(exists))
    monkeypatch.setattr(Path, "is_file", denied(is_file))
    found = ModelRegistry()
    assert list(found.models) == ["mouse"]
    assert "Permission denied" in found.broken["locked"]

    def unlisted(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", unlisted)
    found = ModelRegistry()
    assert found.models == {}
    assert set(found.broken) == {"bundled", "trained"}


def test_a_mended_folder_is_no_longer_broken(empty, tmp_path, write_model):
    folder = write_model(tmp_path / "trained" / "own", "own", ["A"])
    (folder / "weights.safetensors").unlink()
    found = ModelRegistry()
    assert list(found.broken) == ["own"]
    (folder / "weights.safetensors").touch()
    found.add(folder)
    assert found.broken == {}


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
        "import sys; from napari_gest.app.model_registry import ModelRegistry; ModelRegistry()\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_base_is_no_model_to_choose(empty, tmp_path, tiny_base, write_model):
    tiny_base.save(tmp_path / "trained" / "own base")
    write_model(tmp_path / "bundled" / "mouse", "mouse", ["A", "B"])
    found = ModelRegistry()
    assert list(found.models) == ["mouse"]
    assert list(found.bases) == ["tiny-base"]
    assert found.bases["tiny-base"].is_base
    assert not found.models["mouse"].is_base
    assert found.best_for(["C"]) is None
    assert found.load("tiny-base").digest == tiny_base.digest
    assert found.why_unusable("tiny-base", ["A"]) is not None
    assert found.broken == {}


def test_a_broken_base_is_named(empty, tmp_path, tiny_base):
    folder = tiny_base.save(tmp_path / "trained" / "own")
    (folder / "weights.safetensors").unlink()
    assert "weights.safetensors is missing" in ModelRegistry().broken["own"]
