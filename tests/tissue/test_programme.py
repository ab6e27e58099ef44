"""The planted programme: who responds, how far, and that nothing else differs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from anndata import AnnData
from scipy.spatial import cKDTree

from napari_gest.errors import InputError
from napari_gest.tissue.programme import Programme, simulate_programme

SIZE = {"n_cells": 1600, "n_genes": 30, "n_sections": 2, "seed": 3}


@pytest.fixture(scope="module")
def planted() -> AnnData:
    return simulate_programme(**SIZE)


def test_one_seed_gives_one_tissue_and_draws_differ(planted: AnnData) -> None:
    again, other = simulate_programme(**SIZE), simulate_programme(**SIZE, draw=1)
    assert (planted.X != again.X).nnz == 0
    assert (planted.layers["perturbed"] != again.layers["perturbed"]).nnz == 0
    assert planted.var.equals(other.var)
    assert not np.array_equal(planted.obsm["spatial"], other.obsm["spatial"])


def test_targets_move_as_planted_and_other_genes_do_not(planted: AnnData) -> None:
    before, after = (planted.layers[f"expected_{k}"].toarray() for k in ("control", "perturbed"))
    around = ~planted.obs["roi"].to_numpy()
    change = (after - before)[around].sum(0)
    role = planted.var["role"].to_numpy()
    assert (change[role == "up"] > 0).all()
    assert (change[role == "down"] < 0).all()
    assert np.abs(change[(role == "other") | (role == "ligand")]).max() == 0
    assert (role == "up").sum() == 10
    assert (role == "down").sum() == 7


def test_only_receivers_near_the_region_respond(planted: AnnData) -> None:
    before, after = (planted.layers[f"expected_{k}"].toarray() for k in ("control", "perturbed"))
    target = planted.var["role"].isin(["up", "down"]).to_numpy()
    moved = np.abs(after - before)[:, target].sum(1) > 1e-3
    kinds = planted.obs["cell_type"].astype(str)
    assert set(kinds[moved]) <= {"type 2", "type 3"}
    roi, section = planted.obs["roi"].to_numpy(), planted.obs["section"].to_numpy()
    for name in np.unique(section):
        here = section == name
        tree = cKDTree(planted.obsm["spatial"][here & roi])
        distance = tree.query(planted.obsm["spatial"][here])[0]
        assert distance[moved[here]].max() <= 6 * Programme().decay_um
        near = (distance < 30) & ~roi[here]
        dose = (planted.obs["dose_perturbed"] - planted.obs["dose_control"]).to_numpy()[here]
        assert dose[near].mean() > dose[(distance > 60) & (distance < 90)].mean() > 0


def test_cells_out_of_reach_have_the_same_counts(planted: AnnData) -> None:
    same = (planted.layers["expected_control"] != planted.layers["expected_perturbed"]).toarray()
    changed = (planted.layers["perturbed"] != planted.X).toarray()
    assert not changed[~same].any()
    assert changed.any()


def test_counts_have_the_planted_mean(planted: AnnData) -> None:
    for counts, expected in (
        (planted.X, planted.layers["expected_control"]),
        (planted.layers["perturbed"], planted.layers["expected_perturbed"]),
    ):
        assert counts.mean() == pytest.approx(expected.mean(), rel=0.02)


def test_the_silent_programme_changes_the_ligand_alone() -> None:
    silent = simulate_programme(**SIZE, programme=replace(Programme()).silent())
    different = (silent.layers["perturbed"] != silent.X).toarray().any(0)
    assert set(silent.var["role"].astype(str)[different]) == {"ligand"}


def test_too_few_genes_are_refused() -> None:
    with pytest.raises(InputError, match="n_genes is 17"):
        simulate_programme(500, 17)
