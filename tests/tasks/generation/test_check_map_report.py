"""What a map of the check says of each tile."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from napari_gest.tasks.generation.check_map_report import CheckMap, Tiles, TileScore


def scattered(n: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    coords = np.random.default_rng(0).uniform(0, 1000, (n, 2))
    return coords, np.ones(n, bool)


def report(gains: np.ndarray, spread: float = 0.3, m: int = 60) -> CheckMap:
    """Return the map of tiles of which the first have scores of these gains."""
    coords, known = scattered()
    tiles = Tiles.of(coords, known, 100.0)
    rng = np.random.default_rng(1)
    scores = {}
    for tile, gain in enumerate(gains):
        local = np.exp(rng.normal(0, 0.1, m))
        scores[tile] = TileScore(local * (1 - gain) + rng.normal(0, spread, m), {30: local})
    return CheckMap.of(tiles, scores, np.bincount(tiles.tile), 20)


def test_every_cell_is_in_the_hexagon_of_the_nearest_centre() -> None:
    coords, known = scattered()
    known[:100] = False
    tiles = Tiles.of(coords, known, 120.0)
    assert (tiles.tile[:100] == -1).all()
    away = np.linalg.norm(coords[known][:, None] - tiles.centre_um[None], axis=2)
    np.testing.assert_allclose(
        away.min(1), away[np.arange(len(away)), tiles.tile[known]], atol=1e-9
    )
    found = CheckMap.of(tiles, {0: TileScore(np.ones(3), {30: np.ones(3)})}, np.zeros(1), 20)
    polygons = found.polygons
    assert shapely.union_all(polygons).area == pytest.approx(sum(p.area for p in polygons))
    points = shapely.points(coords[known])
    inside = shapely.covers(shapely.buffer(np.array(polygons)[tiles.tile[known]], 1e-6), points)
    assert inside.all()


def test_tiles_of_one_colour_lie_apart() -> None:
    coords, known = scattered()
    tiles = Tiles.of(coords, known, 100.0)
    assert set(tiles.color) == set(range(7))
    for color in range(7):
        centres = tiles.centre_um[tiles.color == color]
        away = np.linalg.norm(centres[:, None] - centres[None], axis=2)
        assert away[away > 0].min() == pytest.approx(100 * np.sqrt(7))


def test_the_gain_is_the_share_of_the_error_that_is_saved() -> None:
    found = report(np.array([0.3, -0.2, 0.1]), spread=0.0)
    np.testing.assert_allclose(found.table["gain"][:3], [0.3, -0.2, 0.1], atol=1e-9)
    np.testing.assert_allclose(found.table["expected_gain"][:3], [0.3, -0.2, 0.1], atol=1e-4)
    assert found.neighbours == 30
    assert "expected in 2 of 3 tiles" in found.verdict


def test_noise_is_drawn_together() -> None:
    rng = np.random.default_rng(2)
    same = report(np.full(60, 0.05), spread=0.5).table["expected_gain"][:60]
    assert same.std() < 0.02
    assert same.mean() == pytest.approx(0.05, abs=0.02)
    real = rng.normal(0.05, 0.1, 60)
    apart = report(real, spread=0.5).table
    error = [np.square(apart[c][:60] - real).mean() for c in ("gain", "expected_gain")]
    assert error[1] < error[0]
