"""Principal axes: exact, approximate, and always with the same sign."""

from __future__ import annotations

import numpy as np

from napari_gest.model.axes import approximate_axes, principal_axes, signed


def _values(n: int = 500, n_genes: int = 12) -> np.ndarray:
    rng = np.random.default_rng(0)
    spread = np.diag(np.geomspace(5, 0.2, n_genes))
    return (rng.normal(size=(n, n_genes)) @ spread + 3).astype(np.float32)


def test_they_are_those_of_a_decomposition_of_the_centred_values() -> None:
    values = _values()
    mean, axes = principal_axes(values, 4)
    np.testing.assert_allclose(mean, values.mean(0), atol=1e-4)
    expected = np.linalg.svd(values - values.mean(0), full_matrices=False)[2][:4]
    np.testing.assert_allclose(np.abs(axes @ expected.T), np.eye(4), atol=1e-3)
    near = approximate_axes(values, 4, seed=0)[1]
    np.testing.assert_allclose(near, axes, atol=1e-3)


def test_signs_do_not_depend_on_the_solver() -> None:
    axes = principal_axes(_values(), 5)[1]
    assert (axes[np.arange(5), np.abs(axes).argmax(1)] > 0).all()
    np.testing.assert_array_equal(signed(-axes), axes)
