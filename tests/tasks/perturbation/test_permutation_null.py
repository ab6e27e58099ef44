"""Like cells exchange levels: valid p-values without a response, and one that is found."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from napari_gest.tasks.perturbation.permutation_null import _share, exchange
from napari_gest.tasks.perturbation.respond import Residuals
from napari_gest.tasks.perturbation.significance import pooled_p
from napari_gest.tasks.progress import finish

N, GENES = 900, 30
SENDER, RECEIVER = 0, 1
LIGAND = 0


def made_up(seed: int, slope: float) -> Residuals:
    """Cells in two sections; in receivers genes 1 to 6 follow the ligand of senders around."""
    rng = np.random.default_rng(seed)
    coords = rng.uniform(0, 300, (N, 2)) + [1000, 0] * (np.arange(N) % 2 == 1)[:, None]
    coords = coords[np.argsort(np.arange(N) % 2, kind="stable")]
    pairs = cKDTree(coords).sparse_distance_matrix(cKDTree(coords), 25, output_type="coo_matrix")
    apart = pairs.data > 0
    near = sparse.csr_matrix(
        (np.ones(apart.sum()), (pairs.row[apart], pairs.col[apart])), shape=(N, N)
    )
    identity = rng.integers(0, 3, N)
    values = rng.normal(size=(N, GENES))
    # Type-wide gradients, which all genes share, are no response.
    values += 0.3 * np.sin(coords[:, :1] / 60)
    values[:, LIGAND] = rng.normal(size=N) * (identity == SENDER)
    dose = near @ values[:, LIGAND]
    values[:, 1:7] += slope * dose[:, None] * (identity == RECEIVER)[:, None]
    own = values.copy()
    for c in range(3):
        own[identity == c] -= own[identity == c].mean(0)
    return Residuals(
        {"one": N // 2, "two": N - N // 2},
        values.astype(np.float32),
        own,
        np.zeros((N, 1)),
        identity,
        3,
        near,
        np.ones(GENES, np.float32),
        np.ones(GENES, bool),
        20.0,
        coords,
        np.full(N, np.log1p(100.0)),
    )


def p_values(tissue: Residuals, seed: int, doses: np.ndarray, n: int = 60) -> np.ndarray:
    ligand = np.eye(GENES)[LIGAND]
    rng = np.random.default_rng(seed)
    found, drawn = finish(exchange(tissue, ligand, [doses], n, rng))
    return pooled_p(found[0, 1:], drawn[0][:, 1:])


def test_p_values_are_valid_where_nothing_responds() -> None:
    p = np.concatenate([p_values(made_up(seed, 0.0), seed, np.ones(3)) for seed in range(30)])
    # 870 genes; where no pair of identities exceeds chance p is 1, so small ones are rarer.
    assert 0.01 < (p <= 0.05).mean() < 0.06
    assert 0.25 < (p <= 0.5).mean() < 0.53


def test_a_response_is_found_in_the_identity_that_responds() -> None:
    p = p_values(made_up(1, 0.4), 0, np.ones(3))
    assert (p[:6] < 0.005).all()
    assert np.median(p[6:]) > 0.2
    # An edit that does not reach the receivers shows nothing of it.
    elsewhere = p_values(made_up(1, 0.4), 0, np.array([1.0, 0.0, 1.0]))
    assert (elsewhere[:6] > 0.005).all()


def test_cells_without_a_like_one_in_their_section_have_nothing_to_exchange() -> None:
    tissue = made_up(2, 0.4)
    alone = Residuals(**{**vars(tissue), "identity": np.arange(N), "n_identities": N})
    found, drawn = finish(
        exchange(alone, np.eye(GENES)[LIGAND], [np.ones(N)], 19, np.random.default_rng(0))
    )
    assert (found == 0).all()
    assert (drawn == 0).all()


def test_a_gene_has_no_say_in_its_own_weight() -> None:
    rng = np.random.default_rng(0)
    z, judged = rng.normal(size=(2, 8)) * 2, np.arange(8) > 0
    share = _share(z, judged)
    z[:, 3] = 50.0
    assert np.allclose(_share(z, judged)[:, 3], share[:, 3])
    assert (_share(z, judged)[:, 4] > share[:, 4]).all()
    # What is not judged counts for nobody.
    z[:, 0] = 99.0
    assert np.allclose(_share(z, judged)[:, 3], share[:, 3])
