"""Slopes with standard errors: right, honest about autocorrelation, blind to common causes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial import cKDTree

from napari_gest.tasks.perturbation.local_slopes import LocalSlopes, local_slopes
from napari_gest.tasks.perturbation.respond import Residuals

N, GENES, LIGAND, SENDER, RECEIVER, SIDE = 3000, 24, 0, 0, 1, 1300.0


def smooth(coords: np.ndarray, length: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return (n_cells, n) smooth fields of variance 1."""
    wave, phase = rng.normal(0, 1 / length, (n, 40, 2)), rng.uniform(0, 2 * np.pi, (n, 40))
    angle = np.einsum("id,nkd->ink", coords, wave) + phase
    return np.sqrt(2 / 40) * np.cos(angle).sum(2)


def tissue(seed: int, *, slope: float = 0.0, common: float = 0.0, fine: float = 0.0) -> Residuals:
    """Genes 1 to 6 of receivers follow the ligand; all genes a common cause or fields of 40 um."""
    rng = np.random.default_rng(seed)
    coords = rng.uniform(0, SIDE, (N, 2))
    pairs = cKDTree(coords).sparse_distance_matrix(cKDTree(coords), 90, output_type="coo_matrix")
    apart = pairs.data > 0
    weight = np.exp(-0.5 * (pairs.data[apart] / 30) ** 2) / 5
    near = sparse.csr_matrix((weight, (pairs.row[apart], pairs.col[apart])), shape=(N, N))
    identity = rng.integers(0, 3, N)
    cause = smooth(coords, 300, 1, rng)
    values = rng.normal(size=(N, GENES)) + common * cause
    values += fine * smooth(coords, 40, GENES, rng)
    values[:, LIGAND] += common * cause[:, 0]
    values[identity != SENDER, LIGAND] *= 0.2
    dose = near @ values[:, LIGAND]
    values[:, 1:7] += slope * dose[:, None] * (identity == RECEIVER)[:, None]
    return Residuals(
        {"one": N},
        values.astype(np.float32),
        values,
        rng.normal(size=(N, 2)),
        identity,
        3,
        near,
        np.ones(GENES, np.float32),
        np.ones(GENES, bool),
        30.0,
        coords,
        np.full(N, np.log1p(100.0)),
    )


def found(seed: int, **settings: float) -> LocalSlopes:
    return local_slopes(tissue(seed, **settings), np.eye(GENES)[LIGAND])


def z(slopes: LocalSlopes) -> np.ndarray:
    """(3, G - 1) slopes over their errors, without the ligand."""
    return (slopes.slope / slopes.error)[:, 1:]


def test_a_response_is_found_in_the_identity_that_responds() -> None:
    found_z = z(found(0, slope=0.8))
    assert (found_z[RECEIVER, :6] > 2.5).all()
    assert np.abs(found_z[2]).mean() < 1.5
    assert np.abs(found_z[RECEIVER, 6:]).mean() < 1.5


@pytest.mark.parametrize("settings", [{}, {"common": 0.7}, {"fine": 1.0}])
def test_errors_are_as_large_as_slopes_vary_where_nothing_responds(
    settings: dict[str, float],
) -> None:
    """Alone, under a common cause of ligand and genes, and with genes that are autocorrelated."""
    spread = np.sqrt(np.mean([np.square(z(found(seed, **settings))) for seed in range(3)]))
    assert 0.75 < spread < 1.2


def test_an_identity_of_few_cells_has_no_slope() -> None:
    made = tissue(1)
    rare = made.identity.copy()
    rare[rare == 2] = 0
    rare[:50] = 2
    slopes = local_slopes(Residuals(**{**vars(made), "identity": rare}), np.eye(GENES)[LIGAND])
    assert np.isinf(slopes.error[2]).all()
    assert np.isfinite(slopes.error[:2]).all()
    assert slopes.n_blocks[2] == 0
