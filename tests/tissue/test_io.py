from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from napari_gest.errors import CheckpointError, InputError
from napari_gest.files import Draft, leftovers
from napari_gest.files.leftovers import beside
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


@pytest.mark.parametrize("name", ["out.h5ad", "out.zarr"])
def test_only_tissue_of_the_same_format_is_replaced(
    tissue: AnnData, tmp_path: Path, name: str
) -> None:
    other = "out.zarr" if name == "out.h5ad" else "out.h5ad"
    write_tissue(tissue[:10].copy(), tmp_path / other)
    (tmp_path / other).rename(tmp_path / name)
    with pytest.raises(InputError, match="does not replace it"):
        write_tissue(tissue, tmp_path / name, overwrite=True)
    (tmp_path / name).rename(tmp_path / other)
    assert read_tissue(tmp_path / other).n_obs == 10


@pytest.mark.parametrize(
    "extra",
    [
        "notes.txt",
        "obs/notes.txt",
        "layers/counts/notes.txt",
        "images/0",
        "1",
        "layers/counts/c.txt",
    ],
)
@pytest.mark.parametrize("version", [2, 3])
def test_other_files_in_a_zarr_folder_are_not_lost(
    tissue: AnnData, tmp_path: Path, extra: str, version: int
) -> None:
    few = tissue[:10].copy()
    few.layers["counts"] = few.X.toarray()
    few.uns["empty"] = {"1": {}}
    with anndata.settings.override(zarr_write_format=version):
        write_tissue(few, tmp_path / "out.zarr")
        write_tissue(few, tmp_path / "out.zarr", overwrite=True)
        path = tmp_path / "out.zarr" / extra
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
        with pytest.raises(InputError, match=extra.split("/")[0]):
            write_tissue(few, tmp_path / "out.zarr", overwrite=True)
    assert path.read_text() == "mine"


def test_a_zarr_folder_of_something_else_stays(tissue: AnnData, tmp_path: Path) -> None:
    import zarr

    zarr.open_group(tmp_path / "image.zarr", mode="w").create_group("0")
    with pytest.raises(InputError, match=r"is not a \.zarr folder with an AnnData"):
        write_tissue(tissue, tmp_path / "image.zarr", overwrite=True)
    assert (tmp_path / "image.zarr" / "0").is_dir()


@pytest.mark.parametrize("name", ["in.h5ad", "in.zarr"])
def test_tissue_on_disk_does_not_replace_its_own_file(
    tissue: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_tissue(tissue, tmp_path / name)
    monkeypatch.setattr(io, "_BACKED_BYTES", 1)
    backed = read_tissue(tmp_path / name)
    link = tmp_path / f"link{Path(name).suffix}"
    link.symlink_to(name)
    for path in (tmp_path / name, link):
        with pytest.raises(InputError, match="the open tissue"):
            write_tissue(backed, path, overwrite=True)
    assert same(in_memory(read_tissue(tmp_path / name)), tissue)
    if name == "in.h5ad":
        backed.file.close()


def test_a_folder_set_aside_by_a_killed_process_is_read(
    tissue: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tissue(tissue, tmp_path / "in.zarr")
    (tmp_path / "in.zarr").rename(beside(tmp_path / "in.zarr", "old"))
    with pytest.raises(InputError, match="no file"):  # we are at work
        read_tissue(tmp_path / "in.zarr")
    monkeypatch.setattr(leftovers, "_alive", lambda pid, birth: False)
    assert same(read_tissue(tmp_path / "in.zarr"), tissue)


_INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np
from pathlib import Path
from anndata import AnnData
from napari_gest.tissue.io import read_tissue, write_tissue

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
path, wait = Path(sys.argv[1]), float(sys.argv[2])
adata = AnnData(np.random.default_rng(0).random((4000, 300), np.float32))
write_tissue(adata[:5].copy(), path)
threading.Timer(wait, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    while True:
        write_tissue(adata, path, overwrite=True)
except KeyboardInterrupt:
    print(read_tissue(path).n_obs, [p.name for p in path.parent.iterdir()])
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals")
@pytest.mark.parametrize("name", ["out.h5ad", "out.zarr"])
def test_ctrl_c_while_writing_damages_nothing(tmp_path: Path, name: str) -> None:
    for wait in (0.05, 0.2):
        command = [sys.executable, "-W", "ignore", "-c", _INTERRUPTED, tmp_path / name, str(wait)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout in (f"5 ['{name}']\n", f"4000 ['{name}']\n")
        (tmp_path / name).rename(tmp_path.parent / f"{name}-{wait}")


@pytest.mark.data
def test_every_real_file_opens(data_dir: Path) -> None:
    files = sorted(data_dir.glob("*.h5ad"))
    assert files
    for path in files:
        adata = read_tissue(path)
        assert adata.n_obs > 0
        assert "spatial" in adata.obsm


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_what_cannot_be_written_is_named(tissue: AnnData, tmp_path: Path, suffix: str) -> None:
    tissue.uns["made"] = {"by": object()}
    with pytest.raises(InputError, match="'uns/made/by' of the tissue cannot be written"):
        write_tissue(tissue, tmp_path / f"out{suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["out.h5ad", "out.zarr"])
def test_text_of_pandas_with_gaps_is_written(tissue: AnnData, tmp_path: Path, name: str) -> None:
    text = pd.Series(["a", None] * (tissue.n_obs // 2), tissue.obs_names, dtype="string")
    tissue.obs["text"] = text
    write_tissue(tissue, tmp_path / name)
    pd.testing.assert_series_equal(
        read_tissue(tmp_path / name).obs["text"].astype("string"), text, check_names=False
    )
