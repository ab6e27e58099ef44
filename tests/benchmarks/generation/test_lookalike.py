from __future__ import annotations

import numpy as np

from benchmarks.common.holes import Case, Hole
from benchmarks.generation.lookalike import look_alike


def tissue(width: float) -> Case:
    """A hole among cells whose first gene tells stripes of 400 um apart, 0 1 0 1..."""
    rng = np.random.default_rng(0)
    coords = rng.uniform(0, width, (int(width**2 / 400), 2))
    stripe = (coords[:, 0] // 400) % 2
    values = np.column_stack([stripe * 5, rng.normal(size=len(coords))]).astype(np.float32)
    center, radius = np.array([200.0, width / 2]), 100.0
    mask = np.hypot(*(coords - center).T) <= radius
    hole = Hole(center, radius, mask, np.zeros(len(mask), bool))
    return Case("s", coords, values, hole, np.array([0]))


def test_the_patch_has_the_rim_of_the_hole_and_keeps_clear_of_it():
    case = tissue(1600)
    patch = look_alike(case)
    assert len(patch) == len(case.truth) == len(np.unique(patch))
    assert case.known_values[patch, 0].max() == 0  # of the same kind of stripe
    where = case.known_coords[patch]
    centre = where.mean(0)
    assert np.hypot(*(centre - case.hole.center)) > 2 * case.hole.radius_um
    assert np.hypot(*(where - centre).T).max() < 1.5 * case.hole.radius_um
    np.testing.assert_array_equal(patch, look_alike(case))


def test_there_is_none_where_none_fits():
    assert look_alike(tissue(400)) is None
