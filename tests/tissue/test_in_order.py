"""Cells on disk that a task takes in another order: the same numbers, copied once, then gone."""

from __future__ import annotations

import gc
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from napari_gest.tissue import in_order as module
from napari_gest.tissue import rows as rows_module
from napari_gest.tissue.in_order import OrderedMatrix, drop_copies
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.rows import StoredRows
from napari_gest.tissue.section import Section


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Blocks of a hundred cells, copied however few they are; return where copies are."""
    monkeypatch.setattr(rows_module, "STEP", 100)
    monkeypatch.setattr(rows_module, "BLOCK", 100)
    monkeypatch.setattr(module, "FEW_VALUES", 0)
    folder = tmp_path / "copies"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def lazy(tissue: AnnData, path: Path, **how: str) -> tuple[Section, Section]:
    """Return a section in memory and on disk, its cells in a random order."""
    mixed = tissue[np.random.default_rng(0).permutation(tissue.n_obs)].copy()
    write_tissue(mixed, path)
    here = Section.from_anndata(read_tissue(path), "section_1", **how)  # type: ignore[arg-type]
    there = read_tissue(path, lazy=True)
    return here, Section.from_anndata(there, "section_1", lazy=True, **how)  # type: ignore[arg-type]


def equal(a: sparse.csr_matrix, b: sparse.csr_matrix) -> bool:
    return all(np.array_equal(getattr(a, k), getattr(b, k)) for k in ("data", "indices", "indptr"))


@pytest.mark.parametrize("form", ["csr", "dense", "logged"])
def test_cells_in_order_are_those_in_memory(
    tissue: AnnData, tmp_path: Path, small: Path, form: str
) -> None:
    x = sparse.csr_matrix(tissue.X)
    tissue.X = {"csr": x, "dense": x.toarray(), "logged": x.log1p()}[form]
    how = {"scale": "log1p"} if form == "logged" else {}
    here, there = lazy(tissue, tmp_path / "t.zarr", **how)
    wanted, made = here.ordered(), there.gathered()
    assert not list(small.iterdir())  # nothing was read yet
    assert isinstance(made.expression, StoredRows)
    assert isinstance(made.expression.matrix, OrderedMatrix)
    for cells in (slice(None), slice(150, 420), np.arange(0, made.n_obs, 7), np.array([5, 2])):
        assert equal(made.expression[cells], wanted.expression[cells])
    np.testing.assert_array_equal(made.coords_um, wanted.coords_um)
    assert list(made.obs_names) == list(wanted.obs_names)
    assert made.digest == wanted.digest
    names = {file.name for file in small.rglob("*") if file.is_file()}
    assert names == {"data.bin", "indices.bin"}


def test_copies_go_when_they_are_dropped_or_forgotten(
    tissue: AnnData, tmp_path: Path, small: Path
) -> None:
    there = lazy(tissue, tmp_path / "t.h5ad")[1]
    made = there.gathered()
    first = made.expression[:5]
    assert list(small.iterdir())
    drop_copies(made.expression)
    assert not list(small.iterdir())
    assert equal(made.expression[:5], first)  # copied again
    with pytest.raises(TypeError, match="stay in their process"):
        pickle.dumps(made.expression)
    del made
    gc.collect()
    assert not list(small.iterdir())
    drop_copies(there.expression)  # no copy
    assert there.expression[:5].shape == (5, there.expression.shape[1])


def test_few_values_are_read_and_sorted_cells_are_not_copied(
    tissue: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = lazy(tissue, tmp_path / "t.zarr")
    first = there.subset(there.order).gathered()  # as a file has them whose cells are in order
    assert isinstance(first.expression, StoredRows)
    assert not isinstance(first.expression.matrix, OrderedMatrix)
    monkeypatch.setattr(module, "FEW_VALUES", 10**9)
    few = there.gathered()
    assert not few.on_disk
    assert equal(few.expression, here.ordered().expression)
    assert here.gathered().digest == here.ordered().digest
