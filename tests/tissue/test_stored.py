"""What files claim is compared with what they hold, before anything is read."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pytest
from anndata import AnnData

from napari_gest.errors import InputError
from napari_gest.tissue.io import write_tissue
from napari_gest.tissue.stored import check_hdf5, check_zarr


@pytest.fixture
def folder(tissue: AnnData, tmp_path: Path) -> Path:
    write_tissue(tissue, tmp_path / "a.zarr")
    return tmp_path / "a.zarr"


def test_sound_files_pass(tissue: AnnData, folder: Path, tmp_path: Path) -> None:
    check_zarr(folder)
    write_tissue(tissue, tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad") as file:
        check_hdf5(file, tmp_path / "a.h5ad")


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
