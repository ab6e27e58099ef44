"""Tissue in zarr, formats 2 and 3: its content, its layout, its metadata, its chunks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import zarr
from anndata import read_zarr, settings
from anndata.io import write_elem

from benchmarks.fuzz import blind, contents, jsons, structure, tissue
from benchmarks.fuzz.base import ZARR
from benchmarks.fuzz.case import Room, Work

_METADATA = (".zgroup", ".zattrs", ".zarray", ".zmetadata", "zarr.json")


def prepare(room: Room) -> Work:
    path = room.inputs / "tissue.zarr"
    base = room.base.folder / room.pick(ZARR)
    version = 3 if base.stem.endswith("-3") else 2
    room.note(base.name)
    draw = room.rng.random()
    if draw < 0.2:
        _contents(room, base, path, version)
        return lambda: tissue.work(room, path)
    shutil.copytree(base, path)
    if draw < 0.45:
        forget_consolidated(path)
        structure.change(room, zarr.open_group(path, mode="r+", use_consolidated=False))
    elif draw < 0.75:
        _metadata(room, path)
    elif draw < 0.9:
        chunks = [p for p in sorted(path.rglob("*")) if p.is_file() and p.name not in _METADATA]
        for _ in range(int(room.rng.integers(1, 4))):
            one = room.pick(chunks)
            room.note(str(one.relative_to(path)))
            blind.damage(room, one)
    else:
        blind.disorder(room, path)
    return lambda: tissue.work(room, path)


def _contents(room: Room, base: Path, path: Path, version: int) -> None:
    adata = contents.change(room, read_zarr(base))
    with settings.override(zarr_write_format=version):
        group = zarr.open_group(path, mode="w", zarr_format=version)
        try:
            write_elem(group, "/", adata)
        except (TypeError, ValueError, NotImplementedError, OSError, KeyError) as error:
            room.note(f"unwritable: {type(error).__name__}")


def forget_consolidated(path: Path) -> None:
    """Remove the consolidated metadata, so that each array's own metadata are read."""
    (path / ".zmetadata").unlink(missing_ok=True)
    about = path / "zarr.json"
    if about.exists():
        known = json.loads(about.read_text())
        known.pop("consolidated_metadata", None)
        about.write_text(json.dumps(known))


def _metadata(room: Room, path: Path) -> None:
    """Mutate the metadata of arrays and groups, with or without consolidated metadata."""
    if room.chance(0.7):
        forget_consolidated(path)
    else:
        room.note("consolidated")
    found = [p for p in sorted(path.rglob("*")) if p.name in _METADATA]
    whole = [p for p in found if p.name == ".zmetadata" or p.parent == path]
    expression = [p for p in found if p.parent.parent.name == "X" or p.parent.name == "X"]
    pool = room.pick((found, found, expression or found, whole))
    one = room.pick(pool)
    room.note(str(one.relative_to(path)))
    document = json.loads(one.read_text())
    array = "fill_value" in document  # the attributes of a sparse matrix have a shape too
    if room.chance(0.35) and array:
        _shape(room, document)
        one.write_text(json.dumps(document))
    else:
        one.write_bytes(jsons.damage(room, document))


def _shape(room: Room, about: dict) -> None:
    """Let an array declare another shape, other chunks or another type than it has."""
    what = room.pick(("shape", "shape", "chunks", "type", "fill", "codec"))
    length = room.pick((0, 1, -1, 2**24, 2**31, 2**40, 2**62))
    shape = list(about["shape"])
    if what == "shape" and shape:
        shape[int(room.rng.integers(len(shape)))] = length
        about["shape"] = shape
    elif what == "chunks":
        made = [length] * len(shape)
        if "chunks" in about:
            about["chunks"] = made
        else:
            about["chunk_grid"]["configuration"]["chunk_shape"] = made
    elif what == "type":
        if "dtype" in about:
            about["dtype"] = room.pick(
                ("<i8", "<f8", "|u1", "|b1", "|O", "<U9", "|S3", "<M8[s]", ">f4")
            )
        else:
            about["data_type"] = room.pick(
                ("int64", "float64", "uint8", "bool", "string", "complex64")
            )
    elif what == "fill":
        about["fill_value"] = room.pick(
            (None, "NaN", "Infinity", "-Infinity", 1e308, -1, "text", [])
        )
    else:
        key = "codecs" if "codecs" in about else "compressor"
        about[key] = room.pick(
            (None, [], {"id": "zlib", "level": 1}, {"id": "absent"}, [{"name": "gzip"}],
             [{"name": "bytes", "configuration": {"endian": "big"}}])
        )  # fmt: skip
    room.note(f"{what} {about.get('shape')}")
