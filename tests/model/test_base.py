"""A base: what it computes on a vocabulary's axes, and that it does nothing but start models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from broken import CONFIG, WEIGHTS, Break, missing, one, setting, tensor, text, without

from napari_gest.errors import CheckpointError, InputError
from napari_gest.model.base import coordinates, reading, vocabulary_axes
from napari_gest.model.config import N_AXES, ModelConfig
from napari_gest.model.gest import Base, GeST, bundled_bases, bundled_models, log_prior
from napari_gest.model.training_cells import TrainingCells
from napari_gest.tasks.generation.generate import generate
from napari_gest.tasks.niches.embed import embed_niches
from napari_gest.tissue.section import Section


def test_a_model_starts_with_what_its_base_computes(tiny_base: Base, tiny_model: GeST) -> None:
    tokenizer = tiny_model.tokenizer
    config = tiny_base.config.model_copy(update={"window_um": 200.0})
    model = tiny_base.begin(config, tokenizer, "new")
    assert model.genes == tokenizer.genes
    assert model.config.window_um == 200
    random = torch.Generator().manual_seed(0)
    k = tokenizer.n_meta_cells
    mixture = torch.eye(k)[torch.randint(k, (2, 12), generator=random)]
    xy = torch.rand(2, 20, 2, generator=random) * 2 - 1
    network = reading(tiny_base.network, coordinates(tokenizer), log_prior(tokenizer))
    with torch.no_grad():
        for bias in (tiny_base.network.embed.bias, tiny_base.network.to_genes.bias):
            assert bias.abs().max() > 0  # else it would not show whether it is kept
        wanted = network(mixture, xy[:, :12], xy[:, 12:], causal=False)
        found = model.network(mixture, xy[:, :12], xy[:, 12:], causal=False)
    for one_, other in zip(wanted, found, strict=True):
        assert one_.abs().max() > 0
        assert torch.allclose(one_, other, atol=1e-4)


def test_coordinates_are_of_one_size_and_their_axes_apart(tiny_model: GeST) -> None:
    tokenizer = tiny_model.tokenizer
    axes, there = vocabulary_axes(tokenizer), coordinates(tokenizer).numpy()
    n = min(tokenizer.n_meta_cells - 1, len(tokenizer.genes))
    assert axes.shape == (len(tokenizer.genes), N_AXES)
    assert not axes[:, n:].any(), "a small panel lacks the last axes"
    weight = tokenizer.frequency / tokenizer.frequency.sum()
    moments = (there * weight[:, None]).T @ there
    assert np.trace(moments) == pytest.approx(N_AXES, rel=1e-3)
    assert np.abs(moments - np.diag(np.diag(moments))).max() < 1e-3
    variance = np.diag(moments)[:n]
    assert (np.diff(variance) < 1e-6).all(), "the first axis varies most"


def test_a_base_refuses_what_needs_a_vocabulary(tiny_base: Base, section: Section) -> None:
    for attempt in (
        lambda: generate(section, tiny_base, np.arange(section.n_obs) < 5),
        lambda: embed_niches(section, tiny_base),
        lambda: tiny_base.genes,
    ):
        with pytest.raises(InputError, match="no vocabulary of its own") as caught:
            attempt()
        assert f"--start {tiny_base.name}" in caught.value.remedy


def test_a_base_is_saved_and_loaded_like_a_model(tiny_base: Base, tmp_path: Path) -> None:
    cells = TrainingCells(np.arange(3, dtype=np.uint32), np.arange(2, dtype=np.uint32))
    base = Base(tiny_base.config, tiny_base.network, "b", {"data": "tissue"}, cells)
    base.save(tmp_path / "b")
    loaded = GeST.load(tmp_path / "b")
    assert isinstance(loaded, Base)
    assert (loaded.name, loaded.card, loaded.config) == ("b", {"data": "tissue"}, base.config)
    assert loaded.digest == base.digest
    assert loaded.training_cells is not None
    assert loaded.training_cells.trained.tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="exists"):
        base.save(tmp_path / "b")
    base.save(tmp_path / "b", overwrite=True)


def test_a_base_does_not_replace_a_model(tiny_base: Base, tiny_model: GeST, tmp_path: Path) -> None:
    tiny_model.save(tmp_path / "model")
    with pytest.raises(InputError):
        tiny_base.save(tmp_path / "model", overwrite=True)
    assert GeST.load(tmp_path / "model").genes == tiny_model.genes


BROKEN: dict[str, tuple[Break, str]] = {
    "axes of another version": (setting("n_axes", to=65), "'n_axes' is 65"),
    "axes as text": (setting("n_axes", to="64"), "'n_axes'"),
    "a window": (setting("config", "window_um", to=300.0), "'config.window_um'"),
    "profiles": (setting("config", "profiles", to="paper"), "'config.profiles'"),
    "no name": (without("name"), "no 'name'"),
    "no layers": (without("config", "n_layers"), "no 'n_layers'"),
    "a layer more": (setting("config", "n_layers", to=lambda n: n + 1), "'n_layers'"),
    "newer": (setting("format", to=99), "newer version"),
    "no weights": (missing(WEIGHTS), WEIGHTS),
    "noise": (text(b"noise", WEIGHTS), WEIGHTS),
    "NaN": (tensor(WEIGHTS, "embed.weight", one(float("nan"))), "'embed.weight'"),
    "genes": (tensor(WEIGHTS, "embed.weight", lambda a: a[:, :-1]), "'embed.weight'"),
}


@pytest.mark.parametrize(
    ("spoil", "named"), [pytest.param(*case, id=name) for name, case in BROKEN.items()]
)
def test_what_is_wrong_with_a_base_is_named(
    tiny_base: Base, tmp_path: Path, spoil: Callable[[Path], None], named: str
) -> None:
    spoil(tiny_base.save(tmp_path / "b"))
    with pytest.raises(CheckpointError, match=named) as caught:
        GeST.load(tmp_path / "b")
    assert str(tmp_path / "b") in caught.value.cause


def test_the_settings_of_a_base_are_all_written(tiny_base: Base, tmp_path: Path) -> None:
    about = json.loads((tiny_base.save(tmp_path / "b") / CONFIG).read_text())
    assert set(about["config"]) == set(ModelConfig.model_fields) - ModelConfig.later


@pytest.mark.parametrize("name", bundled_bases())
def test_bundled_bases_load_and_have_a_card(name: str) -> None:
    assert name not in bundled_models()
    base = GeST.load(name)
    assert isinstance(base, Base)
    assert base.name == name
    assert {"data", "licence", "command", "curve", "panels", "training"} <= set(base.card)
    assert base.training_cells is not None
    curve = base.card["curve"]
    assert curve[-1]["rmse_z"] < curve[0]["rmse_z"]
    folder = bundled_bases()[name]
    assert (folder / "README.md").read_text().startswith(f"# {name}\n")
    assert sum(f.stat().st_size for f in folder.iterdir()) < 15e6
