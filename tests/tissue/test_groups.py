from __future__ import annotations

import numpy as np

from napari_gest.tissue.window import compact_groups


def test_every_cell_is_in_one_compact_group() -> None:
    coords = np.random.default_rng(0).random((500, 2))
    groups = compact_groups(coords, 32)
    assert sorted(np.concatenate(groups).tolist()) == list(range(500))
    assert max(map(len, groups)) <= 32
    assert max(np.ptp(coords[g], axis=0).max() for g in groups) < 0.5
