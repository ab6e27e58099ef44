"""Rows that stay in a file are those of the matrix in memory, bit for bit, and as checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from anndata import AnnData
from scipy import sparse
from shapely import box

from napari_gest.errors import InputError, ReadingError
from napari_gest.tissue import rows as rows_module
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.rows import StoredRows, blocks_of
from napari_gest.tissue.section import Section


def unsorted(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the matrix with the columns of each row in falling order."""
    matrix = matrix.copy()
    for start, stop in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        for part in (matrix.data, matrix.indices):
            part[start:stop] = part[start:stop][::-1].copy()
    matrix.has_sorted_indices = False
    return matrix


FORMS: dict[str, Callable[[sparse.csr_matrix], Any]] = {
    "csr": lambda x: x,
    "float64": lambda x: x.astype(np.float64),
    "int64": lambda x: x.astype(np.int64),
    "unsorted": unsorted,
    "dense": lambda x: x.toarray(),
}


@pytest.fixture(params=["in.h5ad", "in.zarr"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / request.param


@pytest.fixture
def mixed(tissue: AnnData) -> AnnData:
    """The sections' cells in a random order, so that the rows of each are scattered."""
    return tissue[np.random.default_rng(0).permutation(tissue.n_obs)].copy()


def both(
    adata: AnnData, file: Path, name: str = "section_2", **how: Any
) -> tuple[Section, Section]:
    """Return a section that was read whole, and one whose expression is on disk."""
    write_tissue(adata, file)
    here = Section.from_anndata(read_tissue(file), name, **how)
    there = Section.from_anndata(read_tissue(file, lazy=True), name, lazy=True, **how)
    assert there.on_disk
    assert not here.on_disk
    return here, there


def same(a: sparse.csr_matrix, b: sparse.csr_matrix) -> bool:
    a, b = a.sorted_indices(), b.sorted_indices()
    return all(np.array_equal(getattr(a, k), getattr(b, k)) for k in ("data", "indices", "indptr"))


@pytest.mark.parametrize("form", list(FORMS))
def test_cells_on_disk_are_those_in_memory(
    mixed: AnnData, file: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(rows_module, "STEP", 200)
    monkeypatch.setattr(rows_module, "BLOCK", 200)
    monkeypatch.setattr(rows_module, "_GAP", 20)
    mixed.X = FORMS[form](sparse.csr_matrix(mixed.X))
    here, there = both(mixed, file)
    assert there.expression.shape == here.expression.shape
    mask = np.random.default_rng(1).random(here.n_obs) < 0.3
    for cells in (slice(5, 300), mask, np.array([599, 3, 3, 40]), np.array([], np.int64), 7):
        assert same(here.expression[cells], there.expression[cells])
    assert [part.start for part, _ in there.blocks()] == list(range(0, 600, 200))
    for part, values in there.blocks():
        assert same(here.expression[part], values)
    assert there.digest == here.digest
    assert there.holds_counts
    np.testing.assert_array_equal(there.expression.sum(1), here.expression.sum(1))
    assert "in_memory" not in vars(there.expression)


@pytest.mark.parametrize("form", ["csr", "dense"])
def test_what_is_asked_of_it_otherwise_reads_all_once(
    mixed: AnnData, file: Path, form: str
) -> None:
    mixed.X = FORMS[form](sparse.csr_matrix(mixed.X))
    here, there = both(mixed, file)
    assert same(there.expression.tocsc().tocsr(), here.expression)
    assert there.expression.in_memory is there.expression.in_memory
    np.testing.assert_array_equal(there.expression.sum(0), here.expression.sum(0))
    with pytest.raises(AttributeError):
        there.expression.nothing_of_the_kind()


def test_some_cells_of_a_section_and_another_panel(mixed: AnnData, file: Path) -> None:
    here, there = both(mixed, file)
    some = here.order[::3]
    assert same(there.subset(some).expression[:], here.subset(some).expression)
    assert there.subset(some).on_disk
    assert there.subset(some).digest == here.subset(some).digest
    assert there.ordered().on_disk
    assert same(there.ordered().expression[:], here.ordered().expression)
    panel = (*here.genes[:-5:-1], "not measured", *here.genes[3:20])
    aligned, measured = there.align(panel)
    wanted, known = here.align(panel)
    assert isinstance(aligned, StoredRows)
    assert same(aligned[10:200], wanted[10:200])
    np.testing.assert_array_equal(measured, known)
    again = aligned.aligned(sparse.csr_matrix(np.eye(len(panel), 4, dtype=np.float32)))
    assert same(again[:], wanted[:, :4])
    assert aligned.nnz == wanted.nnz


def test_logged_values_are_undone_in_each_block(mixed: AnnData, file: Path) -> None:
    mixed.X = sparse.csr_matrix(mixed.X).log1p()
    here, there = both(mixed, file, scale="log1p")
    assert same(there.expression[:], here.expression)
    assert there.logged


@pytest.mark.parametrize("everything", [False, True])
def test_unseen_cells_may_hold_anything(mixed: AnnData, file: Path, everything: bool) -> None:
    inside = np.flatnonzero(mixed.obs["section"] == "section_2")
    roi = Roi(box(-1e6, -1e6, 1e6 if everything else 150, 1e6))
    hit = inside[roi.contains(mixed.obsm["spatial"][inside])]
    values = sparse.csr_matrix(mixed.X).toarray()
    if not everything:
        values[hit[::2]] = np.nan
        values[hit[1::2]] = -4
    mixed.X = sparse.csr_matrix(values)
    here, there = both(mixed, file, unseen=roi)
    assert same(there.expression[:], here.expression)
    assert there.digest == here.digest
    alone = roi.contains(here.coords_um)  # a part of which nobody has a say
    assert same(there.subset(alone).expression[:], here.subset(alone).expression)


def ruined(kind: str, values: np.ndarray, cells: slice) -> dict[str, str]:
    """Damage some cells; return the arguments they are read with."""
    if kind == "missing":
        values[cells, 0] = np.nan
    elif kind == "negative":
        values[cells, 0] = -1
    elif kind == "large":
        values[cells, 0] = 1e13
    elif kind == "no logarithms":
        np.log1p(values, out=values)
        values[cells, 0] = 17
        return {"scale": "log1p"}
    elif kind == "empty":
        values[:] = 0
    elif kind == "logged":
        np.log1p(values, out=values)
    return {}


@pytest.mark.parametrize(
    "kind", ["missing", "negative", "large", "no logarithms", "empty", "logged"]
)
def test_errors_are_those_of_a_matrix_in_memory(
    tissue: AnnData, file: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Of what the first look sees they come at once, of other cells when these are read."""
    monkeypatch.setattr(rows_module, "_JUDGED", 20)
    for cells in (slice(0, 20), slice(37, 40)):  # the first row is looked at, the others are not
        values = sparse.csr_matrix(tissue.X).toarray().astype(np.float32)
        how = ruined(kind, values, cells)
        adata = tissue.copy()
        adata.X = sparse.csr_matrix(values)
        write_tissue(adata, file, overwrite=True)
        with pytest.raises(ReadingError) as known:
            Section.from_anndata(read_tissue(file), "section_1", **how)
        at_once = cells.start == 0 or kind in ("empty", "logged")
        opened = read_tissue(file, lazy=True)
        with pytest.raises(ReadingError) as told:  # noqa: PT012
            section = Section.from_anndata(opened, "section_1", lazy=True, **how)
            assert not at_once
            for _ in section.blocks():
                pass
        assert str(told.value) == str(known.value)


def test_a_first_look_that_is_empty_does_not_settle_it(
    tissue: AnnData, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "_JUDGED", 20)
    values = sparse.csr_matrix(tissue.X).toarray()
    values[:599] = 0
    tissue.X = sparse.csr_matrix(values)
    here, there = both(tissue, file, "section_1")
    assert same(there.expression[:], here.expression)


def test_damaged_indices_are_refused_when_they_are_read(tissue: AnnData, tmp_path: Path) -> None:
    path = tmp_path / "in.zarr"
    write_tissue(tissue, path)
    indices = zarr.open_group(path, mode="r+")["X/indices"]
    indices[-3] = 10_000
    section = Section.from_anndata(read_tissue(path, lazy=True), "section_1", lazy=True)
    assert section.expression[:100].nnz
    other = Section.from_anndata(tissue, "section_2")
    matrix = section.expression.matrix
    with pytest.raises(InputError, match="an index lies outside"):
        matrix.take(other.rows)


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_a_matrix_by_columns_is_read(tissue: AnnData, tmp_path: Path, suffix: str) -> None:
    tissue.X = sparse.csc_matrix(tissue.X)
    write_tissue(tissue, tmp_path / f"in{suffix}")
    opened = read_tissue(tmp_path / f"in{suffix}", lazy=True)
    section = Section.from_anndata(opened, "section_1", lazy=True)
    assert not section.on_disk
    assert same(section.expression, Section.from_anndata(tissue, "section_1").expression)


def test_blocks_of_a_matrix_in_memory(section: Section, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "STEP", 250)
    parts = list(blocks_of(section.expression))
    assert [part for part, _ in parts] == [slice(0, 250), slice(250, 500), slice(500, 600)]
    assert same(sparse.vstack([v for _, v in parts], format="csr"), section.expression)
