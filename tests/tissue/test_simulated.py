"""What simulated tissues are made of."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from napari_gest.errors import InputError
from napari_gest.tissue.simulated import (
    draw_counts,
    library_sizes,
    profiles_of_types,
    smooth_field,
)


def test_fields_are_smooth_and_of_variance_1() -> None:
    rng = np.random.default_rng(0)
    coords = rng.uniform(0, 5000, (4000, 2))
    field = smooth_field(coords, 200.0, 3, rng)
    np.testing.assert_allclose(field.var(0), 1, atol=0.35)
    near = smooth_field(np.array([[0.0, 0.0], [5.0, 0.0]]), 200.0, 200, rng)
    far = smooth_field(np.array([[0.0, 0.0], [5000.0, 0.0]]), 200.0, 200, rng)
    assert np.corrcoef(near)[0, 1] > 0.99
    assert abs(np.corrcoef(far)[0, 1]) < 0.3


def test_counts_have_the_shares_that_are_asked_for() -> None:
    rng, share = np.random.default_rng(0), np.array([0.5, 0.3, 0.2, 0.0])
    counts = draw_counts(lambda part: np.tile(share, (len(range(5000)[part]), 1)), 5000, rng)
    assert counts.shape == (5000, 4)
    totals = np.asarray(counts.sum(0)).ravel()
    np.testing.assert_allclose(totals / totals.sum(), share, atol=0.01)
    assert np.median(library_sizes(5000, rng)) == pytest.approx(250, rel=0.05)


def test_profiles_made_up_are_alike_within_a_type() -> None:
    profiles, type_of = profiles_of_types(None, 60, 5, np.random.default_rng(0))
    assert profiles.shape == (15, 60)
    np.testing.assert_allclose(profiles.sum(1), 1)
    assert (np.diff(type_of) >= 0).all()
    logged = np.log(profiles)
    within = np.mean([pdist(logged[type_of == one]).mean() for one in range(5)])
    assert within < 0.8 * pdist(logged).mean()


def test_profiles_that_cannot_be_used_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="cannot be used"):
        profiles_of_types([[1.0, -1.0]], None, 2, rng)
    with pytest.raises(InputError, match="zero"):
        profiles_of_types([[0.0, 0.0]], None, 2, rng)
