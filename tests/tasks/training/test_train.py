"""Training: it learns, resumes to the same numbers, and moves to another panel."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from anndata import AnnData
from pydantic import ValidationError
from training import MODEL, SHORT, same, weights

from napari_gest.errors import InputError
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.tasks.perturbation.respond import fit_response
from napari_gest.tasks.progress import finish
from napari_gest.tasks.training.train import (
    MANY_CELLS,
    FitRequest,
    TrainConfig,
    configs_for,
    fine_tune,
    fit,
)
from napari_gest.tissue.fingerprint import fingerprints
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate


def test_training_lowers_the_loss_on_held_out_holes() -> None:
    # Untrained, the local prior is a good smoother already; to beat it takes some tissue.
    tissue = simulate(n_cells=5000, n_genes=40, n_sections=2, seed=0)
    sections = [Section.from_anndata(tissue, name) for name in ("section_1", "section_2")]
    config = SHORT.model_copy(
        update={
            **{"n_steps": 120, "validate_every": 30, "learning_rate": 3e-3},
            **{"batch_windows": 4, "targets": 96},
        }
    )
    fitted = finish(FitRequest(sections, MODEL, config, 0).run())
    first, last = fitted.curve[0], fitted.curve[-1]
    assert last["nll"] < first["nll"] - 0.01
    assert [entry["step"] for entry in fitted.curve] == [0, 30, 60, 90, 120]
    assert fitted.model.card["curve"] == fitted.curve
    json.dumps(fitted.model.card, allow_nan=False)  # JSON knows no NaN


def test_training_imports_no_compiler() -> None:
    """Its LLVM ends a process that draws OpenGL in software: the window, on many machines."""
    code = """
import sys
from napari_gest.model.config import ModelConfig
from napari_gest.tasks.perturbation.respond import fit_response
from napari_gest.tasks.training.train import TrainConfig, fine_tune, fit
from napari_gest.tissue.fingerprint import fingerprints
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate
sections = [Section.from_anndata(simulate(300, 30, 1, 0))]
size = dict(n_layers=1, n_heads=2, d_model=16, n_meta_cells=24, n_pcs=8, level_sizes=(6, 4, 2))
short = TrainConfig(n_steps=2, batch_windows=1, validate_every=1)
model = fit(sections, ModelConfig(window_cells=48, **size), short)
fit_response(fine_tune(model, sections, short), sections)
assert "torch._dynamo" not in sys.modules
assert "triton" not in sys.modules
assert "lightning_fabric" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tissue_too_small_for_the_vocabulary_gets_a_smaller_one(sections: list[Section]) -> None:
    wanted = MODEL.model_copy(update={"n_meta_cells": 400})
    model = fit(sections, wanted, SHORT)
    assert model.tokenizer.n_meta_cells < wanted.n_meta_cells


def test_one_seed_gives_one_model(sections: list[Section]) -> None:
    one, two = (fit(sections, MODEL, SHORT, seed=3) for _ in range(2))
    assert same(one, two)
    assert not same(one, fit(sections, MODEL, SHORT, seed=4))


@pytest.mark.parametrize("order", ["inward", "corner", "eq6", "random", "strict"])
def test_every_order_trains(sections: list[Section], order: str) -> None:
    config = SHORT.model_copy(update={"order": order, "n_steps": 2, "validate_every": 2})
    fitted = finish(FitRequest(sections, MODEL, config, 0).run())
    assert np.isfinite(fitted.curve[-1]["nll"])


def test_the_papers_form_trains(sections: list[Section]) -> None:
    paper = MODEL.model_copy(
        update={"local_prior": False, "distance_bias": False, "profiles": "paper"}
    )
    config = SHORT.model_copy(update={"order": "corner", "expression_weight": 0.0})
    fitted = finish(FitRequest(sections, paper, config, 0).run())
    assert np.isfinite(fitted.curve[-1]["nll"])


@pytest.mark.parametrize(
    ("shape", "training"),
    [
        ({"position_code": "ones"}, {}),
        ({"pooled_context": False}, {}),
        ({}, {"hierarchy": False}),
    ],
)
def test_a_part_that_is_left_out_changes_what_is_learned(
    sections: list[Section], shape: dict[str, object], training: dict[str, object]
) -> None:
    few = MODEL.model_copy(update={"window_cells": 16})  # so that something is pooled
    config = few.model_copy(update=shape)
    usual = fit(sections, few, SHORT)
    found = fit(sections, config, SHORT.model_copy(update=training))
    assert found.config.model_copy(update={"position_code": "waves", "pooled_context": True}) == (
        usual.config
    )
    assert not same(found, usual)
    assert {"shape": shape, "training": training} == {
        "shape": {k: v for k, v in found.config.model_dump().items() if k in shape},
        "training": {k: v for k, v in found.card["training"].items() if k in training},
    }


def test_a_validation_section_is_not_trained_on(sections: list[Section]) -> None:
    request = FitRequest(sections[:1], MODEL, SHORT, 0, validation=sections[1])
    one = finish(request.run())
    values = sections[1].expression.copy()
    values.data[:] = np.random.default_rng(0).poisson(20, len(values.data)) + 1.0
    other = finish(replace(request, validation=replace(sections[1], expression=values)).run())
    assert one.curve[-1]["nll"] != other.curve[-1]["nll"]
    assert [e["train_loss"] for e in one.curve[1:]] == [e["train_loss"] for e in other.curve[1:]]
    assert np.array_equal(one.model.tokenizer.c_expr, other.model.tokenizer.c_expr)


def test_fine_tuning_on_the_same_panel_keeps_the_vocabulary(
    sections: list[Section], tiny_model: GeST
) -> None:
    before = {k: v.clone() for k, v in weights(tiny_model).items()}
    tuned = fine_tune(tiny_model, sections[1:], SHORT.model_copy(update={"patience": 100}))
    assert tuned.tokenizer is tiny_model.tokenizer
    assert all(torch.equal(before[k], v) for k, v in weights(tiny_model).items())
    assert tuned.card["start"] == tiny_model.name


def test_training_on_drops_what_was_fitted_to_the_old_network(
    sections: list[Section], tiny_model: GeST
) -> None:
    start = fit_response(tiny_model, sections[:1])
    assert start.response is not None
    assert fine_tune(start, sections[1:], SHORT).response is None


def test_fine_tuning_on_another_panel_keeps_the_transformer(
    tissue: AnnData, sections: list[Section]
) -> None:
    start = fit(sections, MODEL, SHORT)
    other = tissue[:, :20].copy()
    other.var_names = [f"other_{i}" for i in range(20)]
    frozen = SHORT.model_copy(update={"learning_rate": 1e-12, "weight_decay": 0.0})
    tuned = fine_tune(start, [Section.from_anndata(other, "section_1")], frozen)
    assert tuned.genes == tuple(other.var_names)
    a, b = weights(start), weights(tuned)
    assert torch.allclose(a["blocks.0.qkv.weight"], b["blocks.0.qkv.weight"], atol=1e-6)
    assert a["embed.weight"].shape != b["embed.weight"].shape


def test_bad_requests_are_refused_before_work(tissue: AnnData, sections: list[Section]) -> None:
    with pytest.raises(InputError, match="no section"):
        FitRequest([], MODEL, SHORT, 0).check()
    other = tissue[:, :20].copy()
    mixed = [sections[0], Section.from_anndata(other, "section_2")]
    with pytest.raises(InputError, match="different panels"):
        FitRequest(mixed, MODEL, SHORT, 0).check()
    nameless = replace(sections[0], genes=("", *sections[0].genes[1:]))
    with pytest.raises(InputError, match="without a name"):
        FitRequest([nameless], MODEL, SHORT, 0).check()
    empty = replace(sections[0], expression=sections[0].expression * 0)
    empty.expression.eliminate_zeros()
    with pytest.raises(InputError, match="has any expression"):
        FitRequest([empty], MODEL, SHORT, 0).check()
    for name in ("", "x" * 256, "two\nlines"):
        with pytest.raises(InputError, match="cannot be named"):
            FitRequest(sections, MODEL, SHORT, 0, name=name).check()
    few = sections[0].subset(np.arange(sections[0].n_obs) < 20)
    with pytest.raises(InputError, match="20 cells"):
        FitRequest([few], MODEL, SHORT, 0).check()


def test_many_cells_are_given_a_larger_decoder_and_longer_training() -> None:
    few, many = (SimpleNamespace(n_obs=n) for n in (MANY_CELLS - 1, MANY_CELLS))
    small, usual = configs_for([few])
    assert (small, usual) == (ModelConfig(), TrainConfig())
    large, longer = configs_for([many])
    assert large.d_model > small.d_model
    assert large.n_layers > small.n_layers
    assert longer.n_steps > usual.n_steps
    # A model that is trained on keeps its shape, and what it was trained for is done.
    start = SimpleNamespace(config=ModelConfig(n_layers=2))
    assert configs_for([many], start) == (start.config, TrainConfig())


def test_a_model_knows_its_training_cells_and_leaves_patches_to_report_on(
    sections: list[Section], tmp_path: Path
) -> None:
    config = SHORT.model_copy(update={"validation_share": 0.2})
    model = fit(sections, MODEL, config)
    model.save(tmp_path / "model")
    kept = GeST.load(tmp_path / "model").training_cells
    assert kept is not None
    cells = np.concatenate([fingerprints(s.expression, s.genes) for s in sections])
    seen, trained = kept.seen(cells), np.isin(cells, kept.trained)
    share = 1 - seen.mean()
    assert 0.05 < share < 0.15, "half of the cells set aside select the step, half report"
    # The last disc may overshoot the share by a window's cells.
    assert 0.8 - MODEL.window_cells / 600 <= trained.mean() <= 0.8
    # What was never trained on changes neither the vocabulary nor the training loss.
    unseen = np.split(~trained, [sections[0].n_obs])
    swapped = []
    for section, mask in zip(sections, unseen, strict=True):
        values = section.expression.toarray()
        values[mask] = values[mask][::-1]
        swapped.append(replace(section, expression=type(section.expression)(values)))
    other = fit(swapped, MODEL, config)
    assert np.array_equal(model.tokenizer.c_expr, other.tokenizer.c_expr)
    losses = [[e["train_loss"] for e in m.card["curve"][1:]] for m in (model, other)]
    assert losses[0] == losses[1]


def test_one_section_has_patches_for_both(sections: list[Section]) -> None:
    model = fit(sections[:1], MODEL, SHORT)
    assert model.training_cells is not None
    cells = fingerprints(sections[0].expression, sections[0].genes)
    assert (~model.training_cells.seen(cells)).any()
    assert len(model.training_cells.selecting) > 0


def test_fine_tuning_remembers_the_cells_of_its_start(sections: list[Section]) -> None:
    start = fit(sections[:1], MODEL, SHORT)
    tuned = fine_tune(start, sections[1:], SHORT)
    assert start.training_cells is not None
    assert tuned.training_cells is not None
    assert np.isin(start.training_cells.trained, tuned.training_cells.trained).all()
    assert len(tuned.training_cells.trained) > len(start.training_cells.trained)


@pytest.mark.parametrize("option", ["n_steps", "batch_windows", "targets"])
def test_more_than_any_training_can_do_is_refused(option: str) -> None:
    with pytest.raises(ValidationError, match=option):
        TrainConfig(**{option: 2**31})


def test_the_last_weights_are_kept_where_they_are_asked_for(sections: list[Section]) -> None:
    """Whatever validation says: with a rate that ruins the weights, the first are the best."""
    ruinous = SHORT.model_copy(update={"learning_rate": 0.3, "patience": 1, "validate_every": 2})
    best, last = (
        fit(sections[:1], MODEL, ruinous.model_copy(update={"keep": keep}))
        for keep in ("best", "last")
    )
    assert best.card["curve"][-1]["step"] < ruinous.n_steps == last.card["curve"][-1]["step"]
    assert not same(best, last)
