from __future__ import annotations

import errno
import gc
import os
from io import FileIO
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from napari_gest.errors import CheckpointError, InputError
from napari_gest.tissue import io
from napari_gest.tissue.io import check_output, read_tissue, replacing, write_tissue


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


def test_a_large_file_stays_on_disk(
    tissue: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tissue(tissue, tmp_path / "in.h5ad")
    monkeypatch.setattr(io, "_BACKED_BYTES", 1)
    backed = read_tissue(tmp_path / "in.h5ad")
    assert backed.isbacked
    write_tissue(backed, tmp_path / "out.h5ad")
    assert Path(backed.filename) == tmp_path / "in.h5ad"
    assert same(read_tissue(tmp_path / "out.h5ad"), tissue)
    backed.file.close()


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
        target.write_text("before")

    def fails(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(anndata.io, "write_elem", fails)
    with pytest.raises(CheckpointError, match=cause):
        write_tissue(tissue, target, overwrite=overwrite)
    assert [p.name for p in tmp_path.iterdir()] == (["out.h5ad"] if overwrite else [])
    assert not overwrite or target.read_text() == "before"


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
    # Between _Draft and FileIO in the order of inheritance.
    monkeypatch.setattr(io, "_Draft", type("Draft", (io._Draft, SmallDisk), {}))
    monkeypatch.setattr(SmallDisk, "room", room)
    with pytest.raises(CheckpointError, match="is full"):
        write_tissue(tissue, tmp_path / "out.h5ad")
    assert not list(tmp_path.iterdir())
    gc.collect()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt()])
def test_other_errors_pass_and_leave_nothing(tmp_path: Path, error: BaseException) -> None:
    def half() -> None:
        with replacing(tmp_path / "out.txt") as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        half()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_moved_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.zarr"
    target.mkdir()
    (target / "old").touch()
    moved = os.replace

    def fails_for_new(source: Path, to: Path) -> None:
        if ".tmp" in Path(source).name:
            raise PermissionError(errno.EACCES, "Permission denied")
        moved(source, to)

    monkeypatch.setattr(os, "replace", fails_for_new)
    with (
        pytest.raises(CheckpointError, match="may not be written"),
        replacing(target, overwrite=True) as temporary,
    ):
        temporary.mkdir()
    assert [p.name for p in tmp_path.iterdir()] == ["out.zarr"]
    assert (target / "old").exists()


def test_an_output_is_checked_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_output(tmp_path / "new.h5ad")
    with pytest.raises(InputError, match="no folder"):
        check_output(tmp_path / "absent" / "new.h5ad")

    def forbidden(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "touch", forbidden)
    with pytest.raises(CheckpointError, match="may not be written"):
        check_output(tmp_path / "new.h5ad")
    assert not list(tmp_path.iterdir())


@pytest.mark.data
def test_every_real_file_opens(data_dir: Path) -> None:
    files = sorted(data_dir.glob("*.h5ad"))
    assert files
    for path in files:
        adata = read_tissue(path)
        assert adata.n_obs > 0
        assert "spatial" in adata.obsm
