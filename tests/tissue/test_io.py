from __future__ import annotations

import errno
import gc
import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from napari_gest.errors import CheckpointError, InputError
from napari_gest.files import Draft
from napari_gest.tissue import io
from napari_gest.tissue.io import in_memory, read_tissue, write_tissue


def same(a: AnnData, b: AnnData) -> bool:
    def dense(adata: AnnData) -> np.ndarray:
        return sparse.csr_matrix(adata.X[:]).toarray()

    return (
        np.array_equal(dense(a), dense(b))
        and list(a.obs_names) == list(b.obs_names)
        and np.array_equal(a.obsm["spatial"], b.obsm["spatial"])
    )


@pytest.mark.parametrize("name", ["out.h5ad", "out.zarr"])
def test_what_is_written_is_read(tissue: AnnData, tmp_path: Path, name: str) -> None:
    write_tissue(tissue, tmp_path / name)
    assert same(read_tissue(tmp_path / name), tissue)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["out.h5ad", "out.zarr"])
def test_overwriting_must_be_asked_for(tissue: AnnData, tmp_path: Path, name: str) -> None:
    write_tissue(tissue, tmp_path / name)
    with pytest.raises(InputError, match="exists already"):
        write_tissue(tissue[:10].copy(), tmp_path / name)
    assert read_tissue(tmp_path / name).n_obs == tissue.n_obs
    write_tissue(tissue[:10].copy(), tmp_path / name, overwrite=True)
    assert read_tissue(tmp_path / name).n_obs == 10
    assert [p.name for p in tmp_path.iterdir()] == [name]


def on_disk(adata: AnnData) -> bool:
    return not isinstance(adata.X, np.ndarray | sparse.csr_matrix | sparse.csc_matrix)


@pytest.mark.parametrize("convert", [sparse.csr_matrix, sparse.csc_matrix, lambda x: x.toarray()])
@pytest.mark.parametrize("name", ["in.h5ad", "in.zarr"])
def test_a_large_file_stays_on_disk(
    tissue: AnnData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    convert: Callable[..., Any],
) -> None:
    tissue.raw = tissue
    tissue.X = convert(tissue.X)
    write_tissue(tissue, tmp_path / name)
    monkeypatch.setattr(io, "_BACKED_BYTES", 1)
    backed = read_tissue(tmp_path / name)
    assert on_disk(backed)
    for out in ("out.h5ad", "out.zarr"):
        write_tissue(backed, tmp_path / out)
        again = in_memory(read_tissue(tmp_path / out))
        assert not on_disk(again)
        assert same(again, tissue)
        assert again.obs.equals(tissue.obs)
        assert again.raw.shape == tissue.shape
    assert same(in_memory(backed), tissue)
    assert in_memory(tissue) is tissue
    if name == "in.h5ad":
        assert Path(backed.filename) == tmp_path / name
        backed.file.close()


@pytest.mark.parametrize("name", ["in.h5ad", "in.zarr"])
@pytest.mark.parametrize("convert", [sparse.csr_matrix, np.asarray])
def test_a_file_is_as_large_as_what_it_unpacks_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, convert: Callable[..., Any]
) -> None:
    values = convert(np.ones((500, 400), np.float32))  # 0.8 MB, all alike
    adata = AnnData(values, obsm={"spatial": np.zeros((500, 2))})
    write_tissue(adata, tmp_path / name)
    files = [p for p in [tmp_path / name, *(tmp_path / name).rglob("*")] if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 200_000
    for limit, stays in ((700_000, True), (2_000_000, False)):
        monkeypatch.setattr(io, "_BACKED_BYTES", limit)
        assert on_disk(read_tissue(tmp_path / name)) == stays


@pytest.mark.parametrize("name", ["out.h5ad", "out.zarr"])
@pytest.mark.filterwarnings("error::UserWarning", "error::FutureWarning")
def test_writing_and_reading_warn_of_nothing(tissue: AnnData, tmp_path: Path, name: str) -> None:
    write_tissue(tissue, tmp_path / name)
    read_tissue(tmp_path / name)


@pytest.mark.parametrize("name", ["absent.h5ad", "absent.zarr", "cells.csv"])
def test_a_wrong_path_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=name):
        read_tissue(tmp_path / name)


def test_an_unreadable_file_is_refused(tissue: AnnData, tmp_path: Path) -> None:
    (tmp_path / "text.h5ad").write_text("not HDF5")
    (tmp_path / "empty.zarr").mkdir()
    write_tissue(tissue, tmp_path / "whole.h5ad")
    half = (tmp_path / "whole.h5ad").read_bytes()[:5000]
    (tmp_path / "half.h5ad").write_bytes(half)
    for name in ("text.h5ad", "empty.zarr", "half.h5ad"):
        with pytest.raises(InputError, match="not a readable AnnData"):
            read_tissue(tmp_path / name)


def test_a_file_without_permission_is_refused(
    tissue: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tissue(tissue, tmp_path / "in.h5ad")

    def forbidden(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(anndata, "read_h5ad", forbidden)
    with pytest.raises(InputError, match="may not be read"):
        read_tissue(tmp_path / "in.h5ad")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "is full"),
        (RuntimeError(f"Unable to close file, errno = 28: {os.strerror(errno.ENOSPC)}"), "is full"),
        (PermissionError(errno.EACCES, "Permission denied"), "may not be written"),
        (OSError(errno.EIO, "Input/output error"), "could not be written"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failed_write_leaves_all_as_it_was(
    tissue: AnnData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    cause: str,
    overwrite: bool,
) -> None:
    target = tmp_path / "out.h5ad"
    if overwrite:
        write_tissue(tissue[:10].copy(), target)

    def fails(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(anndata.io, "write_elem", fails)
    with pytest.raises(CheckpointError, match=cause):
        write_tissue(tissue, target, overwrite=overwrite)
    assert [p.name for p in tmp_path.iterdir()] == (["out.h5ad"] if overwrite else [])
    assert not overwrite or read_tissue(target).n_obs == 10


class SmallDisk(FileIO):
    """A file on a disk with room for a few bytes."""

    room = 0

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        if size is not None and size > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().truncate(size)


@pytest.mark.parametrize("room", [0, 100, 5_000, 50_000])
def test_hdf5_survives_a_disk_that_fills_up(
    tissue: AnnData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    room: int,
) -> None:
    # Between Draft and FileIO in the order of inheritance.
    monkeypatch.setattr(io, "Draft", type("Draft", (Draft, SmallDisk), {}))
    monkeypatch.setattr(SmallDisk, "room", room)
    with pytest.raises(CheckpointError, match="is full"):
        write_tissue(tissue, tmp_path / "out.h5ad")
    assert not list(tmp_path.iterdir())
    gc.collect()
    assert capfd.readouterr() == ("", "")


@pytest.mark.data
def test_every_real_file_opens(data_dir: Path) -> None:
    files = sorted(data_dir.glob("*.h5ad"))
    assert files
    for path in files:
        adata = read_tissue(path)
        assert adata.n_obs > 0
        assert "spatial" in adata.obsm
