from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from napari_gest.errors import InputError
from napari_gest.model import tokenizer as module
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.tissue.section import Section


def fitted(values: np.ndarray, k: int = 20, p: int = 10) -> MetaCellTokenizer:
    genes = tuple(f"g{i}" for i in range(values.shape[1]))
    return MetaCellTokenizer.fit(
        values, genes, 250.0, n_meta_cells=k, n_pcs=p, level_sizes=(6, 4, 2), seed=0
    )


@pytest.fixture
def values(section: Section) -> np.ndarray:
    return section.model_space(250.0)


def test_axes_are_those_of_pca(values: np.ndarray) -> None:
    tokenizer = fitted(values)
    reference = PCA(10, svd_solver="full").fit(values)
    overlap = np.abs((tokenizer.components * reference.components_).sum(1))
    assert overlap[:5] == pytest.approx(np.ones(5), abs=1e-3)
    assert tokenizer.mean == pytest.approx(values.mean(0), abs=1e-5)


def test_a_token_is_the_nearest_meta_cell(values: np.ndarray) -> None:
    tokenizer = fitted(values)
    pcs = tokenizer.project(values)
    distance = np.linalg.norm(pcs[:, None] - tokenizer.c_pca[None], axis=2)
    chosen = distance[np.arange(len(pcs)), tokenizer.tokens(values)]
    assert chosen == pytest.approx(distance.min(1), abs=1e-4)
    assert tokenizer.tokens(values).dtype == np.int16


def test_vocabulary_is_mean_and_variance_of_its_cells(values: np.ndarray) -> None:
    tokenizer = fitted(values)
    mean = tokenizer.frequency @ tokenizer.c_expr
    assert mean == pytest.approx(values.mean(0), abs=1e-4)
    within = tokenizer.frequency @ tokenizer.v_expr
    between = tokenizer.frequency @ np.square(tokenizer.c_expr - mean)
    assert within + between == pytest.approx(values.var(0), abs=1e-3)
    assert tokenizer.frequency.sum() == pytest.approx(1, abs=1e-5)


def test_levels_have_their_sizes(values: np.ndarray) -> None:
    levels = fitted(values).levels
    assert [len(np.unique(column)) for column in levels.T] == [6, 4, 2]


def test_one_seed_gives_one_vocabulary(values: np.ndarray) -> None:
    assert np.array_equal(fitted(values).c_expr, fitted(values).c_expr)


def test_unmeasured_genes_count_as_the_mean(values: np.ndarray) -> None:
    tokenizer = fitted(values)
    measured = np.ones(values.shape[1], bool)
    measured[:3] = False
    other = values.copy()
    other[:, :3] = 99.0
    filled = values.copy()
    filled[:, :3] = tokenizer.mean[:3]
    assert np.array_equal(tokenizer.tokens(other, measured), tokenizer.tokens(filled))


def test_many_genes_take_the_iterative_solver() -> None:
    rng = np.random.default_rng(0)
    values = rng.gamma(1.0, size=(60, 2100)).astype(np.float32)
    values[:30, :50] += 8
    tokenizer = fitted(values, k=4, p=3)
    assert np.abs(tokenizer.components[0, :50]).min() > np.abs(tokenizer.components[0, 50:]).max()


def test_a_small_section_shrinks_the_vocabulary(values: np.ndarray) -> None:
    assert fitted(values[:60], k=500).n_meta_cells <= 10


def test_too_few_cells_are_refused(values: np.ndarray) -> None:
    with pytest.raises(InputError, match="too few"):
        fitted(values[:8])


def test_of_many_cells_some_settle_the_clusters_and_all_are_counted(
    values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = fitted(values)
    monkeypatch.setattr(module, "_MOST_KMEANS", len(values) // 2)
    monkeypatch.setattr(module, "_CHUNK", 100)
    made = fitted(values)
    np.testing.assert_allclose(made.mean, exact.mean, atol=1e-5)
    counts = made.frequency * len(values)
    np.testing.assert_allclose(counts, counts.round(), atol=1e-3)
    assert counts.sum() == pytest.approx(len(values), abs=1e-2)
    assert made.frequency @ made.c_expr == pytest.approx(values.mean(0), abs=1e-4)

    def error(tokenizer: MetaCellTokenizer) -> float:
        pcs = exact.project(values)
        centre = (tokenizer.c_expr - exact.mean) @ exact.components.T
        return float(np.square(pcs[:, None] - centre[None]).sum(2).min(1).mean())

    # Clusters of half of the cells describe all of them about as well.
    assert error(made) < 1.1 * error(exact)
