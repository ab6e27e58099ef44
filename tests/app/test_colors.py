"""Colours and their limits. No Qt."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from cmap import Color

from napari_gest.app import colors
from napari_gest.app.colors import (
    LEAST_MAP_CONTRAST,
    MAPS,
    MISSING,
    NAMELESS,
    Scale,
    categories,
    label_colors,
    limits,
    table,
)
from napari_gest.palette import LEAST_CONTRAST, OKABE_ITO, contrast


def test_up_to_seven_categories_take_okabe_and_itos_colours():
    made = categories(pd.Series(list("gfedcba")))
    assert made.names == tuple("abcdefg")
    expected = np.array([Color(c).rgba for c in OKABE_ITO], np.float32)
    np.testing.assert_allclose(made.colors, expected)


@pytest.mark.parametrize("n", [8, 9, 40, 300])
def test_more_categories_stay_visible_on_black_and_on_white(n):
    made = categories(pd.Series([f"{i:03}" for i in range(n)]))
    assert len(made.colors) == n
    assert (contrast(made.colors) >= LEAST_CONTRAST - 1e-4).all()
    assert (contrast(made.colors, (1, 1, 1)) > 1.2).all()  # yellow, and what is darker
    if n < 60:
        assert len(np.unique(made.colors, axis=0)) == n


def test_stored_colours_are_honoured_in_category_order():
    values = pd.Series(pd.Categorical(["b", "a", "b"], categories=["b", "a"]))
    made = categories(values, ["#ff0000", "#00ff00"])
    np.testing.assert_allclose(made.rgba()[:, :3], [[1, 0, 0], [0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize("stored", [["#ff0000"], ["no", "colours"], []])
def test_stored_colours_that_do_not_fit_are_ignored(stored):
    made = categories(pd.Series(["a", "b"]), stored)
    np.testing.assert_allclose(made.colors[0], Color(OKABE_ITO[0]).rgba, rtol=1e-6)


def test_stored_colours_too_dark_for_the_canvas_are_lightened():
    stored = ["#000000", "#001030", "#ff0000"]
    made = categories(pd.Series(["a", "b", "c"]), stored)
    assert (contrast(made.colors) >= LEAST_CONTRAST - 1e-4).all()
    assert made.colors[1, 2] > made.colors[1, 0]  # still blue
    np.testing.assert_allclose(made.colors[2], [1, 0, 0, 1])


def test_names_with_numbers_are_sorted_as_people_do():
    values = pd.Series(["10", "2", "1", "11", "2"])
    stored = ["#111111", "#ff0000", "#00ff00", "#ffff00"]  # of 1, 10, 11, 2, as files sort
    made = categories(values, stored)
    assert made.names == ("1", "2", "10", "11")
    assert [made.names[code] for code in made.codes] == values.tolist()
    np.testing.assert_allclose(made.colors[1:, :3], [[1, 1, 0], [1, 0, 0], [0, 1, 0]])
    assert made.rgba()[0].tolist() == [1, 0, 0, 1]
    assert categories(pd.Series(["T 10", None, "T 9"])).codes.tolist() == [1, -1, 0]


def test_an_order_that_was_given_is_kept():
    ordered = pd.Categorical(["10", "2"], ["10", "2"], ordered=True)
    assert categories(pd.Series(ordered)).names == ("10", "2")
    chosen = pd.Categorical(["rim", "core"], ["rim", "core"])  # not as any file sorts
    assert categories(pd.Series(chosen)).names == ("rim", "core")


def test_a_label_has_one_colour_whoever_shows_it():
    drawn = ["tumour", "10", "9", "tumour"]  # in the order they were drawn
    colors_of = label_colors(drawn)
    assert list(colors_of) == ["tumour", "10", "9"]
    made = categories(pd.Series(["a", "b", "c"]))
    for color, like in zip(colors_of.values(), made.colors, strict=True):
        np.testing.assert_array_equal(color, like)
    # A label that is drawn later changes no colour of those before.
    later = label_colors([*drawn, "stroma"])
    for name, color in colors_of.items():
        np.testing.assert_array_equal(later[name], color)


@pytest.mark.parametrize("cmap", MAPS)
def test_no_colour_of_a_map_sinks_into_the_canvas(cmap):
    assert contrast(table(cmap)).min() >= LEAST_MAP_CONTRAST - 1e-3
    assert len(np.unique(table(cmap), axis=0)) > 200


def test_zero_is_seen_on_black_and_on_white_and_is_not_missing():
    (middle,) = Scale(-1, 1, colors.DIVERGING).rgba([0.0])[:, :3]
    assert contrast(middle) > LEAST_CONTRAST
    assert contrast(middle, (1, 1, 1)) > 2
    assert contrast(middle, MISSING[:3]) > 2
    low, high = Scale(-1, 1, colors.DIVERGING).rgba([-1.0, 1.0])[:, :3]
    assert min(np.linalg.norm(low - middle), np.linalg.norm(high - middle)) > 0.4


def test_missing_is_grey_and_counted_apart():
    made = categories(pd.Series(["a", None, "a", "b"]))
    assert made.counts.tolist() == [2, 1]
    assert made.n_missing == 1
    np.testing.assert_allclose(made.rgba()[1], NAMELESS)
    np.testing.assert_allclose(Scale(0, 1).rgba([np.nan])[0], MISSING)


def test_hidden_categories_are_transparent():
    rgba = categories(pd.Series(["a", "b", None])).rgba(frozenset({"a"}))
    np.testing.assert_allclose(rgba[:, 3], [0, 1, NAMELESS[3]])


def test_booleans_are_categories_and_numbers_are_not():
    assert colors.is_categorical(pd.Series([True, False]))
    assert colors.is_categorical(pd.Series(["x"]))
    assert not colors.is_categorical(pd.Series([1, 2]))
    assert not colors.is_categorical(pd.Series([1.0, np.nan]))
    assert categories(pd.Series([True, False])).names == ("False", "True")


def test_values_beyond_the_limits_take_the_end_colours():
    rgba = Scale(1, 2).rgba([0.0, 1.0, 2.0, 9.0])
    np.testing.assert_allclose(rgba[0], rgba[1])
    np.testing.assert_allclose(rgba[2], rgba[3])
    assert not np.allclose(rgba[0], rgba[3])


def test_limits_leave_out_outliers_and_missing_values():
    values = np.r_[np.linspace(0, 1, 1000), 1e6, np.nan]
    low, high = limits(values)
    assert low == 0
    assert 0.9 < high < 2


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], (0, 1)), ([np.nan], (0, 1)), ([0.0, 0.0], (0, 1)), ([5.0, 5.0], (5, 6))],
)
def test_limits_of_nothing_much_are_still_a_range(values, expected):
    assert limits(np.array(values, float)) == expected


def test_limits_of_a_rarely_expressed_gene_reach_its_values():
    values = np.zeros(1000)
    values[3] = 2.0
    assert limits(values) == (0, 2)


def test_diverging_limits_are_centred_on_zero():
    low, high = limits(np.array([-1.0, 4.0]), centred=True)
    assert low == -high
    assert limits(np.zeros(3), centred=True) == (-1, 1)


def test_cells_without_a_name_step_back_on_black_and_on_white():
    names = categories(pd.Series([f"{i:03}" for i in range(40)])).colors[:, :3]
    for canvas in (0.0, 1.0):
        seen = NAMELESS[:3] * NAMELESS[3] + canvas * (1 - NAMELESS[3])
        ground = np.full(3, canvas)
        assert contrast(seen, ground) < 2.1
        assert np.median(contrast(names, ground)) > contrast(seen, ground)
