"""What an edit does, as the canvas shows it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_gest.app.runs.effect import (
    Effect,
    delta_legend,
    effect_rgba,
    responding,
    response_text,
    view_of,
)
from napari_gest.app.view_state import ViewState
from napari_gest.errors import InputError
from napari_gest.tasks.perturbation.perturb import perturb
from napari_gest.tasks.perturbation.scenario import Scenario


@pytest.fixture
def effect(plan, tiny_model) -> Effect:
    section = plan.snapshot.section
    result = perturb(
        section, tiny_model, plan.inside, plan.edits, readout="generation", reach_um=60.0
    )
    return Effect(plan, result)


def test_delta_is_perturbed_minus_control_and_centred(effect):
    gene = effect.strongest
    control, perturbed, delta = (
        effect.values(view, gene) for view in ("control", "perturbed", "delta")
    )
    np.testing.assert_allclose(delta, perturbed - control, atol=1e-7)
    legend = delta_legend(ViewState(gene=gene, view="delta"), [effect])
    assert legend.colors.low == -legend.colors.high
    assert legend.range[0] == -legend.range[1]
    assert np.isnan(effect.values("delta", "no such gene")).all()


def test_edited_cells_come_last_and_do_not_set_the_limits(effect, plan):
    gene = plan.edits[0].gene
    np.testing.assert_array_equal(effect.cells[effect.n_around :], np.flatnonzero(plan.inside))
    change = np.abs(effect.values("delta", gene))
    assert change[effect.n_around :].max() > change[: effect.n_around].max()
    legend = delta_legend(ViewState(gene=gene, view="delta"), [effect])
    assert legend.colors.high <= change[: effect.n_around].max() + 1e-6


def test_a_band_dims_what_lies_outside(effect):
    view_state = ViewState(gene=effect.strongest, view="delta", band=(0.0, 30.0))
    rgba = effect_rgba(effect, view_state, delta_legend(view_state, [effect]).colors)
    far = effect.result.distance_um > 30
    assert far.any()
    assert (rgba[: effect.n_around][far, 3] < 0.5).all()
    assert (rgba[effect.n_around :, 3] == 1).all()


def test_the_strongest_gene_is_not_an_edited_one(effect, plan):
    assert effect.strongest != plan.edits[0].gene


def test_a_new_effect_is_shown_by_its_strongest_gene_or_the_one_in_use(effect):
    measured = ViewState(column="cell_type", value_limits=(0.0, 1.0))
    changes = view_of(effect, measured)
    assert (changes["gene"], changes["view"]) == (effect.strongest, "delta")
    assert changes["value_limits"] is None
    in_use = ViewState(gene=effect.result.genes[3], view="control", value_limits=(0.0, 1.0))
    assert view_of(effect, in_use) == {"gene": effect.result.genes[3], "view": "control"}
    unknown = ViewState(gene="of another panel", view="delta")
    assert view_of(effect, unknown)["gene"] == effect.strongest
    assert view_of(effect, measured, effect.result.genes[2])["gene"] == effect.result.genes[2]


def made_up_table(**columns):
    table = pd.DataFrame({"gene": list("abc"), "pvalue": 0.5, "fdr": [0.01, 1.0, np.nan]})
    return table.assign(**columns)


def test_a_gene_responds_by_its_sign_and_a_generated_one_by_the_strict_test():
    generated = made_up_table(lfsr=np.nan, svalue=np.nan, reported="none")
    for table in (made_up_table(), generated):
        assert responding(table).tolist() == [True, False, False]
        assert response_text(table) == "1 of 2 genes respond at FDR 0.05"
    signs = made_up_table(lfsr=[0.01, 0.02, np.nan], svalue=[0.01, 0.015, np.nan],
                          reported=["up", "down", "none"])  # fmt: skip
    assert responding(signs).tolist() == [True, True, False]
    text = response_text(signs)
    assert text.startswith("2 of 2 genes respond (expected share of wrong signs at most 5 %)")
    assert text.endswith("1 of them at FDR 0.05 in the stricter test")


def test_its_scenario_knows_the_section_and_the_model(effect, plan, tiny_model, tmp_path):
    scenario, table = effect.scenario("mine")
    scenario.write(tmp_path / "mine", table)
    source = Scenario.read(tmp_path / "mine").source
    section = plan.snapshot.section
    source.check(section, tiny_model)
    assert source.reading == section.reading
    with pytest.raises(InputError, match="is not the one"):
        source.check(section.subset(np.arange(section.n_obs - 1)), tiny_model)
