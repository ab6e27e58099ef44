"""What an edit does, as the canvas shows it; regions corrected with a brush."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely

from napari_gest.errors import InputError
from napari_gest.session import Snapshot
from napari_gest.tasks.perturb import perturb
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.roi import Roi
from napari_gest.viewer.brush import Stroke, brushed
from napari_gest.viewer.effect import Effect, delta_legend, effect_rgba
from napari_gest.viewer.experiment import Experiment, Label
from napari_gest.viewer.look import Look
from napari_gest.widgets.decay import binned


@pytest.fixture
def plan(opened, model_info) -> Experiment:
    """A gene doubled in a disc in the middle of the tissue."""
    section = opened.section
    middle = shapely.Point(*section.coords_um.mean(axis=0))
    roi = Roi(middle.buffer(0.2 * float(np.ptp(section.coords_um[:, 0]))))
    snapshot = Snapshot(opened.label, opened.revision, section)
    return Experiment(snapshot, {}, roi, model_info, (Edit(section.genes[0], "multiply", 2.0),))


@pytest.fixture
def effect(plan, tiny_model) -> Effect:
    section = plan.snapshot.section
    result = perturb(
        section, tiny_model, plan.inside, plan.edits, readout="generation", reach_um=60.0
    )
    return Effect(plan.title, plan, result)


def test_delta_is_perturbed_minus_control_and_centred(effect):
    gene = effect.strongest
    control, perturbed, delta = (
        effect.values(view, gene) for view in ("control", "perturbed", "delta")
    )
    np.testing.assert_allclose(delta, perturbed - control, atol=1e-7)
    legend = delta_legend(Look(gene=gene, view="delta"), [effect])
    assert legend.colors.low == -legend.colors.high
    assert legend.range[0] == -legend.range[1]
    assert np.isnan(effect.values("delta", "no such gene")).all()


def test_edited_cells_come_last_and_do_not_set_the_limits(effect, plan):
    gene = plan.edits[0].gene
    np.testing.assert_array_equal(effect.cells[effect.n_around :], np.flatnonzero(plan.inside))
    change = np.abs(effect.values("delta", gene))
    assert change[effect.n_around :].max() > change[: effect.n_around].max()
    legend = delta_legend(Look(gene=gene, view="delta"), [effect])
    assert legend.colors.high <= change[: effect.n_around].max() + 1e-6


def test_a_band_dims_what_lies_outside(effect):
    look = Look(gene=effect.strongest, view="delta", band=(0.0, 30.0))
    rgba = effect_rgba(effect, look, delta_legend(look, [effect]).colors)
    far = effect.result.distance_um > 30
    assert far.any()
    assert (rgba[: effect.n_around][far, 3] < 0.5).all()
    assert (rgba[effect.n_around :, 3] == 1).all()


def test_the_strongest_gene_is_not_an_edited_one(effect, plan):
    assert effect.strongest != plan.edits[0].gene


def test_titles_say_what_is_edited(plan):
    gene = plan.edits[0].gene
    assert plan.title == f"{gene} × 2"
    assert replace(plan, strength=0.5).title == f"{gene} × 2 at 0.5"
    off = (Edit("A", "knockout"), Edit("B", "shift", -1.0), Edit("C", "set", 3.0))
    assert replace(plan, edits=off).title == "A off, B -1 + 1 more"
    only = Label("cell_type", "type 1")
    assert replace(plan, edits=(), remove=True, only=only).title == "cells removed in type 1"
    assert replace(plan, become=only).title == "become type 1"


def test_what_cannot_run_is_refused_before_the_model_is_loaded(plan):
    plan.check()
    with pytest.raises(InputError, match="no edit"):
        replace(plan, edits=()).check()
    replace(plan, edits=(), remove=True).check()
    away = Roi(shapely.Point(-1e5, -1e5).buffer(1.0))
    with pytest.raises(InputError, match="no cell"):
        replace(plan, roi=away).check()


def test_a_plan_is_a_scenario(plan, tmp_path):
    from napari_gest.tasks.scenario import Scenario

    plan = replace(plan, strength=0.5, seed=3, only=Label("cell_type", "type 1"))
    plan.scenario("mine", 20).write(tmp_path / "mine")
    read = Scenario.read(tmp_path / "mine")
    assert read.edits == plan.edits
    assert read.settings.name == "mine"
    assert read.settings.only.values == ("type 1",)
    assert (read.settings.strength, read.settings.seed) == (0.5, 3)
    np.testing.assert_array_equal(read.cells(plan.snapshot.section), plan.inside)


def test_strokes_add_and_remove_in_their_order():
    square = Roi(shapely.box(0, 0, 10, 10))
    more, less = (
        Stroke("add", shapely.box(10, 0, 20, 10)),
        Stroke("remove", shapely.box(5, 0, 12, 10)),
    )
    assert brushed(square, []).area_um2 == pytest.approx(100)
    assert brushed(square, [more, less]).area_um2 == pytest.approx(50 + 80)
    assert brushed(square, [less, more]).area_um2 == pytest.approx(50 + 100)
    assert brushed(None, [more]).area_um2 == pytest.approx(100)
    with pytest.raises(InputError, match="no region"):
        brushed(None, [])
    with pytest.raises(InputError, match="no region"):
        brushed(square, [Stroke("remove", shapely.box(-1, -1, 11, 11))])


def test_decay_is_the_mean_in_bins_of_distance():
    rng = np.random.default_rng(0)
    far = rng.uniform(0, 120, 3000)
    x, mean, error = binned(far, np.exp(-far / 30), 0.0, 120.0)
    np.testing.assert_allclose(mean, np.exp(-x / 30), rtol=0.05)
    assert (np.diff(mean) < 0).all()
    assert (error >= 0).all()
    assert len(binned(np.array([1.0, 2.0]), np.ones(2), 0.0, 120.0)[0]) == 0  # too few cells
