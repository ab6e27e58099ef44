from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.common.metrics import pearson
from benchmarks.generation import split_half
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate


@pytest.fixture(scope="module")
def section() -> Section:
    return Section.from_anndata(simulate(600, 12, 1, seed=0))


def test_only_counts_are_divided(section):
    assert section.holds_counts
    assert not replace(section, expression=section.expression * 0.3).holds_counts


def test_halves_share_the_cell_and_not_the_noise(section):
    # Cells of one rate: whatever correlates over them is not the cell.
    rng = np.random.default_rng(0)
    flat = type(section.expression)(rng.poisson(20.0, section.expression.shape).astype(np.float32))
    one, other = split_half.halves(replace(section, expression=flat), 240.0, 0)
    assert abs(pearson(one, other).mean()) < 0.05
    # Cells of two rates correlate by them.
    rates = np.where(np.arange(len(section.coords_um)) % 2, 1.0, 20.0)[:, None]
    rates = np.where(np.arange(12) % 2, rates, rates[::-1])
    two = type(section.expression)(rng.poisson(rates).astype(np.float32))
    one, other = split_half.halves(replace(section, expression=two), 240.0, 0)
    assert pearson(one, other).mean() > 0.8


def test_no_count_is_lost_and_none_in_both_halves(section):
    single = replace(section, expression=section.expression.sign())  # at most one of each
    one, other = split_half.halves(single, 200.0, 0)
    np.testing.assert_array_equal((one > 0) ^ (other > 0), single.expression.toarray() > 0)
    assert not ((one > 0) & (other > 0)).any()


def test_one_seed_is_one_draw(section):
    first, again = (split_half.halves(section, 200.0, [0, 7]) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], split_half.halves(section, 200.0, [1, 7])[0])


def test_spearman_brown_is_the_reliability_of_the_whole():
    assert split_half.spearman_brown(0.5) == pytest.approx(2 / 3)
    # Signal and noise of equal variance in a half: 2 / 3 in the sum of two.
    rng = np.random.default_rng(0)
    signal = rng.normal(size=200_000)
    a, b, c, d = (signal + rng.normal(size=200_000) for _ in range(4))
    halves, wholes = np.corrcoef(a, b)[0, 1], np.corrcoef(a + b, c + d)[0, 1]
    assert split_half.spearman_brown(halves) == pytest.approx(wholes, abs=0.01)
