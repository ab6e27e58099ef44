"""What a seed promises: the same cells give the same bits, however a file holds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scipy import sparse

from napari_gest.model.gest import GeST
from napari_gest.tasks.generate import GenerateRequest, generate
from napari_gest.tasks.progress import Progress, finish
from napari_gest.tissue.io import read_tissue
from napari_gest.tissue.placement import place_cells
from napari_gest.tissue.roi import Roi, mask_from_obs
from napari_gest.tissue.section import Section

pytestmark = pytest.mark.usefixtures("short_field")

FEW = settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # a smaller seed is no simpler
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
numbers = st.integers(0, 2**31)

Store = Callable[[AnnData, Path], AnnData]


def rows(adata: AnnData, seed: int) -> AnnData:
    """Return the file with its rows in another order, of all sections among each other."""
    return adata[np.random.default_rng(seed).permutation(adata.n_obs)].copy()


def genes(adata: AnnData, seed: int) -> AnnData:
    return adata[:, np.random.default_rng(seed).permutation(adata.n_vars)].copy()


def sections(adata: AnnData) -> AnnData:
    """Return the file with its last section first."""
    return adata[np.argsort(adata.obs["section"] == "section_1", kind="stable")].copy()


def csc(adata: AnnData, folder: Path) -> AnnData:
    adata.X = sparse.csc_matrix(adata.X)
    return adata


def dense(adata: AnnData, folder: Path) -> AnnData:
    adata.X = adata.X.toarray().astype(np.float64)
    return adata


def unsorted(adata: AnnData, folder: Path) -> AnnData:
    """Return the file with the values of each row stored last column first."""
    x = sparse.csr_matrix(adata.X)
    for start, stop in zip(x.indptr, x.indptr[1:], strict=False):
        x.indices[start:stop] = x.indices[start:stop][::-1].copy()
        x.data[start:stop] = x.data[start:stop][::-1].copy()
    x.has_sorted_indices = False
    adata.X = x
    return adata


def h5ad(adata: AnnData, folder: Path) -> AnnData:
    adata.write_h5ad(folder / "a.h5ad")
    return read_tissue(folder / "a.h5ad")


def zarr(adata: AnnData, folder: Path) -> AnnData:
    adata.write_zarr(folder / "a.zarr")
    return read_tissue(folder / "a.zarr")


STORAGE = [csc, dense, unsorted, h5ad, zarr]


@pytest.fixture
def file(tissue: AnnData) -> AnnData:
    """Two sections, normalised; cells on a lattice, so that distances tie and some cells meet."""
    coords = tissue.obsm["spatial"]
    tissue.obsm["spatial"] = np.round(coords / 7) * 7
    totals = np.asarray(tissue.X.sum(1))
    tissue.X = sparse.csr_matrix(tissue.X.multiply(97.3 / np.maximum(totals, 1)), dtype=np.float32)
    centre = coords.mean(0)
    tissue.obs["hole"] = np.linalg.norm(coords - centre, axis=1) < 110
    first = tissue.obsm["spatial"][tissue.obs["section"] == "section_1"]
    assert len(np.unique(first, axis=0)) < len(first)
    return tissue


def generated(adata: AnnData, model: GeST, mode: str) -> dict[str, pd.DataFrame]:
    """Return what is generated in the hole of the first section, by names of cells and genes."""
    section = Section.from_anndata(adata, "section_1", unseen="hole")
    unseen = mask_from_obs(adata, "hole", section.rows)
    new = section.coords_um[unseen][:0]
    made = generate(section, model, unseen, mode=mode, seed=3, new_coords_um=new)
    assert (made.rows == section.rows[np.flatnonzero(unseen)]).all()  # in the order of rows
    names = pd.Index(section.obs_names[made.index])
    out = {
        "expression": pd.DataFrame(made.expression, names, pd.Index(made.genes)),
        "sd": pd.DataFrame(made.sd, names, pd.Index(made.genes)),
        "cells": pd.DataFrame({"entropy": made.entropy, "meta_cell": made.meta_cell}, names),
    }
    return {name: table.sort_index() for name, table in out.items()}


def same(one: dict[str, pd.DataFrame], two: dict[str, pd.DataFrame]) -> None:
    assert one.keys() == two.keys()
    for name in one:
        pd.testing.assert_frame_equal(one[name], two[name], check_exact=True, obj=name)


@pytest.mark.parametrize("mode", ["weighted", "pick", "sample"])
@FEW
@given(seed=numbers)
def test_generation_does_not_follow_rows_or_genes(
    file: AnnData, tiny_model: GeST, mode: str, seed: int
) -> None:
    here = generated(file, tiny_model, mode)
    same(here, generated(genes(rows(file, seed), seed), tiny_model, mode))


@pytest.mark.parametrize("mode", ["weighted", "pick", "sample"])
def test_generation_does_not_follow_the_sections_place(
    file: AnnData, tiny_model: GeST, mode: str
) -> None:
    here = generated(file, tiny_model, mode)
    same(here, generated(sections(file), tiny_model, mode))
    alone = file[file.obs["section"] == "section_1"].copy()
    same(here, generated(alone, tiny_model, mode))


@pytest.mark.parametrize("store", STORAGE, ids=lambda store: store.__name__)
def test_generation_does_not_follow_storage(
    file: AnnData, tiny_model: GeST, store: Store, tmp_path: Path
) -> None:
    here = generated(file, tiny_model, "weighted")
    same(here, generated(store(rows(file, 1), tmp_path), tiny_model, "weighted"))


@pytest.mark.parametrize("mode", ["weighted", "pick", "sample"])
def test_a_shift_without_rounding_changes_next_to_nothing(
    file: AnnData, tiny_model: GeST, mode: str
) -> None:
    here = generated(file, tiny_model, mode)
    file.obsm["spatial"] = file.obsm["spatial"] + [4096.0, -512.0]
    there = generated(rows(file, 2), tiny_model, mode)
    assert (here["cells"]["meta_cell"] == there["cells"]["meta_cell"]).all()
    assert np.abs(here["expression"] - there["expression"]).to_numpy().max() < 1e-4


def test_painted_cells_are_those_of_the_result(file: AnnData, tiny_model: GeST) -> None:
    """Cells painted on the way are the result's, in the order of rows."""
    adata = rows(file, 4)
    section = Section.from_anndata(adata, "section_1")
    unseen = mask_from_obs(adata, "hole", section.rows)
    painted = np.full(int(unseen.sum()) + 2, -1)
    new = section.coords_um[unseen][:2] + 3.0

    def paint(tick: Progress) -> None:
        if tick.payload is not None:
            painted[tick.payload.index] = tick.payload.meta_cell

    request = GenerateRequest(section, tiny_model, unseen, "sample", 3, new)
    made = finish(request.run(), paint)
    assert (made.meta_cell == painted).all()
    assert (made.coords_um[:-2] == section.coords_um[unseen]).all()
    assert (made.coords_um[-2:] == new).all()
    assert (made.rows[-2:] == -1).all()


@FEW
@given(seed=numbers)
def test_new_cells_do_not_follow_rows(file: AnnData, seed: int) -> None:
    coords = file.obsm["spatial"][file.obs["section"] == "section_1"]
    low, high = np.quantile(coords, 0.3, axis=0), np.quantile(coords, 0.7, axis=0)
    roi = Roi.from_vertices([np.array([low, [high[0], low[1]], high, [low[0], high[1]]])])
    outside = coords[~roi.contains(coords)]
    mixed = np.random.default_rng(seed).permutation(outside)
    one, two = (place_cells(roi, c, np.random.default_rng(5)) for c in (outside, mixed))
    assert np.array_equal(one, two)
