"""Models on disk, and what a model must not notice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_gest.errors import CheckpointError
from napari_gest.model import checkpoint
from napari_gest.model.gest import GeST, bundled_models
from napari_gest.tasks.generation.generate import generate
from napari_gest.tissue.section import Section


def hole(section: Section, radius_um: float = 60) -> np.ndarray:
    centre = section.coords_um.mean(0)
    return np.linalg.norm(section.coords_um - centre, axis=1) < radius_um


def test_saved_and_reloaded_gives_the_same_output(
    tiny_model: GeST, section: Section, tmp_path: Path
) -> None:
    tiny_model.card = {"licence": "CC0"}
    again = GeST.load(tiny_model.save(tmp_path / "model"))
    assert (again.config, again.genes, again.card) == (
        tiny_model.config,
        tiny_model.genes,
        {"licence": "CC0"},
    )
    first, second = (generate(section, m, hole(section)) for m in (tiny_model, again))
    assert np.array_equal(first.expression, second.expression)
    assert np.array_equal(first.sd, second.sd)


def test_weights_of_another_shape_are_named(tiny_model: GeST, tmp_path: Path) -> None:
    file = tiny_model.save(tmp_path / "model") / checkpoint.CONFIG
    about = json.loads(file.read_text())
    about["config"]["n_layers"] += 1
    file.write_text(json.dumps(about))
    with pytest.raises(CheckpointError, match="do not fit"):
        GeST.load(tmp_path / "model")


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(CheckpointError, match="no model 'nowhere'"):
        GeST.load("nowhere")


def test_one_seed_gives_one_model(tiny_model: GeST) -> None:
    one, two = (
        GeST.create(tiny_model.config, tiny_model.tokenizer, seed=5).network.state_dict()
        for _ in range(2)
    )
    assert all(torch.equal(one[k], two[k]) for k in one)
    other = GeST.create(tiny_model.config, tiny_model.tokenizer, seed=6).network.state_dict()
    assert not torch.equal(one["embed.weight"], other["embed.weight"])


@pytest.mark.parametrize("name", bundled_models())
def test_bundled_models_load_and_have_a_card(name: str) -> None:
    model = GeST.load(name)
    assert model.name == name
    assert {"data", "licence", "curve", "seed", "training"} <= set(model.card)
    assert all(torch.isfinite(p).all() for p in model.network.parameters())


def test_bundled_models_stay_small() -> None:
    files = [f for folder in bundled_models().values() for f in folder.rglob("*")]
    assert sum(f.stat().st_size for f in files) < 20e6
