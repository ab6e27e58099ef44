from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from napari_gest.errors import InputError, ReadingError
from napari_gest.tissue.expression import check_linear, log_normalize
from napari_gest.tissue.section import Section

COUNTS = (
    np.random.default_rng(0)
    .poisson(np.random.default_rng(1).lognormal(0, 1, (300, 1)) * 3, (300, 40))
    .astype(np.float32)
)
NORMALISED = COUNTS / COUNTS.sum(axis=1, keepdims=True).clip(1) * 100
LOGGED = [
    np.log1p(COUNTS),
    np.log1p(NORMALISED),
    np.log1p(NORMALISED)[:, :15],
]


@pytest.mark.parametrize("values", LOGGED)
def test_logged_values_are_refused_or_undone(values: np.ndarray) -> None:
    with pytest.raises(InputError, match="logged"):
        check_linear(sparse.csr_matrix(values), "s")
    undone = check_linear(sparse.csr_matrix(values), "s", scale="log1p")
    assert undone.toarray() == pytest.approx(np.expm1(values), rel=1e-5)


@pytest.mark.parametrize("values", [COUNTS, NORMALISED, COUNTS * 0.37, COUNTS[:1], COUNTS > 0])
def test_linear_values_pass_unchanged(values: np.ndarray) -> None:
    given = sparse.csr_matrix(values, dtype=np.float32)
    assert check_linear(given, "s") is given
    assert check_linear(given, "s", scale="linear") is given


def test_a_file_that_says_so_is_logged() -> None:
    volume = np.random.default_rng(2).lognormal(0, 1, (300, 1))
    values = sparse.csr_matrix(np.log1p(COUNTS / volume), dtype=np.float32)
    check_linear(values, "s")
    with pytest.raises(InputError, match="logged"):
        check_linear(values, "s", marked_logged=True)
    counts = sparse.csr_matrix(COUNTS)
    assert check_linear(counts, "s", marked_logged=True) is counts


def test_model_space_is_log1p_of_total_normalised() -> None:
    space = log_normalize(sparse.csr_matrix(COUNTS), 250.0)
    assert space.dtype == np.float32
    expected = np.log1p(COUNTS / COUNTS.sum(axis=1, keepdims=True) * 250)
    assert space == pytest.approx(expected, rel=1e-5)
    assert np.array_equal(space, log_normalize(COUNTS, 250.0))


def test_an_empty_cell_is_zero() -> None:
    assert log_normalize(np.zeros((2, 3), dtype=np.float32), 250.0).tolist() == [[0] * 3] * 2


@given(
    arrays(np.float32, (4, 6), elements=st.floats(0, 1e6, width=32)),
    st.floats(0.01, 1000),
)
def test_scale_of_a_cell_does_not_matter(values: np.ndarray, scale: float) -> None:
    before = values.copy()
    space = log_normalize(values, 100.0)
    assert np.isfinite(space).all()
    assert np.array_equal(values, before)
    scaled = log_normalize((values * scale).astype(np.float32), 100.0)
    normal = (values == 0) | (values * scale > 1e-30)
    if normal.all():
        assert scaled == pytest.approx(space, rel=1e-3, abs=1e-4)


def test_rounded_values_per_volume_are_linear() -> None:
    """Small values whose logarithm, undone, would make cells more alike; none is a count."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(2.0, (500, 40))
    per_volume = sparse.csr_matrix(
        np.round(counts / rng.uniform(8, 30, (500, 1)), 2), dtype=np.float32
    )
    assert check_linear(per_volume, "a") is per_volume
    logged = sparse.csr_matrix(
        np.log1p(250 * counts / counts.sum(1, keepdims=True)), dtype=np.float32
    )
    with pytest.raises(InputError, match="logged"):
        check_linear(logged, "a")
    with pytest.raises(InputError, match="logged"):
        check_linear(per_volume, "a", marked_logged=True)


def test_counts_by_large_volumes_are_linear() -> None:
    """So small that the exponential hardly changes them: multiples of one count either way."""
    rng = np.random.default_rng(2)
    counts, volume = rng.poisson(0.5, (300, 40)), rng.uniform(4000, 20_000, (300, 1))
    values = sparse.csr_matrix(counts / volume, dtype=np.float32)
    assert check_linear(values, "s") is values


def test_what_is_said_of_values_counts_more_than_what_they_look_like() -> None:
    """Values per volume, none above 3: cells of few genes that each are high, cells of many."""
    few, many = np.zeros((150, 20)), np.zeros((150, 20))
    few[:, 0], many[:, :10] = 2.5, 0.6
    noise = np.random.default_rng(0).uniform(0.9, 1.1, (300, 20))
    values = sparse.csr_matrix(np.vstack([few, many]) * noise, dtype=np.float32)
    assert values.max() < 3
    with pytest.raises(ReadingError, match="logged") as raised:
        check_linear(values, "s")
    assert raised.value.option == "scale"
    assert "linear" in raised.value.remedy
    assert check_linear(values, "s", scale="linear") is values
    assert check_linear(values, "s", scale="linear", marked_logged=True) is values
    unlike = sparse.csr_matrix(np.log1p(COUNTS / COUNTS.sum(1, keepdims=True)), dtype=np.float32)
    undone = check_linear(unlike, "s", scale="log1p")
    assert undone.data == pytest.approx(np.expm1(unlike.data), rel=1e-5)


@pytest.mark.parametrize("values", [COUNTS, COUNTS[:1], NORMALISED, COUNTS > 0])
def test_what_cannot_be_a_logarithm_is_not_taken_for_one(values: np.ndarray) -> None:
    with pytest.raises(ReadingError, match="no logarithms") as raised:
        check_linear(sparse.csr_matrix(values, dtype=np.float32), "s", scale="log1p")
    assert raised.value.option == "scale"


@pytest.mark.data
def test_logged_real_data_is_recognised(data_dir: Path) -> None:
    for path in sorted(data_dir.glob("*.h5ad")):
        adata = anndata.read_h5ad(path)
        name = str(adata.obs["section"].iloc[0])
        section = Section.from_anndata(adata, name)
        for target_sum in (250.0, 10_000.0):
            with pytest.raises(InputError, match="logged"):
                check_linear(sparse.csr_matrix(section.model_space(target_sum)), name)
