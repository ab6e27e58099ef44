from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from napari_gest.errors import InputError
from napari_gest.tissue.moran import morans_i, top_svgs
from napari_gest.tissue.section import Section


def literal(values: np.ndarray, coords: np.ndarray, k: int) -> np.ndarray:
    """Moran's I as its formula is written, one gene and one pair of cells at a time."""
    n, g = values.shape
    result = np.zeros(g)
    for gene in range(g):
        z = values[:, gene] - values[:, gene].mean()
        for i in range(n):
            apart = np.linalg.norm(coords - coords[i], axis=1)
            apart[i] = np.inf
            for j in np.argsort(apart)[:k]:
                result[gene] += z[i] * z[j] / k
        result[gene] /= (z**2).sum()
    return result


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.integers(1, 8))
def test_equals_the_formula(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    coords, values = rng.uniform(0, 100, (40, 2)), rng.normal(3, 2, (40, 5))
    assert morans_i(values, coords, k) == pytest.approx(literal(values, coords, k), abs=1e-10)


def test_sparse_and_dense_agree_over_many_genes() -> None:
    rng = np.random.default_rng(0)
    values = rng.poisson(0.5, (60, 150)).astype(np.float32)
    coords = rng.uniform(0, 100, (60, 2))
    dense = morans_i(values, coords)
    assert morans_i(sparse.csr_matrix(values), coords) == pytest.approx(dense, abs=1e-12)


def test_gradients_noise_and_checkerboards() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:20, :20]
    coords = np.c_[x.ravel(), y.ravel()].astype(float)
    values = np.c_[x.ravel(), rng.normal(size=400), (x + y).ravel() % 2].astype(float)
    gradient, noise, board = morans_i(values, coords, 4)
    assert gradient > 0.9
    assert abs(noise) < 0.15
    assert board < -0.8


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 / 3])
def test_a_constant_gene_is_zero(value: float) -> None:
    coords = np.random.default_rng(0).uniform(0, 100, (999, 2))
    values = np.full((999, 2), value, dtype=np.float32)
    values[0, 1] += 1
    constant, varies = morans_i(values, coords)
    assert constant == 0
    assert varies != 0


def test_cells_on_one_spot_and_few_cells() -> None:
    values = np.arange(30.0)[:, None]
    assert np.isfinite(morans_i(values, np.zeros((30, 2)), 4)).all()
    assert np.isfinite(morans_i(values[:2], np.eye(2), 10)).all()


def test_top_svgs_are_the_highest(section: Section) -> None:
    values = section.model_space(250.0)
    scores = morans_i(values, section.coords_um)
    top = top_svgs(values, section.coords_um, 7)
    assert top.tolist() == np.argsort(-scores, kind="stable")[:7].tolist()


@pytest.mark.parametrize("n", [0, -1, 31])
def test_top_svgs_out_of_range(section: Section, n: int) -> None:
    with pytest.raises(InputError):
        top_svgs(section.expression, section.coords_um, n)


def test_bad_input_is_refused() -> None:
    coords = np.random.default_rng(0).uniform(0, 100, (20, 2))
    values = np.ones((20, 2))
    with pytest.raises(InputError, match="19 rows"):
        morans_i(values[:-1], coords)
    with pytest.raises(InputError, match="not defined"):
        morans_i(values[:1], coords[:1])
    with pytest.raises(InputError, match="not defined"):
        morans_i(values, coords, 0)
    values[3, 1] = np.nan
    with pytest.raises(InputError, match="missing"):
        morans_i(values, coords)
