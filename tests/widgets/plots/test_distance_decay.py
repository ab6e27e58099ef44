from __future__ import annotations

import numpy as np

from napari_gest.widgets.plots.distance_decay import binned


def test_decay_is_the_mean_in_bins_of_distance():
    rng = np.random.default_rng(0)
    far = rng.uniform(0, 120, 3000)
    x, mean, error = binned(far, np.exp(-far / 30), 0.0, 120.0)
    np.testing.assert_allclose(mean, np.exp(-x / 30), rtol=0.05)
    assert (np.diff(mean) < 0).all()
    assert (error >= 0).all()
    assert len(binned(np.array([1.0, 2.0]), np.ones(2), 0.0, 120.0)[0]) == 0  # too few cells
