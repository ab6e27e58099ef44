from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse
from scipy.spatial import cKDTree

from napari_gest.errors import InputError
from napari_gest.tissue.moran import morans_i
from napari_gest.tissue.section import Section, section_names
from napari_gest.tissue.simulate import simulate


@pytest.fixture(scope="module")
def made() -> AnnData:
    return simulate(4001, 60, 2, seed=5)


def test_shape_and_keys(made: AnnData) -> None:
    assert made.shape == (4001, 60)
    assert isinstance(made.X, sparse.csr_matrix)
    assert made.X.dtype == np.float32
    assert np.array_equal(made.X.data, made.X.data.round())
    assert made.obs["section"].value_counts().to_dict() == {"section_1": 2001, "section_2": 2000}
    assert set(made.obs) == {"section", "region", "niche", "cell_type"}
    assert made.obs["region"].nunique() == 5
    assert made.obs["niche"].nunique() == 10
    assert made.obs["cell_type"].nunique() > 6
    assert made.uns["source"]["seed"] == 5


def test_one_seed_gives_one_result(made: AnnData) -> None:
    again = simulate(4001, 60, 2, seed=5)
    assert (again.X != made.X).nnz == 0
    assert np.array_equal(again.obsm["spatial"], made.obsm["spatial"])
    assert again.obs.equals(made.obs)
    other = simulate(4001, 60, 2, seed=6)
    assert not np.array_equal(other.obsm["spatial"], made.obsm["spatial"])


def test_positions_are_those_of_a_tissue(made: AnnData) -> None:
    for name in section_names(made):
        section = Section.from_anndata(made, name)
        apart = cKDTree(section.coords_um).query(section.coords_um, 2)[0][:, 1]
        assert apart.min() >= 6
        assert 11 < np.median(apart) < 13.5
        area = np.pi / 4 * np.ptp(section.coords_um, axis=0).prod()
        assert section.n_obs / area == pytest.approx(0.0018, rel=0.15)


def test_expression_depends_on_place_type_and_cell(made: AnnData) -> None:
    section = Section.from_anndata(made, "section_1")
    values = section.model_space(250.0)
    assert (morans_i(values, section.coords_um) > 0.05).mean() > 0.3
    kinds = made.obs["cell_type"].to_numpy()[section.rows]
    means = np.stack([values[kinds == k].mean(axis=0) for k in np.unique(kinds)])
    assert means.std(axis=0).max() > 0.5
    totals = np.asarray(section.expression.sum(axis=1)).ravel()
    assert 0.2 < totals.std() / totals.mean() < 0.8


def test_types_stand_in_clumps_and_follow_niches(made: AnnData) -> None:
    rows = np.flatnonzero(made.obs["section"] == "section_1")
    coords, kinds = made.obsm["spatial"][rows], made.obs["cell_type"].to_numpy()[rows]
    neighbor = cKDTree(coords).query(coords, 2)[1][:, 1]
    alike = (kinds == kinds[neighbor]).mean()
    by_chance = (np.unique(kinds, return_counts=True)[1] / len(kinds) ** 1.0) @ (
        np.unique(kinds, return_counts=True)[1] / len(kinds)
    )
    assert alike > 1.5 * by_chance


def test_profiles_can_be_given() -> None:
    rng = np.random.default_rng(0)
    profiles = rng.gamma(0.3, 1, (40, 25))
    genes = [f"g{i}" for i in range(25)]
    made = simulate(800, seed=1, profiles=profiles, genes=genes)
    assert made.var_names.tolist() == genes
    share = np.asarray(made.X.sum(axis=0)).ravel()
    wanted = (profiles / profiles.sum(axis=1, keepdims=True)).mean(axis=0)
    assert np.corrcoef(share, wanted)[0, 1] > 0.6
    assert simulate(10, profiles=profiles[:1]).obs["cell_type"].nunique() == 1


@pytest.mark.parametrize(("n_cells", "n_sections"), [(1, 1), (2, 1), (7, 7), (50, 3)])
def test_small_tissues(n_cells: int, n_sections: int) -> None:
    made = simulate(n_cells, 3, n_sections)
    assert made.shape == (n_cells, 3)
    assert len(section_names(made)) == n_sections


@pytest.mark.parametrize(
    "settings",
    [
        {"n_cells": 0},
        {"n_cells": 5, "n_sections": 6},
        {"n_sections": 0},
        {"n_genes": 0},
        {"seed": -1},
        {"n_genes": 3, "genes": ["a", "b"]},
        {"n_genes": 2, "genes": ["a", "a"]},
        {"profiles": np.ones((2, 3)), "n_genes": 4},
        {"profiles": np.ones(3)},
        {"profiles": np.zeros((2, 3))},
        {"profiles": np.full((2, 3), np.nan)},
        {"profiles": -np.ones((2, 3))},
        {"profiles": np.empty((0, 3))},
    ],
)
def test_impossible_tissues_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        simulate(**{"n_cells": 20, **settings})
