"""What a model begins as."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from anndata import AnnData
from training import MODEL, SHORT, weights

from napari_gest.errors import CheckpointError, InputError
from napari_gest.model.base import coordinates, reading
from napari_gest.model.gest import Base, GeST, log_prior
from napari_gest.tasks.progress import finish
from napari_gest.tasks.training import start
from napari_gest.tasks.training.budget import of_length
from napari_gest.tasks.training.train import (
    FROM_BASE,
    FitRequest,
    configs_for,
    fine_tune,
    fit,
)
from napari_gest.tasks.training.train_config import TrainConfig
from napari_gest.tissue.section import Section


def test_a_start_is_named_given_or_none(
    tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_base.save(tmp_path / "mine")
    assert start.start_of("none") is None
    assert start.start_of(tiny_base) is tiny_base
    for name in (folder, str(folder)):
        found = start.start_of(name)
        assert found is not None
        assert found.digest == tiny_base.digest
    with pytest.raises(CheckpointError, match="no model 'nothing'"):
        start.start_of("nothing")
    monkeypatch.setattr(start, "bundled_bases", dict)
    assert start.start_of(None) is None, "a checkout without weights starts from nothing"


def test_a_model_of_any_panel_starts_from_a_base(
    tiny_base: Base, tissue: AnnData, sections: list[Section]
) -> None:
    few = tissue[:, :20].copy()
    for given in (sections, [Section.from_anndata(few, "section_1")]):
        shape, _ = configs_for(given, tiny_base)
        fitted = finish(FitRequest(given, shape, SHORT, 0, start=tiny_base).run())
        model = fitted.model
        assert not isinstance(model, Base)
        assert model.genes == given[0].genes
        assert model.config.window_um > 0
        assert model.card["start"] == tiny_base.name
        frozen = SHORT.model_copy(update={"learning_rate": 1e-12, "weight_decay": 0.0})
        still = fine_tune(tiny_base, given, frozen)
        network = reading(
            tiny_base.network, coordinates(still.tokenizer), log_prior(still.tokenizer)
        )
        assert torch.allclose(still.network.table(), network.table(), atol=1e-4)
        assert torch.allclose(
            weights(still)["blocks.0.qkv.weight"], tiny_base.network.blocks[0].qkv.weight, atol=1e-6
        )


def test_a_base_stays_as_it_is(tiny_base: Base, sections: list[Section]) -> None:
    before = tiny_base.digest
    fit(sections, None, SHORT, start=tiny_base)
    assert tiny_base.digest == before


def test_the_usual_training_is_that_of_a_base(tiny_base: Base, sections: list[Section]) -> None:
    shape, usual = configs_for(sections, tiny_base)
    assert shape == tiny_base.config
    few = FROM_BASE.model_copy(update={"batch_windows": 4})
    assert usual == of_length(few, usual.n_steps)
    cells = sum(s.n_obs for s in sections)
    assert usual.n_steps == pytest.approx(24 * cells / (4 * FROM_BASE.targets), abs=1)
    many = SimpleNamespace(n_obs=400_000)
    assert configs_for([many], tiny_base)[1] == FROM_BASE


def test_another_shape_than_that_of_the_start_is_refused(
    tiny_base: Base, tiny_model: GeST, sections: list[Section]
) -> None:
    other = MODEL.model_copy(update={"n_layers": 5})
    for begin in (tiny_base, tiny_model):
        with pytest.raises(InputError, match="n_layers") as caught:
            FitRequest(sections, other, SHORT, 0, start=begin).check()
        assert "'none'" in caught.value.remedy
    fewer = tiny_base.config.model_copy(update={"n_meta_cells": 12, "dropout": 0.5})
    FitRequest(sections, fewer, SHORT, 0, start=tiny_base).check()


def test_training_starts_from_the_base_unless_told_otherwise(
    tiny_base: Base, sections: list[Section], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_base.save(tmp_path / "gest-base")
    monkeypatch.setattr(start, "BUNDLED_BASE", str(folder))
    monkeypatch.setattr(start, "bundled_bases", lambda: {str(folder): folder})
    few = TrainConfig(n_steps=1, batch_windows=1, targets=16)
    assert fit(sections, None, few).card["start"] == tiny_base.name
    assert fit(sections, None, few, start="none").card["start"] is None
    assert fit(sections, MODEL, few).card["start"] is None, "a shape of one's own"
