"""What is not kept yet can be coloured by, and gives way to what is chosen next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_gest.app.colors import MISSING, Categories, Scale
from napari_gest.app.preview import Preview, named
from napari_gest.app.view_state import Normalization, ViewState, section_legend, section_rgba

RUN = ("run-1", "niches")


def test_names_and_colours(opened):
    codes = np.arange(opened.section.n_obs) % 2
    made = named(codes, ("a", "b"), ("#ff0000", "#00ff00"))
    view_state, preview = ViewState(of_run=RUN), Preview("niches", {opened.section: made})
    legend = section_legend(view_state, opened, Normalization(), preview)
    assert legend.title == "niches"
    assert isinstance(legend.colors, Categories)
    rgba = section_rgba(view_state, opened, legend, Normalization(), preview)
    np.testing.assert_allclose(rgba[:2], [[1, 0, 0, 1], [0, 1, 0, 1]])
    without_b = replace(view_state, hidden=frozenset({"b"}))
    hidden = section_rgba(without_b, opened, legend, Normalization(), preview)
    np.testing.assert_array_equal(hidden[:2, 3], [1, 0])


def test_numbers_have_a_scale(opened):
    values = np.linspace(0.4, 1, opened.section.n_obs).astype(np.float32)
    view_state, preview = ViewState(of_run=RUN), Preview("confidence", {opened.section: values})
    legend = section_legend(view_state, opened, Normalization(), preview)
    assert isinstance(legend.colors, Scale)
    rgba = section_rgba(view_state, opened, legend, Normalization(), preview)
    np.testing.assert_allclose(rgba, legend.colors.rgba(values))


def test_a_section_it_says_nothing_of_is_grey(opened):
    view_state, preview = ViewState(of_run=RUN), Preview("niches", {})
    legend = section_legend(view_state, opened, Normalization(), preview)
    assert legend.colors is None
    rgba = section_rgba(view_state, opened, legend, Normalization(), preview)
    assert (rgba == MISSING).all()
