"""What a seed promises: the same cells give the same bits, however a file holds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scipy import sparse
from training import MODEL, SHORT, weights

from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.generate import GenerateRequest, generate
from napari_gest.tasks.labels.annotate import annotate, labels_from_obs, train_head
from napari_gest.tasks.niches.cluster import cluster_niches
from napari_gest.tasks.niches.embed import Embedded, embed_niches
from napari_gest.tasks.niches.generated_niches import generated_niches
from napari_gest.tasks.niches.niche_tree import niche_tree
from napari_gest.tasks.perturbation.influence import influence
from napari_gest.tasks.perturbation.perturb import perturb
from napari_gest.tasks.perturbation.significance import significance
from napari_gest.tasks.progress import Progress, finish
from napari_gest.tasks.training.train import fine_tune, fit
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.io import read_tissue
from napari_gest.tissue.placement import place_cells
from napari_gest.tissue.roi import Roi, mask_from_obs
from napari_gest.tissue.section import Section, section_names

pytestmark = pytest.mark.usefixtures("short_field")

FEW = settings(
    max_examples=2,
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


def test_threads_change_next_to_nothing(file: AnnData, tiny_model: GeST) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        here = generated(file, tiny_model, "weighted")
        torch.set_num_threads(2)
        there = generated(file, tiny_model, "weighted")
    finally:
        torch.set_num_threads(threads)
    assert np.abs(here["expression"] - there["expression"]).to_numpy().max() < 1e-4


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


def embeddings(adata: AnnData, model: GeST, read: str) -> list[Embedded]:
    parts = [Section.from_anndata(adata, name) for name in section_names(adata)]
    return [embed_niches(part, model, read=read) for part in parts]


def by_name(sections: Sequence[Section], **values: np.ndarray) -> dict[str, pd.DataFrame]:
    """Return values of all cells, cells by name."""
    names = pd.Index(np.concatenate([s.obs_names for s in sections]))
    return {name: pd.DataFrame(v, names).sort_index() for name, v in values.items()}


def niches(adata: AnnData, model: GeST, read: str, method: str) -> dict[str, pd.DataFrame]:
    embedded = embeddings(adata, model, read)
    values = {"embedding": np.concatenate([e.embedding for e in embedded])}
    if method == "tree":
        found = niche_tree(embedded, n_leaves=6, seed=2)
        found = replace(found.cut(3), probability=found.probability)
    else:
        asked = {"resolution": 0.5} if method == "leiden" else {}
        found = cluster_niches(embedded, 4, method=method, seed=2, repeats=1, **asked)
        values["stability"] = np.broadcast_to(found.stability, found.probability.shape)
    values |= {"labels": found.labels, "probability": found.probability}
    return by_name(found.sections, **values)


@pytest.mark.parametrize(
    ("read", "method"),
    [("content", "mixture"), ("content", "kmeans"), ("content", "tree"), ("expression", "kmeans")],
)
@FEW
@given(seed=numbers)
def test_niches_do_not_follow_rows_genes_or_sections(
    file: AnnData, tiny_model: GeST, read: str, method: str, seed: int
) -> None:
    here = niches(file, tiny_model, read, method)
    same(here, niches(genes(rows(file, seed), seed), tiny_model, read, method))
    same(here, niches(sections(file), tiny_model, read, method))


def test_communities_do_not_follow_rows(file: AnnData, tiny_model: GeST) -> None:
    pytest.importorskip("igraph")
    here = niches(file, tiny_model, "content", "leiden")
    same(here, niches(rows(file, 3), tiny_model, "content", "leiden"))


@pytest.mark.parametrize("store", [unsorted, zarr], ids=lambda store: store.__name__)
def test_niches_do_not_follow_storage(
    file: AnnData, tiny_model: GeST, store: Store, tmp_path: Path
) -> None:
    here = niches(file, tiny_model, "content", "kmeans")
    same(here, niches(store(rows(file, 1), tmp_path), tiny_model, "content", "kmeans"))


def labelled(adata: AnnData, model: GeST) -> dict[str, pd.DataFrame]:
    """Return labels learnt from both sections and given to them, by names of cells."""
    parts = [Section.from_anndata(adata, name) for name in section_names(adata)]
    known = [labels_from_obs(adata, "label", part.rows) for part in parts]
    taught = train_head(model, parts, known)
    given = [annotate(part, taught) for part in parts]
    head = taught.head
    out = by_name(parts, probability=np.concatenate([g.probability for g in given]))
    return out | {"weight": pd.DataFrame(head.weight), "means": pd.DataFrame(head.means)}


@FEW
@given(seed=numbers)
def test_labels_do_not_follow_rows_genes_or_sections(
    file: AnnData, tiny_model: GeST, seed: int
) -> None:
    coords = file.obsm["spatial"]
    file.obs["label"] = np.where(coords[:, 0] < np.median(coords[:, 0]), "left", "right")
    here = labelled(file, tiny_model)
    same(here, labelled(genes(rows(file, seed), seed), tiny_model))
    same(here, labelled(sections(file), tiny_model))


def effects(
    adata: AnnData, model: GeST, readout: str, **change: Any
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Return cells before and after an edit by name, and the table of the test."""
    section = Section.from_anndata(adata, "section_1")
    roi = mask_from_obs(adata, "hole", section.rows)
    if change.pop("replaced", False):
        change["replace_by"] = section.coords_um[:, 0] < np.quantile(section.coords_um[:, 0], 0.2)
    edits = [Edit("gene_3", "set", 60.0)]
    made = perturb(
        section, model, roi, edits, reach_um=60.0, readout=readout, bands_um=(0, 30, 60), **change
    )
    assert (np.diff(made.index) > 0).all()
    assert (np.diff(made.edited.cells) > 0).all()
    names, columns = pd.Index(section.obs_names[made.index]), pd.Index(made.genes)
    edited = pd.DataFrame(made.edited.after, section.obs_names[made.edited.cells], columns)
    cells = {
        "control": pd.DataFrame(made.control, names, columns),
        "perturbed": pd.DataFrame(made.perturbed, names, columns),
        "edited": edited,
    }
    table = significance(made, n_permutations=19, seed=1).table
    return {name: table.sort_index() for name, table in cells.items()}, table


@pytest.mark.parametrize("readout", ["response", "generation"])
@pytest.mark.parametrize("replaced", [False, True])
def test_effects_and_their_test_do_not_follow_rows_or_genes(
    file: AnnData, tiny_model: GeST, readout: str, replaced: bool
) -> None:
    here, table = effects(file, tiny_model, readout, replaced=replaced)
    there, other = effects(genes(rows(file, 6), 7), tiny_model, readout, replaced=replaced)
    for name, cells in here.items():
        assert (cells.index == there[name].index).all()
        assert np.abs(cells - there[name]).to_numpy().max() < 1e-5, name
    # Sums over cells are made by row, so means may differ in their last digits, p-values not.
    pd.testing.assert_frame_equal(table, other, rtol=1e-6, atol=1e-9)
    for name in ("p_genes", "p_positions", "pvalue", "fdr"):
        pd.testing.assert_series_equal(table[name], other[name], check_exact=True)


@FEW
@given(seed=numbers)
def test_influence_does_not_follow_rows(file: AnnData, tiny_model: GeST, seed: int) -> None:
    def found(adata: AnnData) -> tuple[list[str], np.ndarray, np.ndarray]:
        section = Section.from_anndata(adata, "section_1")
        cell = int(np.flatnonzero(section.obs_names == name)[0])
        made = influence(section, tiny_model, cell, seed=1, n_random=5)
        return section.obs_names[made.neighbours].tolist(), made.influence, made.random_k

    name = str(file.obs_names[file.obs["hole"] & (file.obs["section"] == "section_1")][0])
    here, there = found(file), found(rows(file, seed))
    assert here[0] == there[0]
    assert np.array_equal(here[1], there[1])
    assert np.array_equal(here[2], there[2])


def test_niches_of_generated_cells_do_not_follow_rows(file: AnnData, tiny_model: GeST) -> None:
    def found(adata: AnnData) -> dict[str, pd.DataFrame]:
        section = Section.from_anndata(adata, "section_1")
        made = generate(section, tiny_model, mask_from_obs(adata, "hole", section.rows))
        embedded = embeddings(adata, tiny_model, "content")
        clustered = cluster_niches(embedded, 3)
        alike = generated_niches(made, tiny_model, embedded).probability(clustered)
        return {"niches": pd.DataFrame(alike, section.obs_names[made.index]).sort_index()}

    here = found(file)
    same(here, found(rows(file, 8)))
    same(here, found(sections(file)))


def trained(adata: AnnData, start: GeST | None = None) -> dict[str, pd.DataFrame]:
    """Return the vocabulary, the weights and the curve of a short training on both sections."""
    parts = [Section.from_anndata(adata, name) for name in section_names(adata)]
    made = fit(parts, MODEL, SHORT, seed=2) if start is None else fine_tune(start, parts, SHORT)
    tensors = {k: v.numpy().reshape(len(v), -1) for k, v in weights(made).items() if v.ndim}
    tensors |= {name: getattr(made.tokenizer, name) for name in ("c_expr", "v_expr", "levels")}
    curve = pd.DataFrame(made.card["curve"]).drop(columns="seconds")
    return {"curve": curve} | {name: pd.DataFrame(v) for name, v in tensors.items()}


def test_training_does_not_follow_rows_sections_or_storage(file: AnnData, tmp_path: Path) -> None:
    here = trained(file)
    same(here, trained(rows(file, 1)))
    same(here, trained(sections(file)))
    same(here, trained(zarr(unsorted(rows(file, 2), tmp_path), tmp_path)))


def test_fine_tuning_does_not_follow_rows(file: AnnData, tiny_model: GeST) -> None:
    same(trained(file, tiny_model), trained(rows(file, 1), tiny_model))
