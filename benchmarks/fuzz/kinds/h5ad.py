"""Tissue in HDF5: its content, its layout, its links and its bytes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from anndata import read_h5ad
from anndata.io import write_elem

from benchmarks.fuzz import blind, contents, structure, tissue
from benchmarks.fuzz.base import H5AD
from benchmarks.fuzz.case import Room, Work

_MEGABYTE = 1 << 20


def prepare(room: Room) -> Work:
    path = room.inputs / "tissue.h5ad"
    base = room.base.folder / room.pick(H5AD)
    room.note(base.name)
    draw = room.rng.random()
    if draw < 0.4:
        adata = contents.change(room, read_h5ad(base))
        with h5py.File(path, "w") as file:
            _write(room, file, adata)
    else:
        shutil.copyfile(base, path)
        if draw < 0.65:
            with h5py.File(path, "r+") as file:
                structure.change(room, file)
        elif draw < 0.8:
            with h5py.File(path, "r+") as file:
                odd = room.pick(ODDITIES)
                room.note(odd.__name__)
                odd(room, file)
        elif draw < 0.97:
            blind.damage(room, path)
        else:
            _not_a_file(room, path)
    return lambda: tissue.work(room, path)


def _write(room: Room, file: h5py.File, adata: Any) -> None:
    """Write an AnnData element by element; elements that cannot be written are left out."""
    try:
        write_elem(file, "/", adata)
    except (TypeError, ValueError, NotImplementedError, OSError, KeyError) as error:
        # anndata cannot write it; the elements before it make an incomplete file.
        room.note(f"unwritable: {type(error).__name__}")


def _not_a_file(room: Room, path: Path) -> None:
    path.unlink()
    what = room.pick(("folder", "loop", "dangling", "text", "zip"))
    room.note(what)
    if what == "folder":
        path.mkdir()
    elif what == "loop":
        path.symlink_to(path)
    elif what == "dangling":
        path.symlink_to("no such place")
    elif what == "text":
        path.write_text("cell,x,y\n")
    else:
        path.write_bytes(b"PK\x03\x04" + bytes(100))


def _holder(room: Room, file: h5py.File) -> h5py.Group:
    return room.pick(structure.walk(file)[0])


def link_loop(room: Room, file: h5py.File) -> None:
    group = _holder(room, file)
    group["loop"] = room.pick((file, group))


def soft_links(room: Room, file: h5py.File) -> None:
    group = _holder(room, file)
    group["soft"] = h5py.SoftLink(room.pick((f"{group.name}/soft", "/absent", "/", "/X")))


def external_links(room: Room, file: h5py.File) -> None:
    group = _holder(room, file)
    target = room.pick(("absent.h5", "/etc/passwd", file.filename, "/dev/zero"))
    group["outside"] = h5py.ExternalLink(target, "/")


def lost_reference(room: Room, file: h5py.File) -> None:
    """Replace an array by a reference."""
    arrays = structure.walk(file)[1]
    array = room.pick(arrays)
    parent, key, reference = array.parent, array.name.rsplit("/", 1)[1], file["obs"].ref
    del parent[key]
    parent.create_dataset(key, data=reference, dtype=h5py.ref_dtype)


def huge_sparse_file(room: Room, file: h5py.File) -> None:
    """Declare arrays of terabytes of which no byte is stored."""
    length = room.pick((2**24, 2**31, 2**36, 2**40))
    which = room.pick(("X", "X/data", "obsm/spatial", "uns/big", "obs/big", "X dense"))
    path = "X" if which == "X dense" else which
    if which == "X/data" and isinstance(file["X"], h5py.Dataset):
        del file["X"]  # a dense X has nothing in it
    if path in file:
        del file[path]
    shape = (length,) if which != "X dense" else (file["obs/_index"].shape[0], length)
    array = file.create_dataset(path, shape, "f4", chunks=tuple(min(n, 1024) for n in shape))
    array.attrs["encoding-type"] = "array"
    array.attrs["encoding-version"] = "0.2.0"
    room.note(f"{which} {shape}")


def many_cells_declared(room: Room, file: h5py.File) -> None:
    """Let the whole file declare a number of cells that is not stored."""
    n = room.pick((2**20, 2**28, 2**34))
    for path, shape, kind in (
        ("obsm/spatial", (n, 2), "f8"),
        ("X", (n, file["var/_index"].shape[0]), "f4"),
        ("obs/_index", (n,), h5py.string_dtype()),
    ):
        kept = dict(file[path].attrs) if isinstance(file[path], h5py.Dataset) else {}
        del file[path]
        made = file.create_dataset(path, shape, kind, chunks=tuple(min(s, 4096) for s in shape))
        kept = kept or {"encoding-type": "array", "encoding-version": "0.2.0"}
        for key, value in kept.items():
            made.attrs[key] = value
    for key in [k for k in file["obs"] if k != "_index"]:
        del file["obs"][key]
    file["obs"].attrs["column-order"] = np.array([], "S1")
    for group in ("layers", "obsp"):
        for key in list(file.get(group, ())):
            del file[group][key]
    for key in [k for k in file["obsm"] if k != "spatial"]:
        del file["obsm"][key]
    room.note(f"{n} cells")


def bomb(room: Room, file: h5py.File) -> None:
    """Store zeros that take no space in the file and gigabytes in memory."""
    n = room.pick((16, 64, 1024)) * _MEGABYTE // 4
    path = room.pick(("uns/big", "X"))
    if path in file:
        del file[path]
    array = file.create_dataset(path, (n,), "f4", chunks=(_MEGABYTE,), compression="gzip")
    array[:_MEGABYTE] = 0
    array.attrs["encoding-type"], array.attrs["encoding-version"] = "array", "0.2.0"


def odd_types(room: Room, file: h5py.File) -> None:
    """Replace an array by one of a type that only HDF5 has."""
    array = room.pick(structure.walk(file)[1])
    parent, key = array.parent, array.name.rsplit("/", 1)[1]
    kept, n = dict(array.attrs), int(np.prod(array.shape)) if array.shape else 1
    del parent[key]
    kind = room.pick(
        (
            np.dtype([("a", "f4"), ("b", "i8")]),
            h5py.vlen_dtype(np.dtype("i4")),
            h5py.enum_dtype({"a": 0, "b": 1}, basetype="i1"),
            np.dtype("V8"),
            h5py.string_dtype(length=3),
            np.dtype(">f8"),
            np.dtype("f2"),
        )
    )
    room.note(f"{array.name if array else key} as {kind}")
    made = parent.create_dataset(key, (n,), kind)
    for name, value in kept.items():
        made.attrs[name] = value


def empty_space(room: Room, file: h5py.File) -> None:
    array = room.pick(structure.walk(file)[1])
    parent, key, kept = array.parent, array.name.rsplit("/", 1)[1], dict(array.attrs)
    del parent[key]
    made = parent.create_dataset(key, data=h5py.Empty("f4"))
    for name, value in kept.items():
        made.attrs[name] = value


def odd_names(room: Room, file: h5py.File) -> None:
    group = _holder(room, file)
    raw = room.pick((b"\xff\xfe", b"a" * 60_000, b"<b>", b" ", b"new\nline", "é".encode()))
    h5py.h5d.create(group.id, raw, h5py.h5t.NATIVE_INT32, h5py.h5s.create_simple((3,)))


def bad_text(room: Room, file: h5py.File) -> None:
    """Write text that is not UTF-8 in place of names."""
    path = room.pick(("obs/_index", "var/_index"))
    n, kept = file[path].shape[0], dict(file[path].attrs)
    del file[path]
    texts = np.array([b"\xff\xfe%d" % i for i in range(n)], object)
    file.create_dataset(path, data=texts, dtype=h5py.string_dtype("utf-8"))
    for name, value in kept.items():
        file[path].attrs[name] = value


ODDITIES: tuple[Callable[[Room, h5py.File], None], ...] = (
    link_loop, soft_links, external_links, lost_reference, huge_sparse_file, many_cells_declared,
    bomb, odd_types, odd_types, empty_space, odd_names, bad_text,
)  # fmt: skip
