from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from anndata import AnnData
from anndata.io import write_elem
from scipy import sparse

from napari_gest.errors import InputError
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.section import Section
from napari_gest.tissue.structure import check_sparse, check_structure

Spoil = Callable[[sparse.csr_matrix], None]


def index_too_large(m: sparse.csr_matrix) -> None:
    m.indices[3] = 2**31 - 1


def index_negative(m: sparse.csr_matrix) -> None:
    m.indices[3] = -1


def pointer_falls(m: sparse.csr_matrix) -> None:
    m.indptr[5] = 2**30


def pointer_starts_late(m: sparse.csr_matrix) -> None:
    m.indptr[0] = 1


def pointer_ends_late(m: sparse.csr_matrix) -> None:
    m.indptr[-1] += 1000


def pointers_too_few(m: sparse.csr_matrix) -> None:
    m.indptr = m.indptr[:-2]


def values_too_few(m: sparse.csr_matrix) -> None:
    m.data = m.data[:10]


def indices_are_numbers(m: sparse.csr_matrix) -> None:
    m.indices = m.indices.astype(np.float64)


SPOILT = [
    index_too_large,
    index_negative,
    pointer_falls,
    pointer_starts_late,
    pointer_ends_late,
    pointers_too_few,
    values_too_few,
    indices_are_numbers,
]


@pytest.mark.parametrize("spoil", SPOILT)
@pytest.mark.parametrize("kind", ["csr", "csc"])
def test_an_unsound_matrix_is_refused(spoil: Spoil, kind: str) -> None:
    matrix = sparse.random(40, 20, 0.3, format=kind, random_state=0)
    check_sparse(matrix, "X")
    spoil(matrix)
    with pytest.raises(InputError, match=r"sparse matrix X is not sound"):
        check_sparse(matrix, "X")


@pytest.mark.parametrize("spoil", SPOILT)
@pytest.mark.parametrize("kind", ["csr", "csc"])
@pytest.mark.parametrize("view", [False, True])
def test_a_section_is_not_taken_from_an_unsound_matrix(
    tissue: AnnData, spoil: Spoil, kind: str, view: bool
) -> None:
    tissue.layers["counts"] = tissue.X.copy() if kind == "csr" else tissue.X.tocsc()
    spoil(tissue.layers["counts"])
    given = tissue[:] if view else tissue
    with pytest.raises(InputError, match=r"layers/counts is not sound"):
        Section.from_anndata(given, "section_1", layer="counts")
    Section.from_anndata(given, "section_1")  # what is not used is not looked at


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64, np.int16, ">i4", ">i8"])
def test_other_integers_are_brought_to_those_that_scipy_takes(dtype: str) -> None:
    matrix = sparse.random(40, 20, 0.3, format="csr", random_state=0)
    dense = matrix.toarray()
    matrix.indices, matrix.indptr = matrix.indices.astype(dtype), matrix.indptr.astype(dtype)
    matrix.data = matrix.data.astype(">f8")
    adata = AnnData(sparse.csr_matrix((40, 20)), layers={"odd": matrix})
    check_structure(adata)
    assert adata.layers["odd"].data.dtype.isnative
    assert np.array_equal(adata.layers["odd"].tocsc().toarray(), dense)


def test_every_place_for_a_matrix_is_looked_at(tissue: AnnData) -> None:
    def spoilt(n: int, m: int) -> sparse.csr_matrix:
        matrix = sparse.random(n, m, 0.1, format="csr", random_state=0)
        matrix.indices[0] = m
        return matrix

    n, g = tissue.shape
    places = {
        "layers/a": lambda a: a.layers.__setitem__("a", spoilt(n, g)),
        "obsm/a": lambda a: a.obsm.__setitem__("a", spoilt(n, 7)),
        "varm/a": lambda a: a.varm.__setitem__("a", spoilt(g, 7)),
        "obsp/a": lambda a: a.obsp.__setitem__("a", spoilt(n, n)),
        "varp/a": lambda a: a.varp.__setitem__("a", spoilt(g, g)),
        "uns/deep/a": lambda a: a.uns.__setitem__("deep", {"a": spoilt(5, 7)}),
        "raw.X": lambda a: setattr(a, "raw", AnnData(spoilt(n, g), a.obs, a.var)),
    }
    for name, place in places.items():
        adata = AnnData(tissue.X.copy(), tissue.obs.copy(), tissue.var.copy())
        check_structure(adata)
        place(adata)
        with pytest.raises(InputError, match=f"matrix {name} is not sound"):
            check_structure(adata)


@pytest.mark.parametrize("values", [np.complex64(1), "text", np.datetime64("2020", "ns"), None])
def test_expression_that_is_no_number_is_refused(tissue: AnnData, values: object) -> None:
    tissue.layers["odd"] = np.full(tissue.shape, values)
    with pytest.raises(InputError, match="not numeric"):
        Section.from_anndata(tissue, "section_1", layer="odd")


@pytest.mark.parametrize("dtype", [np.float16, ">f4", ">i8", np.uint8, bool, np.longdouble])
@pytest.mark.parametrize("convert", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_expression_of_any_number_type_is_read(
    tissue: AnnData, dtype: str, convert: Callable[..., object]
) -> None:
    counts = tissue.X.toarray().round().clip(0, 200).astype(dtype)
    held = convert(tissue.X.toarray())
    if sparse.issparse(held):
        held.data = held.data.round().clip(0, 200).astype(dtype)
    else:
        held = counts
    tissue.layers["odd"] = held
    section = Section.from_anndata(tissue, "section_2", layer="odd")
    assert np.array_equal(section.expression.toarray(), counts[600:].astype(np.float32))


@pytest.mark.parametrize("convert", [sparse.csr_matrix, sparse.csc_matrix])
def test_pointers_and_indices_of_two_types_become_one(
    tissue: AnnData, tmp_path: Path, convert: Any
) -> None:
    """As tables are that were joined on disk: SciPy fails on them once rows are picked."""
    tissue.X = convert(tissue.X)
    write_tissue(tissue, tmp_path / "in.zarr")
    group = zarr.open_group(tmp_path / "in.zarr", mode="r+", use_consolidated=False)["X"]
    ends = group["indptr"][...].astype(np.int64)
    del group["indptr"]
    write_elem(group, "indptr", ends)
    zarr.consolidate_metadata(tmp_path / "in.zarr")
    read = read_tissue(tmp_path / "in.zarr")
    assert read.X.indptr.dtype == read.X.indices.dtype
    known = Section.from_anndata(tissue, "section_2")
    for lazy in (False, True):
        adata = read_tissue(tmp_path / "in.zarr", lazy=lazy)
        section = Section.from_anndata(adata, "section_2", lazy=lazy)
        assert (section.expression[[5, 3]] != known.expression[[5, 3]]).nnz == 0
    read.X.indptr = read.X.indptr.astype(np.int64)
    read.X.indices = read.X.indices.astype(np.int32)
    section = Section.from_anndata(read, "section_2")
    assert (section.expression[[5, 3]] != known.expression[[5, 3]]).nnz == 0
