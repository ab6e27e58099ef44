"""What each view shows. No Qt."""

from __future__ import annotations

import numpy as np
import pytest

from napari_gest.app.colors import MISSING, Categories, Scale
from napari_gest.app.generated_view import (
    WAITING,
    generated_legend,
    generated_rgba,
    generated_values,
)
from napari_gest.app.opened import Normalization
from napari_gest.app.preview import Preview
from napari_gest.app.view_state import (
    Legend,
    ViewState,
    scene_legend,
    section_legend,
    section_rgba,
)


def test_a_gene_is_shown_in_the_models_space(opened):
    gene, space = opened.section.genes[2], Normalization(300.0)
    legend = section_legend(ViewState(gene=gene), opened, space)
    assert isinstance(legend.colors, Scale)
    assert gene in legend.title
    assert "300" in legend.title
    rgba = section_rgba(ViewState(gene=gene), opened, legend, space)
    np.testing.assert_array_equal(rgba, legend.colors.rgba(opened.gene_values(gene, 300.0)))


def test_chosen_limits_are_used_for_measured_and_generated_alike(opened):
    view_state = ViewState(gene=opened.section.genes[0], value_limits=(1.0, 2.0))
    for view in ("measured", "generated"):
        legend = section_legend(
            ViewState(**{**view_state.__dict__, "view": view}), opened, Normalization()
        )
        assert (legend.colors.low, legend.colors.high) == (1.0, 2.0)


def test_categories_have_the_same_colours_in_all_sections(tissue):
    from napari_gest.app.opened import open_sections

    one, two = open_sections(tissue)
    tables = [
        section_legend(ViewState(column="cell_type"), o, Normalization()).colors for o in (one, two)
    ]
    assert all(isinstance(t, Categories) for t in tables)
    np.testing.assert_array_equal(tables[0].colors, tables[1].colors)
    assert tables[0].counts.sum() == one.section.n_obs


def test_limits_and_title_are_those_of_sections_that_have_the_gene(tissue):
    from napari_gest.app.opened import open_sections

    one = open_sections(tissue, names=["section_1"])[0]
    other = tissue[:, 10:].copy()
    other.obs = other.obs.drop(columns="region")
    (two,) = open_sections(other, names=["section_2"])  # of another panel
    space = Normalization()
    gene = ViewState(gene=one.section.genes[0])
    right = section_legend(gene, one, space)
    both = scene_legend(gene, one, [one, two], space)
    assert (both.title, both.colors, both.range) == (right.title, right.colors, right.range)
    legend = scene_legend(gene, two, [one, two], space)  # what is opened last is in use
    assert (legend.colors, legend.range) == (right.colors, right.range)
    assert legend.title == f"{right.title} · not in section_2"
    np.testing.assert_array_equal(
        section_rgba(gene, one, legend, space), section_rgba(gene, one, right, space)
    )
    grey = section_rgba(gene, two, legend, space)
    np.testing.assert_array_equal(grey, np.tile(MISSING, (len(grey), 1)))
    column = ViewState(column="region")
    assert scene_legend(column, two, [one, two], space).title == "region · not in section_2"
    assert isinstance(scene_legend(column, two, [one, two], space).colors, Categories)
    shown = Preview("confidence", {one.label: np.linspace(0, 1, one.section.n_obs)})
    confidence = scene_legend(
        ViewState(of_run=("run-1", "confidence")), two, [one, two], space, shown
    )
    assert isinstance(confidence.colors, Scale)
    nowhere = scene_legend(ViewState(gene="none"), two, [one, two], space)
    assert "not measured" in nowhere.title


def test_stored_colours_are_used(opened):
    names = opened.adata.obs["region"].astype("category").cat.categories
    opened.adata.uns["region_colors"] = ["#6789ab"] * len(names)
    rgba = section_legend(ViewState(column="region"), opened, Normalization()).colors.rgba()
    np.testing.assert_allclose(rgba[0, :3], np.array([0x67, 0x89, 0xAB]) / 255, rtol=1e-5)


def test_a_numeric_column_has_a_scale_and_its_gaps_are_grey(opened):
    numbers = np.linspace(0, 1, opened.adata.n_obs)
    numbers[opened.section.rows[0]] = np.nan
    opened.adata.obs["depth"] = numbers
    view_state = ViewState(column="depth")
    legend = section_legend(view_state, opened, Normalization())
    rgba = section_rgba(view_state, opened, legend, Normalization())
    np.testing.assert_allclose(rgba[0], MISSING)
    assert not np.allclose(rgba[1], MISSING)


def test_nothing_chosen_is_grey(opened):
    legend = section_legend(ViewState(), opened, Normalization())
    assert legend.colors is None
    np.testing.assert_allclose(
        section_rgba(ViewState(), opened, legend, Normalization())[0], MISSING
    )


def test_difference_is_expected_minus_measured_and_centred(opened, generated_cells):
    view_state = ViewState(gene=generated_cells.genes[1], view="difference")
    values = generated_values(view_state, generated_cells, opened, Normalization())
    truth = opened.gene_values(generated_cells.genes[1])
    np.testing.assert_allclose(values[:10], generated_cells.expression[:10, 1] - truth[5:15])
    assert np.isnan(values[10:]).all()  # waiting, or without truth
    scale = generated_legend(view_state, values).colors
    assert scale.low == -scale.high
    uneven = generated_legend(
        ViewState(gene="g", view="difference", difference_limits=(-1, 3)), values
    )
    assert (uneven.colors.low, uneven.colors.high) == (-3, 3)


@pytest.mark.parametrize(("entropy", "unit"), [(True, "nats"), (False, "sd")])
def test_uncertainty_of_meta_cell_or_gene(opened, generated_cells, entropy, unit):
    view_state = ViewState(gene=generated_cells.genes[0], view="uncertainty", entropy=entropy)
    values = generated_values(view_state, generated_cells, opened, Normalization())
    expected = generated_cells.entropy if entropy else generated_cells.sd[:, 0]
    np.testing.assert_array_equal(values, expected)
    legend = generated_legend(view_state, values)
    assert unit in legend.title
    assert 0 <= legend.colors.low < legend.colors.high


def test_waiting_cells_are_dark_and_others_coloured(generated_cells, opened):
    view = ViewState(gene=generated_cells.genes[0], view="generated")
    legend = Legend("", Scale(0, 1))
    rgba = generated_rgba(view, generated_cells, opened, legend, Normalization())
    np.testing.assert_allclose(rgba[10:], np.tile(WAITING, (33, 1)))
    values = generated_values(view, generated_cells, opened, Normalization())
    np.testing.assert_allclose(rgba[:10], Scale(0, 1).rgba(values[:10]))


def test_generated_cells_whose_names_are_not_known_are_grey(generated_cells, opened):
    view = ViewState(column="region", view="generated")
    legend = section_legend(view, opened, Normalization())
    rgba = generated_rgba(view, generated_cells, opened, legend, Normalization())
    np.testing.assert_allclose(rgba[0], MISSING)
    assert np.isnan(
        generated_values(ViewState(gene="absent"), generated_cells, opened, Normalization())
    ).all()


def test_a_foreign_panel_does_not_break_the_measured_view(opened):
    gene = opened.section.genes[0]
    legend = section_legend(ViewState(gene=gene), opened, Normalization(100.0, ("X", "Y", "Z")))
    assert isinstance(legend.colors, Scale)
