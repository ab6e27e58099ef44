"""Matrices left on disk: what is opened, what is copied, and what is never read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import zarr
from anndata import AnnData
from scipy import sparse

from napari_gest.errors import InputError
from napari_gest.tissue import on_disk
from napari_gest.tissue.io import in_memory, read_tissue, source_of, write_tissue
from napari_gest.tissue.on_disk import file_of, is_on_disk, matrices_on_disk


@pytest.fixture
def rich(tissue: AnnData) -> AnnData:
    """Tissue with a matrix in every place that may hold one."""
    tissue.layers["counts"] = sparse.csr_matrix(tissue.X).astype(np.int64)
    tissue.layers["dense"] = sparse.csr_matrix(tissue.X).toarray()
    tissue.layers["by column"] = sparse.csc_matrix(tissue.X)
    graph = sparse.random(tissue.n_obs, tissue.n_obs, 0.01, format="csr", random_state=0)
    tissue.obsp["near"] = graph
    tissue.raw = tissue.copy()
    return tissue


def equal(a: AnnData, b: AnnData) -> bool:
    def dense(x: Any) -> np.ndarray:
        return x.toarray() if sparse.issparse(x) else np.asarray(x)

    pairs = [(a.X, b.X), (a.raw.X, b.raw.X)]
    pairs += [(a.layers[k], b.layers[k]) for k in b.layers if k is not None]
    pairs += [(a.obsp[k], b.obsp[k]) for k in b.obsp]
    return (
        all(np.array_equal(dense(x), dense(y)) and x.dtype == y.dtype for x, y in pairs)
        and a.obs.equals(b.obs)
        and a.raw.var.equals(b.raw.var)
        and np.array_equal(a.obsm["spatial"], b.obsm["spatial"])
    )


MATRICES = ["X", "layers/by column", "layers/counts", "layers/dense", "obsp/near", "raw/X"]


@pytest.mark.parametrize("name", ["in.h5ad", "in.zarr"])
def test_every_matrix_stays_where_it_is(rich: AnnData, tmp_path: Path, name: str) -> None:
    write_tissue(rich, tmp_path / name)
    opened = read_tissue(tmp_path / name, lazy=True)
    assert sorted(path for path, _ in matrices_on_disk(opened)) == MATRICES
    assert all(is_on_disk(matrix) for _, matrix in matrices_on_disk(opened))
    assert {file_of(matrix) for _, matrix in matrices_on_disk(opened)} == {tmp_path / name}
    assert source_of(opened) == tmp_path / name
    assert equal(in_memory(opened), rich)
    assert not list(matrices_on_disk(rich))
    assert source_of(rich) is None


@pytest.mark.parametrize("name", ["in.h5ad", "in.zarr"])
@pytest.mark.parametrize("out", ["out.h5ad", "out.zarr"])
def test_a_copy_with_results_is_whole(
    rich: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, out: str
) -> None:
    monkeypatch.setattr(on_disk, "_AT_ONCE", 1000)
    write_tissue(rich, tmp_path / name)
    opened = read_tissue(tmp_path / name, lazy=True)
    opened.obs["found"] = np.arange(opened.n_obs)
    write_tissue(opened, tmp_path / out)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({name, out})
    rich.obs["found"] = np.arange(rich.n_obs)
    assert equal(read_tissue(tmp_path / out), rich)
    again = read_tissue(tmp_path / out, lazy=True)
    assert equal(in_memory(again), rich)
    if name == "in.zarr" and out == "out.zarr":
        for part in ("X", "layers/counts", "raw/X"):
            files = [p for p in (tmp_path / name / part).rglob("*") if p.is_file()]
            assert files
            for file in files:
                copied = tmp_path / out / file.relative_to(tmp_path / name)
                assert copied.read_bytes() == file.read_bytes()


@pytest.mark.parametrize("name", ["in.h5ad", "in.zarr"])
def test_no_value_is_read_to_copy_a_file(
    rich: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_tissue(rich, tmp_path / name)
    opened = read_tissue(tmp_path / name, lazy=True)
    monkeypatch.setattr(on_disk, "_copy", None)
    out = tmp_path / f"out{Path(name).suffix}"
    write_tissue(opened, out)
    assert equal(read_tissue(out), rich)


def test_a_copy_has_the_format_of_its_zarr(
    rich: AnnData, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    with anndata.settings.override(zarr_write_format=3):
        write_tissue(rich, tmp_path / "in.zarr")
    recwarn.clear()
    write_tissue(read_tissue(tmp_path / "in.zarr", lazy=True), tmp_path / "out.zarr")
    assert not [w for w in recwarn if "onsolidated" in str(w.message)]
    assert zarr.open_group(tmp_path / "out.zarr", mode="r").metadata.zarr_format == 3
    assert equal(read_tissue(tmp_path / "out.zarr"), rich)


def test_only_what_was_left_is_copied(rich: AnnData, tmp_path: Path) -> None:
    """A layer that was replaced since the file was opened is written as it is now."""
    write_tissue(rich, tmp_path / "in.zarr")
    opened = read_tissue(tmp_path / "in.zarr", lazy=True)
    opened.layers["counts"] = sparse.csr_matrix(rich.layers["counts"] * 2)
    del opened.layers["dense"]
    write_tissue(opened, tmp_path / "out.zarr")
    again = read_tissue(tmp_path / "out.zarr")
    assert (again.layers["counts"] != rich.layers["counts"] * 2).nnz == 0
    assert "dense" not in again.layers


def test_a_file_is_not_copied_over_itself(rich: AnnData, tmp_path: Path) -> None:
    write_tissue(rich, tmp_path / "in.zarr")
    opened = read_tissue(tmp_path / "in.zarr", lazy=True)
    with pytest.raises(InputError):
        write_tissue(opened, tmp_path / "in.zarr", overwrite=True)
    assert equal(read_tissue(tmp_path / "in.zarr"), rich)


@pytest.mark.parametrize("part", ["X", "layers/counts", "obsp/near", "raw/X"])
def test_damaged_row_pointers_are_refused_before_anything_is_read(
    rich: AnnData, tmp_path: Path, part: str
) -> None:
    write_tissue(rich, tmp_path / "in.zarr")
    ends = zarr.open_group(tmp_path / "in.zarr", mode="r+")[f"{part}/indptr"]
    ends[5] = 1_000_000_000
    with pytest.raises(InputError, match="does not rise"):
        read_tissue(tmp_path / "in.zarr", lazy=True)


def test_tissue_without_x(rich: AnnData, tmp_path: Path) -> None:
    rich.X = None
    for name in ("in.h5ad", "in.zarr"):
        write_tissue(rich, tmp_path / name)
        opened = read_tissue(tmp_path / name, lazy=True)
        assert opened.X is None
        write_tissue(opened, tmp_path / f"out{Path(name).suffix}")
        assert read_tissue(tmp_path / f"out{Path(name).suffix}").X is None


class Made:
    """A matrix that is made in three blocks, one of them empty."""

    shape, dtype = (6, 3), np.dtype(np.int32)

    def blocks(self) -> Iterator[sparse.csr_matrix]:
        for start, stop in ((0, 2), (2, 4), (4, 6)):
            yield sparse.csr_matrix(WANTED[start:stop])


WANTED = np.array([[1, 0, 2], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 3, 0], [4, 5, 6]], np.int32)


@pytest.mark.parametrize("out", ["out.h5ad", "out.zarr"])
def test_a_matrix_is_made_as_it_is_written(tmp_path: Path, out: str) -> None:
    adata = AnnData(sparse.csr_matrix(WANTED.astype(np.float32)))
    write_tissue(adata, tmp_path / out, made={"layers/made": Made()})
    for lazy in (False, True):
        again = in_memory(read_tissue(tmp_path / out, lazy=lazy))
        assert again.layers["made"].dtype == np.int32
        np.testing.assert_array_equal(again.layers["made"].toarray(), WANTED)
