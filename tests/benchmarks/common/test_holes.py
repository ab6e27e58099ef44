from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import ConvexHull, Delaunay

from benchmarks.common.holes import MAX_FRACTION, MIN_CELLS, RADII_UM, cases, draw_holes


def scattered(n: int = 5000, side: float = 1800.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, side, (n, 2))


def test_holes_have_the_radii_asked_for_and_their_cells():
    coords = scattered()
    holes = draw_holes(coords, seed=1)
    assert [h.radius_um for h in holes] == list(RADII_UM)
    for hole in holes:
        inside = np.hypot(*(coords - hole.center).T) <= hole.radius_um
        np.testing.assert_array_equal(hole.mask, inside)
        assert MIN_CELLS <= hole.mask.sum() <= MAX_FRACTION * len(coords)
        assert not hole.buffer.any()


def test_a_hole_lies_inside_the_tissue_and_has_known_cells_all_round():
    coords = scattered()
    hull = Delaunay(coords[ConvexHull(coords).vertices])
    angles = np.linspace(0, 2 * np.pi, 90)
    for hole in draw_holes(coords, seed=2):
        circle = hole.center + hole.radius_um * np.column_stack([np.cos(angles), np.sin(angles)])
        assert (hull.find_simplex(circle) >= 0).all()


def test_empty_ground_is_avoided():
    coords = scattered(8000)
    coords = coords[np.abs(coords[:, 0] - 900) > 150]  # a torn band through the middle
    for seed in range(5):
        for hole in draw_holes(coords, (100.0, 200.0), seed):
            assert abs(hole.center[0] - 900) > 150 + 0.5 * hole.radius_um


def test_seeds_decide():
    coords = scattered()
    one, same, other = (draw_holes(coords, seed=s) for s in (3, 3, 4))
    assert all((a.mask == b.mask).all() for a, b in zip(one, same, strict=True))
    assert not any((a.mask == b.mask).all() for a, b in zip(one, other, strict=True))


def test_sparse_spots_scale_the_radii_together():
    x, y = np.meshgrid(np.arange(60) * 100.0, np.arange(60) * 100.0)
    holes = draw_holes(np.column_stack([x.ravel(), y.ravel()]))
    radii = np.array([h.radius_um for h in holes])
    np.testing.assert_allclose(radii / radii[0], np.array(RADII_UM) / RADII_UM[0], rtol=1e-9)
    assert radii[0] > 200
    assert all(h.mask.sum() >= MIN_CELLS for h in holes)


def test_a_radius_that_does_not_fit_shrinks():
    holes = draw_holes(scattered(1100, 1.0) * [950.0, 510.0])
    assert holes[0].radius_um == 100
    assert holes[-1].radius_um < 255
    with pytest.raises(ValueError, match="no disc"):
        draw_holes(scattered(30, 100.0))


def test_buffer_is_neither_known_nor_predicted_and_adds_depth():
    coords = scattered()
    plain = draw_holes(coords, (150.0,), 5)[0]
    ringed = draw_holes(coords, (150.0,), 5, buffer_um=60.0)[0]
    np.testing.assert_array_equal(plain.mask, ringed.mask)
    assert ringed.buffer.any()
    assert not (ringed.buffer & ringed.mask).any()
    np.testing.assert_array_equal(ringed.known, ~(ringed.mask | ringed.buffer))
    assert (ringed.depth_um(coords) > plain.depth_um(coords) + 20).all()


def test_depth_is_about_the_distance_to_the_circle():
    coords = scattered(20000)
    hole = draw_holes(coords, (300.0,), 0)[0]
    to_circle = hole.radius_um - np.hypot(*(coords[hole.mask] - hole.center).T)
    depth = hole.depth_um(coords)
    assert (depth >= to_circle - 1e-9).all()
    assert np.median(depth - to_circle) < 15


def test_cases_rank_genes_without_the_hole():
    coords = scattered(2000, 1000.0)
    values = np.random.default_rng(0).random((2000, 20)).astype(np.float32)
    values[:, 3] += np.sin(coords[:, 0] / 150)
    first = cases("s", coords, values, 0, radii_um=(150.0,))[0]
    scrambled = values.copy()
    scrambled[first.hole.mask] = 100.0
    again = cases("s", coords, scrambled, 0, radii_um=(150.0,))[0]
    np.testing.assert_array_equal(first.svg, again.svg)
    assert first.svg[0] == 3
    assert len(first.truth) + len(first.known_values) == 2000
    other = cases("t", coords, values, 0, radii_um=(150.0,))[0]
    assert not np.array_equal(first.hole.center, other.hole.center)
