"""What a tissue file says of itself, before anything of it is read into memory.

A damaged or hostile file may ask for more memory than there is, run code while it is read
(pickled objects), or read other files. All that is in its metadata, which is small.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_gest.errors import InputError
from napari_gest.tissue.text import load_json

# What is read may take this much memory, and this many times the bytes of its file. The
# compressors that are allowed reach about 1,000 on real arrays.
_BYTES, _RATIO = 1_000_000_000, 2_000
# An array may be in this many pieces, and this many for every file, or 8 bytes of a file.
_PIECES, _PIECES_RATIO = 10_000, 100
_OBJECTS = 100_000  # groups and arrays of a file
# Compressors and filters of zarr arrays whose output is as long as their input says.
_CODECS = {
    *("blosc", "zstd", "gzip", "zlib", "lz4", "shuffle", "delta", "crc32", "crc32c", "adler32"),
    *("vlen-utf8", "vlen-bytes", "vlen-array", "fixedscaleoffset", "packbits", "bytes", "endian"),
    *("transpose", "sharding_indexed"),
}
_DAMAGED = "The file is damaged: copy it again, or write it again with anndata."


class _Claims:
    """Adds up what arrays say they hold, and refuses what cannot be in the file."""

    def __init__(self, n_bytes: int, n_pieces: int) -> None:
        self.most = _BYTES + _RATIO * n_bytes
        self.pieces = _PIECES + _PIECES_RATIO * n_pieces
        self.total = self.count = 0

    def add(self, name: str, shape: tuple[int, ...], itemsize: int, chunks: Any) -> None:
        """Count an array; ``chunks`` is the shape of its pieces, or None for one piece."""
        self.count += 1
        if self.count > _OBJECTS:
            raise InputError(f"The file says it holds over {_OBJECTS:,} arrays.", _DAMAGED)
        sides = [*shape, *(chunks or ())]
        if any(isinstance(side, bool) or not isinstance(side, int) for side in sides):
            raise InputError(f"The array '{name}' has no shape.", _DAMAGED)
        if any(side < 0 for side in shape) or any(side < 1 for side in chunks or ()):
            raise InputError(f"The array '{name}' has the shape {shape}.", _DAMAGED)
        size = itemsize * max(math.prod(shape), math.prod(chunks or ()))
        self.total += size
        if self.total > self.most:
            raise InputError(
                f"The array '{name}' of shape {_short(shape)} would take"
                f" {_gigabytes(self.total)} with what comes before it, which cannot be in the"
                " file.",
                _DAMAGED,
            )
        pieces = zip(shape, chunks, strict=True) if chunks else ()
        n = math.prod(-(-side // piece) for side, piece in pieces)
        if n > self.pieces:
            raise InputError(
                f"The array '{name}' of shape {_short(shape)} is in {n:,} pieces, which cannot be"
                " in the file.",
                _DAMAGED,
            )


def check_hdf5(file: Any, path: Path) -> None:
    """Raise InputError unless an open HDF5 file can be read without harm.

    Parameters
    ----------
    file
        An ``h5py.File``.
    path
        Where it is.
    """
    import h5py

    size = path.stat().st_size
    claims = _Claims(size, size // 8 // _PIECES_RATIO)
    seen: set[Any] = set()

    def walk(group: Any) -> None:
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise _elsewhere(f"{group.name}/{name}")
            item = group.get(name)
            if item is None:  # a link to nothing; anndata says so if it is needed
                continue
            # Hard links can make a group its own descendant.
            place = h5py.h5o.get_info(item.id).addr
            if place in seen:
                continue
            seen.add(place)
            if isinstance(item, h5py.Group):
                _check_parts(item, item.name)
                walk(item)
            elif isinstance(item, h5py.Dataset) and item.shape is not None:
                if item.external or item.is_virtual:
                    raise _elsewhere(item.name)
                if h5py.check_ref_dtype(item.dtype) is not None:
                    raise InputError(
                        f"'{item.name}' holds references of HDF5, which cannot be copied.",
                        "Write the file again with anndata.",
                    )
                claims.add(item.name, item.shape, item.dtype.itemsize, item.chunks)

    walk(file)


def check_zarr_groups(group: Any) -> None:
    """Raise InputError unless the sparse matrices of an open zarr folder have their parts."""
    import zarr

    _check_parts(group, group.name)
    for key in group:
        item = group[key]
        if isinstance(item, zarr.Group):
            check_zarr_groups(item)


def check_zarr(path: Path) -> None:
    """Raise InputError unless the arrays of a zarr folder can be read without harm.

    Zarr itself is not asked: opening an array sets up the codecs that it names.
    """
    n_bytes = n_files = 0
    documents: list[Path] = []
    for place, _, names in os.walk(path):
        for name in names:
            file = Path(place, name)
            about = file.stat()
            if not stat.S_ISREG(about.st_mode):  # opening a pipe waits for who writes to it
                raise InputError(f"'{file.relative_to(path)}' in it is no file.", _DAMAGED)
            n_files += 1
            n_bytes += about.st_size
            if name in (".zarray", ".zmetadata", "zarr.json"):
                documents.append(file)
    alone = _Claims(n_bytes, n_files)
    for document in documents:
        arrays = [*_arrays(load_json(document, "zarr metadata", finite=False), "")]
        # A document with the metadata of all arrays comes beside those of each.
        claims = alone if len(arrays) == 1 else _Claims(n_bytes, n_files)
        for name, array in arrays:
            folder = document.parent / name.removesuffix(".zarray")
            _check_array(folder.relative_to(path).as_posix(), folder, array, claims)


def _arrays(node: Any, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the place below its document and the metadata of every array in one of zarr's."""
    if not isinstance(node, dict):
        return
    if "shape" in node and ("chunks" in node or "chunk_grid" in node):
        yield name, node
        return
    for key, value in node.items():
        if key != "attributes" and ".." not in key:
            yield from _arrays(value, "" if key in _WRAPPERS else key.lstrip("/"))


def _check_array(name: str, folder: Path, about: dict[str, Any], claims: _Claims) -> None:
    try:
        codecs = [*_codecs(about)]
        grid = about.get("chunk_grid", {}).get("configuration", {}).get("chunk_shape")
        chunks = tuple(about.get("chunks", grid))
        shape = tuple(about["shape"])
        itemsize = _itemsize(about.get("dtype", about.get("data_type")))
    except (AttributeError, TypeError, ValueError, KeyError) as error:
        raise InputError(f"The metadata of the array '{name}' is damaged.", _DAMAGED) from error
    for codec in codecs:
        if codec not in _CODECS:
            raise InputError(
                f"The array '{name}' is stored with the codec '{codec}', which is not read here"
                " because it can run code or take any amount of memory.",
                "Write the file again with anndata's own settings.",
            )
    claims.add(name, shape, itemsize, chunks if shape else None)
    if "sharding_indexed" not in codecs:
        text = any(codec.startswith("vlen") for codec in codecs)
        compressors = [codec for codec in codecs if codec in _SIZES or codec in ("gzip", "zlib")]
        if len(compressors) > 1:
            raise InputError(f"The array '{name}' is compressed more than once.", _DAMAGED)
        n_items = math.prod(chunks)
        most = claims.most if text else n_items * itemsize
        _check_pieces(name, folder, compressors[0] if compressors else None, most, n_items, text)


def _check_pieces(
    name: str, folder: Path, compressor: str | None, most: int, n_items: int, text: bool
) -> None:
    """Raise InputError if a piece unpacks to more than ``most`` bytes, or ``n_items`` texts."""
    for place, _, files in os.walk(folder):
        for file in files:
            if file.startswith(".") or file == "zarr.json":
                continue
            packed = Path(place, file)
            with packed.open("rb") as stream:
                head = stream.read(32)
                if compressor == "blosc" and not _is_blosc(head, packed.stat().st_size):
                    raise InputError(
                        f"A piece of the array '{name}' ({file}) is cut short or damaged.", _DAMAGED
                    )
                size = _SIZES[compressor](head) if compressor in _SIZES else 0
                if size > most:
                    raise InputError(
                        f"A piece of the array '{name}' ({file}) unpacks to {size:,} bytes, more"
                        f" than the {most:,} it can have.",
                        _DAMAGED,
                    )
                if not text:
                    continue
                # A text comes after the number of them all, for which room is made at once.
                whole = head + stream.read()
            n = int.from_bytes(bytes(_unpack(compressor, whole)[:4]), "little")
            if n > n_items:
                raise InputError(
                    f"A piece of the array '{name}' ({file}) holds {n:,} texts, more than the"
                    f" {n_items:,} it can have.",
                    _DAMAGED,
                )


def _unpack(compressor: str | None, packed: bytes) -> memoryview:
    from numcodecs.registry import get_codec

    if compressor is None:
        return memoryview(packed)
    try:
        return memoryview(get_codec({"id": compressor}).decode(packed)).cast("B")
    except Exception as error:  # each codec raises its own kinds
        raise InputError(f"A piece of the file cannot be unpacked ({error}).", _DAMAGED) from error


def _is_blosc(head: bytes, size: int) -> bool:
    """Whether a piece of ``size`` bytes is as long as its header says; blosc itself trusts it.

    The header is: versions, flags and bytes of an item, one byte each; then three numbers of four
    bytes, the unpacked size, that of a block, and the packed size.
    """
    if len(head) < 16:
        return False
    unpacked, block, packed = (int.from_bytes(head[i : i + 4], "little") for i in (4, 8, 12))
    if packed != size or not head[3]:
        return False
    if head[2] & 2:  # stored as it is
        return packed == unpacked + 16
    # Where each block begins is written behind the header.
    return block > 0 and 16 + 4 * -(-unpacked // block) <= packed


def _zstd_size(head: bytes) -> int:
    """Return what the header of a zstd frame says it unpacks to, 0 where it does not say."""
    if len(head) < 6 or head[:4] != b"\x28\xb5\x2f\xfd":
        return 0
    single = head[4] >> 5 & 1
    start = 6 - single + (0, 1, 2, 4)[head[4] & 3]
    width = (single, 2, 4, 8)[head[4] >> 6]
    return int.from_bytes(head[start : start + width], "little") + (256 if width == 2 else 0)


# What the first bytes of a piece say that it unpacks to.
_SIZES: dict[str | None, Callable[[bytes], int]] = {
    "zstd": _zstd_size,
    "blosc": lambda head: int.from_bytes(head[4:8], "little"),
    "lz4": lambda head: int.from_bytes(head[:4], "little"),
}
_WRAPPERS = ("metadata", "consolidated_metadata")


def _codecs(about: dict[str, Any]) -> Iterator[str]:
    """Yield the names of an array's codecs, those inside others too."""
    listed = [about.get("compressor"), *(about.get("filters") or ()), *(about.get("codecs") or ())]
    while listed:
        codec = listed.pop()
        if codec is None:
            continue
        if isinstance(codec, str):
            yield codec.removeprefix("numcodecs.")
            continue
        if not isinstance(codec, dict):
            yield repr(codec)
            continue
        yield str(codec.get("id", codec.get("name"))).removeprefix("numcodecs.")
        inner = codec.get("configuration")
        for key in ("codecs", "index_codecs"):
            listed += (inner.get(key) or []) if isinstance(inner, dict) else []


def _itemsize(dtype: Any) -> int:
    """Return the bytes of an item; those of text and of what zarr alone knows are a pointer's."""
    if isinstance(dtype, dict):
        about = dtype.get("configuration")
        return int(about.get("length_bytes", 8)) if isinstance(about, dict) else 8
    if isinstance(dtype, list):
        return sum(_itemsize(field[1]) * math.prod(map(int, field[2:3] or [1])) for field in dtype)
    try:
        return max(np.dtype(dtype).itemsize, 1)
    except TypeError:
        return 8


def _check_parts(group: Any, name: str) -> None:
    """Raise InputError unless a group that says it is a sparse matrix has its parts."""
    kind = group.attrs.get("encoding-type", group.attrs.get("h5sparse_format", ""))
    if kind not in ("csr_matrix", "csc_matrix", "csr", "csc"):
        return
    shape = group.attrs.get("shape", group.attrs.get("h5sparse_shape"))
    parts = [group.get(part) for part in ("indptr", "indices", "data")]
    if shape is None or np.shape(shape) != (2,) or any(not hasattr(p, "shape") for p in parts):
        raise InputError(f"The sparse matrix '{name}' lacks its shape or a part.", _DAMAGED)
    major = int(shape[0 if kind.startswith("csr") else 1])
    if parts[0].shape != (major + 1,) or max(map(int, shape)) > 2**40:
        raise InputError(
            f"The sparse matrix '{name}' of shape {tuple(map(int, shape))} has row pointers of"
            f" shape {parts[0].shape}.",
            _DAMAGED,
        )


def _elsewhere(name: str) -> InputError:
    return InputError(
        f"'{name}' is not in the file: the file refers to another one.",
        "Copy all into one file, for example by reading and writing it with anndata where you"
        " trust it.",
    )


def _short(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{side:,}" for side in shape) or "()"


def _gigabytes(n: int) -> str:
    return f"{n / 1e9:,.1f} GB"
