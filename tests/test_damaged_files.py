"""Files that are damaged or hostile: each ends in an error with a remedy, none in a crash."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import subprocess
import sys
from pathlib import Path

import anndata
import h5py
import numcodecs
import numpy as np
import pytest
import zarr
from anndata import AnnData

from napari_gest.errors import InputError
from napari_gest.tissue import io, probe
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.section import Section

# Reads files, given in lines, each in a fork of a process that has all loaded, and prints how
# each went: a crash of one is a line, not the end of the test.
_READER = """
import os, sys, warnings
warnings.simplefilter("ignore")
import anndata, anndata.io, h5py, scipy.sparse, shapely, zarr  # once, not in each fork
from napari_gest.errors import GestError
from napari_gest.tissue import io
from napari_gest.tissue.section import Section, section_names
for line in sys.stdin:
    path, backed = line.rstrip("\\n").split("\\t")
    child = os.fork()
    if child == 0:
        how = 0
        try:
            io._BACKED_BYTES = 1 if backed == "True" else io._BACKED_BYTES
            adata = io.read_tissue(path)
            for name in section_names(adata):
                section = Section.from_anndata(adata, name)
                section.expression.tocsc()
                section.linear_rows(adata)(slice(0, adata.n_obs)).sum()
        except GestError:
            how = 1
        except BaseException as error:
            print(type(error).__name__, error, file=sys.stderr, flush=True)
            how = 2
        os._exit(how)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
_ARRAYS = ("X", "layers/counts", "raw/X", "obsp/near")


def read_apart(paths: list[Path], backed: bool = False) -> list[int]:
    """Return how reading went: 0 read, 1 refused, 2 a raw exception, below 0 a signal."""
    lines = "".join(f"{path}\t{backed}\n" for path in paths)
    done = subprocess.run(
        [sys.executable, "-c", _READER], input=lines, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return [int(line) for line in done.stdout.split()]


def full(tissue: AnnData) -> AnnData:
    tissue.layers["counts"] = tissue.X.copy()
    tissue.raw = tissue
    tissue.obsp["near"] = tissue.X @ tissue.X.T
    return tissue


def open_to_change(path: Path) -> h5py.File | zarr.Group:
    return h5py.File(path, "r+") if path.suffix == ".h5ad" else zarr.open_group(path, mode="r+")


def spoil(path: Path, rng: random.Random) -> None:
    """Change one number in a part of a sparse matrix, as a broken disk or program does."""
    group = open_to_change(path)
    part = group[rng.choice(_ARRAYS)][rng.choice(["indptr", "indices"])]
    values = part[...]
    values[rng.randrange(len(values))] = rng.choice([-1, -(2**31), 2**20, 2**31 - 1])
    part[...] = values
    if isinstance(group, h5py.File):
        group.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
@pytest.mark.parametrize("backed", [False, True])
def test_spoilt_matrices_are_refused_and_end_no_process(
    tissue: AnnData, tmp_path: Path, suffix: str, backed: bool
) -> None:
    whole = tmp_path / f"whole{suffix}"
    write_tissue(full(tissue), whole)
    paths = [whole]
    for case in range(8):
        paths.append(tmp_path / f"{case}{suffix}")
        (shutil.copytree if suffix == ".zarr" else shutil.copy)(whole, paths[-1])
        spoil(paths[-1], random.Random(case))
    went = read_apart(paths, backed)
    assert went[0] == 0
    # Left on disk, a matrix that nobody asks for may stay as it is.
    assert set(went[1:]) <= ({0, 1} if backed else {1})
    assert 1 in went


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_changed_bytes_end_no_process(tissue: AnnData, tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole{suffix}"
    write_tissue(full(tissue), whole)
    paths = []
    for case in range(10):
        rng = random.Random(case)
        path = tmp_path / f"{case}{suffix}"
        paths.append(path)
        if suffix == ".zarr":
            shutil.copytree(whole, path)
            path = rng.choice(sorted(p for p in path.rglob("*") if p.is_file()))
            data = bytearray(path.read_bytes())
        else:
            data = bytearray(whole.read_bytes())
        for _ in range(rng.choice([1, 4, 16])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data[: rng.choice([len(data), rng.randrange(len(data))])])
    assert set(read_apart(paths)) <= {0, 1}


def test_a_zarr_folder_with_pickled_objects_is_never_unpickled(
    tissue: AnnData, tmp_path: Path
) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    write_zarr(tissue, tmp_path / "in.zarr")
    array = tmp_path / "in.zarr" / "uns" / "bomb"
    array.mkdir(parents=True)
    about = {
        **{"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "fill_value": None},
        **{"order": "C", "compressor": None, "filters": [{"id": "pickle"}]},
    }
    (array / ".zarray").write_text(json.dumps(about))
    (array / "0").write_bytes(pickle.dumps(([Bomb()], "|O", (1,)), protocol=2))
    assert numcodecs.get_codec({"id": "pickle"})  # it could be read
    with pytest.raises(InputError, match="codec 'pickle'"):
        read_tissue(tmp_path / "in.zarr")
    assert not (tmp_path / "ran").exists()


def write_zarr(adata: AnnData, path: Path, version: int = 2) -> None:
    """Write a folder in a version of zarr's format."""
    with anndata.settings.override(zarr_write_format=version):
        write_tissue(adata, path)
    (path / ".zmetadata").unlink(missing_ok=True)


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"shape": [10**12], "chunks": [10**6]}, "cannot be in the file"),
        ({"shape": [10**8], "chunks": [1]}, "pieces"),
        ({"chunks": [10**12]}, "cannot be in the file"),
        ({"shape": [-1]}, "has the shape"),
        ({"shape": [None]}, "no shape"),
        ({"shape": 5}, "damaged"),
        ({"compressor": {"id": "bz2", "level": 1}}, "codec 'bz2'"),
        ({"filters": [{"id": "zstd", "level": 0}]}, "more than once"),
    ],
)
def test_what_an_array_claims_is_compared_with_what_is_stored(
    tissue: AnnData, tmp_path: Path, changes: dict[str, object], cause: str
) -> None:
    write_zarr(tissue, tmp_path / "in.zarr")
    edit_json(tmp_path / "in.zarr" / "X" / "data" / ".zarray", **changes)
    with pytest.raises(InputError, match=cause):
        read_tissue(tmp_path / "in.zarr")


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"shape": [10**12]}, "cannot be in the file"),
        ({"codecs": [{"name": "bytes"}, {"name": "numcodecs.bz2"}]}, "codec 'bz2'"),
        ({"codecs": [{"name": "zstd"}, {"name": "zstd"}]}, "more than once"),
    ],
)
def test_zarr_of_version_3_is_looked_at_too(
    tissue: AnnData, tmp_path: Path, changes: dict[str, object], cause: str
) -> None:
    write_zarr(tissue, tmp_path / "in.zarr", 3)
    read_tissue(tmp_path / "in.zarr")
    edit_json(tmp_path / "in.zarr" / "X" / "data" / "zarr.json", **changes)
    with pytest.raises(InputError, match=cause):
        read_tissue(tmp_path / "in.zarr")


def test_a_piece_that_unpacks_to_more_than_it_can_hold_is_refused(
    tissue: AnnData, tmp_path: Path
) -> None:
    write_zarr(tissue, tmp_path / "in.zarr")
    zeros = np.zeros(30_000_000, np.uint8)
    for codec in (numcodecs.Zstd(), numcodecs.Blosc(), numcodecs.LZ4()):
        shutil.copytree(tmp_path / "in.zarr", tmp_path / "bomb.zarr")
        folder = tmp_path / "bomb.zarr" / "obsm" / "spatial"
        edit_json(folder / ".zarray", compressor=codec.get_config())
        for piece in folder.iterdir():
            if piece.name != ".zarray" and piece.name != ".zattrs":
                packed = codec.encode(zeros)
                piece.write_bytes(packed)
                assert len(packed) < 1_000_000
        with pytest.raises(InputError, match="unpacks to 30,000,000 bytes"):
            read_tissue(tmp_path / "bomb.zarr")
        shutil.rmtree(tmp_path / "bomb.zarr")


def test_more_texts_than_an_array_can_have_are_refused(tissue: AnnData, tmp_path: Path) -> None:
    write_zarr(tissue, tmp_path / "in.zarr")
    folder = tmp_path / "in.zarr" / "var" / "_index"
    if not (folder / ".zarray").exists():  # newer versions of anndata keep a mask beside the texts
        folder /= "values"
    edit_json(folder / ".zarray", compressor=None)
    (folder / "0").write_bytes((2**32 - 1).to_bytes(4, "little") + b"\x01\x00\x00\x00a")
    with pytest.raises(InputError, match="4,294,967,295 texts"):
        read_tissue(tmp_path / "in.zarr")


def test_an_h5ad_that_claims_more_than_it_stores_is_refused(
    tissue: AnnData, tmp_path: Path
) -> None:
    write_tissue(tissue, tmp_path / "in.h5ad")
    with h5py.File(tmp_path / "in.h5ad", "r+") as file:
        file["obsm"].create_dataset("huge", (10**9, 10**3), "f8", chunks=(10**4, 10**3))
    with pytest.raises(InputError, match="cannot be in the file"):
        read_tissue(tmp_path / "in.h5ad")


@pytest.mark.parametrize("how", ["link", "storage", "virtual"])
def test_an_h5ad_reads_no_other_file(tissue: AnnData, tmp_path: Path, how: str) -> None:
    write_tissue(tissue, tmp_path / "in.h5ad")
    (tmp_path / "secret").write_bytes(bytes(8))
    with h5py.File(tmp_path / "in.h5ad", "r+") as file:
        if how == "link":
            file["uns/other"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
        elif how == "storage":
            space = h5py.h5s.create_simple((8,))
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_external(str(tmp_path / "secret").encode(), 0, 8)
            h5py.h5d.create(file["uns"].id, b"other", h5py.h5t.NATIVE_INT8, space, plist)
        else:
            layout = h5py.VirtualLayout((8,), "i1")
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (8,))
            file["uns"].create_virtual_dataset("other", layout)
    with pytest.raises(InputError, match="refers to another"):
        read_tissue(tmp_path / "in.h5ad")


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
@pytest.mark.parametrize("shape", [(10**12, 30), (1199, 30), (-1, 30), (1200, 2**62)])
def test_the_shape_of_a_matrix_agrees_with_its_parts(
    tissue: AnnData, tmp_path: Path, suffix: str, shape: tuple[int, int]
) -> None:
    path = tmp_path / f"in{suffix}"
    (write_tissue if suffix == ".h5ad" else write_zarr)(tissue, path)
    group = open_to_change(path)
    group["X"].attrs["shape"] = list(shape)
    if isinstance(group, h5py.File):
        group.close()
    else:
        (path / ".zmetadata").unlink(missing_ok=True)
    with pytest.raises(InputError, match=r"in\.(h5ad|zarr)'"):
        read_tissue(path)


def test_a_group_inside_itself_is_walked_once(tissue: AnnData, tmp_path: Path) -> None:
    write_tissue(tissue, tmp_path / "in.h5ad")
    with h5py.File(tmp_path / "in.h5ad", "r+") as file:
        file["uns/again"] = file["uns"]
    with pytest.raises(InputError, match="not a readable AnnData"):  # by anndata, too deep
        read_tissue(tmp_path / "in.h5ad")


def test_no_memory_is_an_error_with_a_remedy(
    tissue: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tissue(tissue, tmp_path / "in.h5ad")

    def too_much(*args: object, **kwargs: object) -> None:
        raise MemoryError

    monkeypatch.setattr("anndata.read_h5ad", too_much)
    with pytest.raises(InputError, match="not enough memory"):
        read_tissue(tmp_path / "in.h5ad")


_CHILDREN = {
    "crashes": "import os, sys; sys.stdin.readline(); sys.stdin.readline(); os.abort()",
    "hangs": "import sys, time; print('ready', flush=True); time.sleep(60)",
    "takes memory": "print('ready\\nit takes more than 4 GB of memory', flush=True); input()",
}


@pytest.mark.parametrize("does", _CHILDREN)
def test_a_file_that_ends_the_child_is_refused(
    tissue: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str
) -> None:
    write_tissue(tissue, tmp_path / "in.h5ad")
    child = tmp_path / "child.py"
    child.write_text(_CHILDREN[does])
    one = probe.Probe()
    monkeypatch.setattr(probe, "_CHILD", child)
    monkeypatch.setattr(probe, "_SECONDS", 1.0)
    monkeypatch.setattr(probe, "_PROBE", one)
    with pytest.raises(InputError, match="inside the HDF5 library"):
        read_tissue(tmp_path / "in.h5ad")
    monkeypatch.undo()
    assert read_tissue(tmp_path / "in.h5ad").shape == tissue.shape
    assert one._process is None


def test_files_are_read_without_a_child_where_none_starts(
    tissue: AnnData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_tissue(tissue, tmp_path / "in.h5ad")
    monkeypatch.setattr(probe, "_PROBE", probe.Probe())
    monkeypatch.setattr(probe, "get_executable", lambda: str(tmp_path / "no-python"))
    assert read_tissue(tmp_path / "in.h5ad").shape == tissue.shape
    assert "unprobed" in caplog.text


def test_the_child_serves_many_files_and_starts_again(
    tissue: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tissue(tissue, tmp_path / "in.h5ad")
    (tmp_path / "text.h5ad").write_text("not HDF5")
    one = probe.Probe()
    monkeypatch.setattr(probe, "_PROBE", one)
    for _ in range(2):
        read_tissue(tmp_path / "in.h5ad")
        with pytest.raises(InputError, match="not a readable AnnData"):
            read_tissue(tmp_path / "text.h5ad")
    first = one._process
    assert first is not None
    first.kill()
    first.wait()
    read_tissue(tmp_path / "in.h5ad")
    assert one._process is not None
    assert one._process is not first
    one.close()


def test_blocks_of_a_matrix_on_disk_are_checked(
    tissue: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for suffix in (".h5ad", ".zarr"):
        path = tmp_path / f"in{suffix}"
        write_tissue(tissue, path)
        group = open_to_change(path)
        group["X/indices"][-1] = 30
        if isinstance(group, h5py.File):
            group.close()
        monkeypatch.setattr(io, "_BACKED_BYTES", 1)
        adata = read_tissue(path)
        Section.from_anndata(adata, "section_1")
        with pytest.raises(InputError, match="X is not sound"):
            Section.from_anndata(adata, "section_2")
        with pytest.raises(InputError, match="X is not sound"):
            io.in_memory(adata)


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_a_block_that_cannot_be_read_is_an_error_with_a_remedy(
    tissue: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = tmp_path / f"in{suffix}"
    (write_zarr if suffix == ".zarr" else write_tissue)(tissue, path)
    if suffix == ".zarr":
        (block,) = [p for p in (path / "X" / "data").iterdir() if p.name[0] != "."]
        damaged = block.read_bytes()[:-200]
    else:
        block = path
        with h5py.File(path) as file:
            piece = file["X/data"].id.get_chunk_info(0)
        data = bytearray(path.read_bytes())
        data[piece.byte_offset : piece.byte_offset + piece.size] = bytes(piece.size)
        damaged = bytes(data)
    sound = block.read_bytes()
    block.write_bytes(damaged)
    with pytest.raises(InputError, match=r"not a readable AnnData|is cut short or damaged"):
        read_tissue(path)
    # Where X stays in the file, a block may be damaged after the file was opened.
    monkeypatch.setattr(io, "_BACKED_BYTES", 1)
    block.write_bytes(sound)
    adata = read_tissue(path)
    block.write_bytes(damaged)
    with pytest.raises(InputError, match="X cannot be read from its file"):
        Section.from_anndata(adata, "section_1")
    with pytest.raises(InputError, match="cannot be read from its file"):
        io.in_memory(adata)


@pytest.mark.parametrize("value", [object(), "a\0b", {1: 2}, [object()]])
def test_values_that_no_file_can_hold_are_named(
    tissue: AnnData, tmp_path: Path, value: object
) -> None:
    tissue.uns["odd"] = value
    with pytest.raises(
        InputError, match=r"'uns/odd\S*' of the tissue cannot be written to 'out\.h5ad"
    ):
        write_tissue(tissue, tmp_path / "out.h5ad")
    assert not list(tmp_path.iterdir())
