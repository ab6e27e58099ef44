"""Generated cells while they come. No Qt."""

from __future__ import annotations

import numpy as np


def test_they_start_empty_and_fill(generated_cells, opened):
    assert generated_cells.cells[:3].tolist() == [5, 6, 7]
    assert generated_cells.cells[-3:].tolist() == [-1, -1, -1]
    np.testing.assert_array_equal(generated_cells.coords_um[:40], opened.section.coords_um[5:45])
    assert generated_cells.filled.sum() == 10
    assert generated_cells.has_truth
    assert np.isnan(generated_cells.gene(generated_cells.genes[0])[10:]).all()
    assert np.isnan(
        generated_cells.from_section(np.ones(opened.section.n_obs, np.float32))[-3:]
    ).all()
