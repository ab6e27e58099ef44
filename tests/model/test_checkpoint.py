"""Model folders: whole or not at all, and damage is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save as pack_arrays

from napari_gest.errors import CheckpointError, InputError
from napari_gest.files import leftovers
from napari_gest.files.leftovers import beside
from napari_gest.model import checkpoint
from napari_gest.model.gest import GeST, bundled_models
from napari_gest.model.head import LabelHead


def test_a_folder_is_not_overwritten_silently(tiny_model: GeST, tmp_path: Path) -> None:
    tiny_model.save(tmp_path / "model")
    with pytest.raises(InputError, match="exists"):
        tiny_model.save(tmp_path / "model")
    tiny_model.save(tmp_path / "model", overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_full_disk_leaves_the_old_model(
    tiny_model: GeST, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_model.save(tmp_path / "model")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "pack_tensors", full)
    with pytest.raises(CheckpointError, match="is full"):
        tiny_model.save(tmp_path / "model", overwrite=True)
    GeST.load(tmp_path / "model")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_only_a_model_folder_is_replaced(tiny_model: GeST, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    # What other programs call a model.
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"architectures": ["Bert"]}')
    (tmp_path / "tissue.h5ad").touch()
    for name in ("photos", "bert", "tissue.h5ad"):
        with pytest.raises(InputError, match="a model folder does not replace it"):
            tiny_model.save(tmp_path / name, overwrite=True)
    assert (tmp_path / "photos" / "cat.jpg").exists()
    assert (tmp_path / "bert" / "config.json").exists()


def test_other_files_in_a_model_folder_are_not_lost(tiny_model: GeST, tmp_path: Path) -> None:
    (tiny_model.save(tmp_path / "model") / "notes.md").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.md"):
        tiny_model.save(tmp_path / "model", overwrite=True)
    assert (tmp_path / "model" / "notes.md").read_text() == "mine"


def test_bundled_models_are_recognised() -> None:
    # They were written by the first version, with their card as text beside them.
    for folder in bundled_models().values():
        assert checkpoint.MODEL.is_one(folder)
        assert checkpoint.MODEL.foreign(folder) == ["README.md"]


def test_a_name_that_cannot_be_is_refused(tiny_model: GeST, tmp_path: Path) -> None:
    for name in ("a" * 300, "a\0b"):
        with pytest.raises(InputError, match="name of a file"):
            tiny_model.save(tmp_path / name)
        with pytest.raises(CheckpointError, match="no model"):
            GeST.load(tmp_path / name)


def test_a_model_set_aside_by_a_killed_process_loads(
    tiny_model: GeST, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_model.save(tmp_path / "model").rename(beside(tmp_path / "model", "old"))
    monkeypatch.setattr(leftovers, "_alive", lambda pid, birth: False)
    assert GeST.load(tmp_path / "model").digest == tiny_model.digest


@pytest.mark.parametrize("name", [checkpoint.CONFIG, checkpoint.VOCABULARY, checkpoint.WEIGHTS])
@pytest.mark.parametrize("damage", ["missing", "cut", "noise"])
def test_damaged_models_are_named(tiny_model: GeST, tmp_path: Path, name: str, damage: str) -> None:
    file = tiny_model.save(tmp_path / "model") / name
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    else:
        file.write_bytes(b"\x93noise" * 100)
    with pytest.raises(CheckpointError, match="damaged"):
        GeST.load(tmp_path / "model")


def test_a_newer_format_is_named(tiny_model: GeST, tmp_path: Path) -> None:
    file = tiny_model.save(tmp_path / "model") / checkpoint.CONFIG
    about = json.loads(file.read_text())
    file.write_text(json.dumps(about | {"format": 99}))
    with pytest.raises(CheckpointError, match="newer") as caught:
        GeST.load(tmp_path / "model")
    assert "damaged" not in caught.value.cause
    assert "Update" in caught.value.remedy


def test_a_checkpoint_without_a_head_loads(tiny_model: GeST, tmp_path: Path) -> None:
    path = tiny_model.save(tmp_path / "model")
    assert "head" not in json.loads((path / "config.json").read_text())
    assert GeST.load(path).head is None


@pytest.fixture
def labelling(tiny_model: GeST) -> GeST:
    """The model with a label layer that nobody trained."""
    layer, bias = np.ones((2, 3), np.float32), np.ones(2, np.float32)
    head = LabelHead(("a", "b"), layer, bias, layer, np.eye(3, dtype=np.float32), {})
    return replace(tiny_model, head=head)


def test_a_damaged_head_is_reported(labelling: GeST, tmp_path: Path) -> None:
    path = labelling.save(tmp_path / "model")
    (path / checkpoint.HEAD).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="damaged"):
        GeST.load(path)


def test_a_head_of_another_version_says_so(labelling: GeST, tmp_path: Path) -> None:
    path = labelling.save(tmp_path / "model")
    old = {"weight": np.zeros((5, 16), np.float32), "bias": np.zeros(5, np.float32)}
    (path / checkpoint.HEAD).write_bytes(pack_arrays(old))
    with pytest.raises(CheckpointError, match="another version") as caught:
        GeST.load(path)
    assert "--label-key" in caught.value.remedy
