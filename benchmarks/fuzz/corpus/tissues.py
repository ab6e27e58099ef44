"""Tissue files that crashed the interpreter, hung, or failed with a raw exception."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import zarr
from anndata import AnnData, read_h5ad
from scipy import sparse

from benchmarks.fuzz import tissue
from benchmarks.fuzz.case import Room, Work
from benchmarks.fuzz.corpus.named import Named
from benchmarks.fuzz.kinds.zarr import forget_consolidated
from benchmarks.fuzz.structure import put
from napari_gest.tasks.generation.generate import generate
from napari_gest.tasks.niches.embed import embed_niches
from napari_gest.tissue.io import in_memory, read_tissue, write_tissue
from napari_gest.tissue.outline import outlines
from napari_gest.tissue.section import Section, section_names

Task = Callable[..., AnnData]


def read_all(room: Room, path: Path, *tasks: Task) -> Work:
    """Return the work: read a file, take its sections, do tasks and write it."""

    def work() -> None:
        room.names += tissue.NAMES
        adata = read_tissue(path)
        sections = [Section.from_anndata(adata, name) for name in section_names(adata)]
        adata = in_memory(adata)
        for task in tasks:
            adata = task(room, adata, sections[0])
        write_tissue(adata, room.out / "again.h5ad")
        tissue.compare(adata, read_tissue(room.out / "again.h5ad"))

    return work


def _generate(room: Room, adata: AnnData, section: Section) -> AnnData:
    unseen = np.arange(section.n_obs) < 4
    made = generate(section, room.base.model, unseen, field=0.0)
    tissue.finite("generated", made.expression, made.sd, made.entropy)
    made.write(adata)
    return adata


def _embed(room: Room, adata: AnnData, section: Section) -> AnnData:
    made = embed_niches(section, room.base.model)
    tissue.finite("embedding", made.embedding)
    made.write(adata)
    return adata


def _stored(base: str, change: Callable[[Any], None], *tasks: Task) -> Callable[[Room], Work]:
    """Return a function that prepares a file with a changed layout."""

    def prepare(room: Room) -> Work:
        path = room.inputs / f"tissue{Path(base).suffix}"
        source = room.base.folder / base
        if path.suffix == ".h5ad":
            shutil.copyfile(source, path)
            with h5py.File(path, "r+") as file:
                change(file)
        else:
            shutil.copytree(source, path)
            forget_consolidated(path)
            change(zarr.open_group(path, mode="r+", use_consolidated=False))
        return read_all(room, path, *tasks)

    return prepare


def _filled(change: Callable[[AnnData], Any], *tasks: Task) -> Callable[[Room], Work]:
    """Return a function that prepares a valid file with changed content."""

    def prepare(room: Room) -> Work:
        adata = read_h5ad(room.base.folder / "plain.h5ad")
        made = change(adata)
        (adata if made is None else made).write_h5ad(room.inputs / "tissue.h5ad")
        return read_all(room, room.inputs / "tissue.h5ad", *tasks)

    return prepare


def _list(path: str, at: Any, value: float) -> Callable[[Any], None]:
    def change(root: Any) -> None:
        group, key = path.rsplit("/", 1)
        values = np.asarray(root[path][...]).copy()
        values[at] = value
        put(root[group], key, values)

    return change


def _cut(path: str, n: int) -> Callable[[Any], None]:
    def change(root: Any) -> None:
        group, key = path.rsplit("/", 1)
        put(root[group], key, np.asarray(root[path][...])[:-n])

    return change


def _shape(path: str, *shape: int) -> Callable[[Any], None]:
    def change(root: Any) -> None:
        root[path].attrs["shape"] = list(shape)

    return change


def _sparse_cases() -> list[Named]:
    """Every way in which a sparse matrix can point outside itself, in X and in a layer."""
    cases = []
    for base in ("rich.h5ad", "rich.zarr", "rich-3.zarr"):
        for matrix in ("X", "layers/gest_expression"):
            for what, change in {
                "index beyond the last column": _list(f"{matrix}/indices", 5, 10**6),
                "index just beyond": _list(f"{matrix}/indices", 0, 16),
                "negative index": _list(f"{matrix}/indices", 3, -7),
                "pointers fall": _list(f"{matrix}/indptr", 9, 0),
                "pointer beyond the values": _list(f"{matrix}/indptr", 9, 10**6),
                "last pointer beyond the values": _list(f"{matrix}/indptr", -1, 10**6),
                "negative pointer": _list(f"{matrix}/indptr", 0, -1),
                "too few pointers": _cut(f"{matrix}/indptr", 1),
                "fewer indices than values": _cut(f"{matrix}/indices", 9),
                "more rows than pointers": _shape(matrix, 10**9, 16),
                "too few columns": _shape(matrix, 240, 3),
                "negative shape": _shape(matrix, -1, 16),
            }.items():
                name = f"{base} {matrix}: {what}"
                cases.append(Named(name, _stored(base, change, _generate), "refused"))
    return cases


def _coordinates(value: float) -> Callable[[AnnData], None]:
    def change(adata: AnnData) -> None:
        adata.obsm["spatial"][0] = value

    return change


def _text_column(key: str, values: Any) -> Callable[[AnnData], None]:
    def change(adata: AnnData) -> None:
        adata.obs[key] = values(adata.n_obs)

    return change


def _texts(n: int) -> list[str]:
    return ["text"] * n


def _reference(root: Any) -> None:
    del root["uns/gest/seed"]
    root["uns/gest"].create_dataset("seed", data=root["obs"].ref, dtype=h5py.ref_dtype)


def _unlike_the_rest(root: Any) -> None:
    """Declare an X of one row of zeros, so large that it is left on disk."""
    del root["X"]
    made = root.create_dataset("X", (2**29,), "f4", chunks=(2**20,), compression="gzip")
    made.attrs["encoding-type"], made.attrs["encoding-version"] = "array", "0.2.0"
    made[: 2**20] = 0


def _pipe(room: Room) -> Work:
    """Replace a chunk by a pipe without a writer."""
    path = room.inputs / "tissue.zarr"
    shutil.copytree(room.base.folder / "rich-3.zarr", path)
    chunk = next(p for p in sorted((path / "X/data/c").rglob("*")) if p.is_file())
    chunk.unlink()
    os.mkfifo(chunk)
    return read_all(room, path)


def _long_name(adata: AnnData) -> None:
    names = list(adata.obs_names)
    names[0] = "a" * 300
    adata.obs_names = names


def _html_section(adata: AnnData) -> None:
    adata.obs["section"] = pd.Categorical(["<b>one</b>"] * adata.n_obs)


def _niches(room: Room, adata: AnnData, section: Section) -> AnnData:
    return tissue._generated_niches(room, adata, section, [section])


def _new_cells(room: Room, adata: AnnData, section: Section) -> AnnData:
    nothing = np.zeros(section.n_obs, bool)
    new = section.coords_um[:2] + 1.5
    made = generate(section, room.base.model, nothing, field=0.0, new_coords_um=new)
    return made.to_anndata(adata)


def _shapes(room: Room, adata: AnnData, section: Section) -> AnnData:
    tissue.finite("areas", section.areas_um2)
    outlines(section.coords_um, np.arange(section.n_obs) % 2, 2)
    return adata


def _text_positions(adata: AnnData) -> None:
    adata.obsm["spatial"] = adata.obsm["spatial"].astype(str).astype(object)


def _frame_of_positions(adata: AnnData) -> None:
    adata.obsm["spatial"] = pd.DataFrame(adata.obsm["spatial"], adata.obs_names, ["x", "y"])


def _text_layer(adata: AnnData) -> None:
    adata.layers["names"] = np.full(adata.shape, "text", object)


def _half_layer(adata: AnnData) -> None:
    adata.layers["half"] = np.ones(adata.shape, np.float16)


def _mixed_layer(adata: AnnData) -> None:
    adata.layers["gest_expression"] = sparse.csc_matrix(adata.shape, dtype=np.int8)


CASES = [
    *_sparse_cases(),
    *(
        Named(f"coordinates of {value:g}", _filled(_coordinates(value), _embed), "refused")
        for value in (1e200, np.nan, np.inf)
    ),
    *(
        Named(f"text in {key}", _filled(_text_column(key, _texts), task), "refused")
        for key, task in (("gest_generated", _generate), ("gest_entropy", _generate))
    ),
    Named("a name of 300 characters", _filled(_long_name, _generate), "accepted"),
    Named("HTML in the name of a section", _filled(_html_section, _embed), "accepted"),
    Named("a reference of HDF5", _stored("rich.h5ad", _reference, _generate), "refused"),
    Named("X on disk in another shape", _stored("csc.h5ad", _unlike_the_rest), "refused"),
    Named("a pipe for a chunk", _pipe, "refused"),
    Named("text for niches", _filled(_text_column("gest_niche", _texts), _niches), "refused"),
    Named("one cell at 1e5 um", _filled(_coordinates(1e5), _shapes), "accepted"),
    Named("one cell at 1e9 um", _filled(_coordinates(1e9), _shapes), "accepted"),
    Named("positions of text", _filled(_text_positions, _new_cells), "accepted"),
    Named("a table of positions", _filled(_frame_of_positions, _new_cells), "accepted"),
    Named("a layer of text", _filled(_text_layer, _new_cells), "accepted"),
    Named("a layer of half precision", _filled(_half_layer, _new_cells), "accepted"),
    Named("a layer of another kind", _filled(_mixed_layer, _generate), "accepted"),
]
