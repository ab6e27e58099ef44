"""Look-alike patches: as deep as the region, of allowed cells, apart, and the most alike first."""

from __future__ import annotations

import numpy as np
import pytest

from napari_gest.tissue.patches import look_alike_patches

RADIUS = 60.0


@pytest.fixture
def tissue() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return coordinates, features (left and right differ) and which cells are in the region."""
    rng = np.random.default_rng(0)
    coords = rng.uniform(0, 1000, (6000, 2))
    features = np.stack([(coords[:, 0] > 500) * 5.0, np.zeros(6000)], 1)
    features += rng.normal(0, 0.5, features.shape)
    region = np.linalg.norm(coords - [250, 500], axis=1) < RADIUS
    return coords, features, region


def test_they_are_discs_apart_from_each_other_and_from_the_region(tissue: tuple) -> None:
    coords, features, region = tissue
    known = coords[~region]
    found = look_alike_patches(known, features[~region], coords[region], RADIUS, 6)
    assert len(found) == 6
    for i, patch in enumerate(found):
        distance = np.linalg.norm(known - patch.centre_um, axis=1)
        np.testing.assert_array_equal(patch.cells, np.flatnonzero(distance <= RADIUS))
        assert np.linalg.norm(patch.centre_um - coords[region], axis=1).min() > RADIUS
        for other in found[:i]:
            assert not set(patch.cells) & set(other.cells)


def test_the_most_alike_come_first(tissue: tuple) -> None:
    coords, features, region = tissue
    found = look_alike_patches(coords[~region], features[~region], coords[region], RADIUS, 5)
    assert all(patch.centre_um[0] < 500 for patch in found)


def test_they_are_made_of_allowed_cells(tissue: tuple) -> None:
    coords, features, region = tissue
    known = coords[~region]
    allowed = known[:, 0] > 600
    found = look_alike_patches(known, features[~region], coords[region], RADIUS, 5, allowed=allowed)
    assert found
    assert all(allowed[patch.cells].mean() >= 0.8 for patch in found)
    nothing = np.zeros(len(known), bool)
    assert not look_alike_patches(
        known, features[~region], coords[region], RADIUS, 5, allowed=nothing
    )


def test_no_more_cells_than_wanted_and_none_at_the_edge(tissue: tuple) -> None:
    coords, features, region = tissue
    known = coords[~region]
    found = look_alike_patches(known, features[~region], coords[region], RADIUS, 50, most_cells=400)
    assert sum(len(patch.cells) for patch in found) <= 400
    many = look_alike_patches(known, features[~region], coords[region], RADIUS, 50)
    typical = np.pi * RADIUS**2 * 6000 / 1e6
    assert all(len(patch.cells) > 0.5 * typical for patch in many)
