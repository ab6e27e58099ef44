"""What files claim is compared with what they hold, before anything is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from napari_gest.errors import InputError
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.section import Section
from napari_gest.tissue.stored import _is_blosc, check_hdf5, check_zarr


@pytest.fixture
def folder(tissue: AnnData, tmp_path: Path) -> Path:
    write_tissue(tissue, tmp_path / "a.zarr")
    return tmp_path / "a.zarr"


def test_sound_files_pass(tissue: AnnData, folder: Path, tmp_path: Path) -> None:
    check_zarr(folder)
    write_tissue(tissue, tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad") as file:
        check_hdf5(file, tmp_path / "a.h5ad")


def _empty_uns(adata: AnnData) -> None:
    adata.uns["nothing"] = np.empty(0)


def _unnamed(adata: AnnData) -> None:
    adata.obs["name"] = pd.Categorical([None] * adata.n_obs)


def _empty_table(adata: AnnData) -> None:
    adata.uns["table"] = pd.DataFrame({"gene": [], "score": np.empty(0)})


def _no_columns(adata: AnnData) -> None:
    adata.obsm["X_none"] = np.empty((adata.n_obs, 0))


@pytest.mark.parametrize("add", [_empty_uns, _unnamed, _empty_table, _no_columns])
@pytest.mark.parametrize("name", ["a.h5ad", "a.zarr"])
def test_empty_arrays_are_sound(
    tissue: AnnData, tmp_path: Path, add: Callable[[AnnData], None], name: str
) -> None:
    add(tissue)
    write = tissue.write_h5ad if name.endswith("h5ad") else tissue.write_zarr
    write(tmp_path / name)
    for lazy in (False, True):
        again = read_tissue(tmp_path / name, lazy=lazy)
        assert again.shape == tissue.shape
        assert {*again.obs.columns} == {*tissue.obs.columns}


@pytest.mark.parametrize("lazy", [False, True])
def test_a_file_without_cells_is_read_and_its_sections_are_refused(
    tissue: AnnData, tmp_path: Path, lazy: bool
) -> None:
    tissue[:0].copy().write_h5ad(tmp_path / "a.h5ad")
    adata = read_tissue(tmp_path / "a.h5ad", lazy=lazy)
    with pytest.raises(InputError, match="The file has 0 cells"):
        Section.from_anndata(adata, lazy=lazy)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"shape": [10**14]}, "cannot be in the file"),
        ({"shape": [-1]}, "has the shape"),
        ({"chunks": [0]}, "has the shape|no shape"),
        ({"compressor": {"id": "pickle"}}, "pickle"),
        ({"filters": [{"id": "pickle"}]}, "pickle"),
    ],
)
def test_claims_that_cannot_be_are_refused(folder: Path, change: dict, cause: str) -> None:
    for name in (".zarray", "zarr.json"):
        for document in folder.rglob(name):
            if document.parent.name != "data":
                continue
            about = json.loads(document.read_text())
            if name == "zarr.json":
                pytest.skip("this version of zarr writes another format")
            document.write_text(json.dumps(about | change))
    with pytest.raises(InputError, match=cause):
        check_zarr(folder)


def test_links_to_other_files_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        file["x"] = h5py.ExternalLink("other.h5", "/x")
    with (
        h5py.File(tmp_path / "a.h5ad") as file,
        pytest.raises(InputError, match="refers to another one"),
    ):
        check_hdf5(file, tmp_path / "a.h5ad")


def _blosc(unpacked: bytes, shuffle: int = 1) -> bytes:
    from numcodecs import Blosc

    return bytes(Blosc("lz4", 5, shuffle).encode(unpacked))


@pytest.mark.parametrize("n", [10, 1000, 5_000_000])
def test_sound_blosc_is_known(n: int) -> None:
    for unpacked in (bytes(n), np.random.default_rng(0).bytes(n)):
        packed = _blosc(unpacked)
        assert _is_blosc(packed[:32], len(packed))


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-6],  # shorter than its header says: blosc reads on behind the end
        lambda b: b + b"\0",
        lambda b: b[:7] + bytes([b[7] ^ 1]) + b[8:],  # unpacked size
        lambda b: b[:15] + bytes([b[15] ^ 1]) + b[16:],  # packed size
        lambda b: b[:12],
        lambda b: b"",
    ],
)
def test_blosc_that_is_not_as_long_as_it_says_is_refused(
    tissue: AnnData, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    write_tissue(tissue, tmp_path / "a.zarr")
    for name in (".zarray", "zarr.json"):
        for document in (tmp_path / "a.zarr" / "obsm" / "spatial").rglob(name):
            about = json.loads(document.read_text())
            if name == "zarr.json":
                pytest.skip("this version of zarr writes another format")
            about |= {"compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}}
            document.write_text(json.dumps(about))
            pieces = [p for p in document.parent.iterdir() if not p.name.startswith(".")]
            for piece in pieces:
                piece.write_bytes(_blosc(np.random.default_rng(0).bytes(16 * tissue.n_obs)))
            check_zarr(tmp_path / "a.zarr")
            pieces[0].write_bytes(damage(pieces[0].read_bytes()))
            with pytest.raises(InputError, match=r"cut short or damaged|unpacks to"):
                check_zarr(tmp_path / "a.zarr")
            return
    raise AssertionError("no array was found")
