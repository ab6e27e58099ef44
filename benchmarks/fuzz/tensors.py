"""Mutations of safetensors files: their header, and the tensors themselves."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from benchmarks.fuzz import jsons
from benchmarks.fuzz.case import Room

_FILLS = (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e30, -1e30, 3e38, 1e-40)


def damage(room: Room, path: Path) -> None:
    """Mutate a file's header or one of its tensors."""
    content = path.read_bytes()
    path.write_bytes(_header(room, content) if room.chance(0.35) else _tensors(room, content))


def _header(room: Room, content: bytes) -> bytes:
    """Return the file with another header: lengths, offsets, shapes and types that do not fit."""
    (size,) = struct.unpack("<Q", content[:8])
    header, body = content[8 : 8 + size], content[8 + size :]
    what = room.pick(("length", "json", "json", "json", "text"))
    room.note(f"header {what} of a file")
    if what == "length":
        wrong = room.pick((0, 1, size - 1, size + 1, 2**31, 2**63, 2**64 - 1))
        return struct.pack("<Q", wrong) + header + body
    if what == "text":
        return struct.pack("<Q", 4) + b"null" + body
    made = jsons.damage(room, json.loads(header))
    return struct.pack("<Q", len(made)) + made + body


def _tensors(room: Room, content: bytes) -> bytes:
    """Return the file with one or two tensors changed."""
    arrays: dict[str, Any] = load(content)
    for _ in range(int(room.rng.integers(1, 3))):
        name = room.pick(sorted(arrays))
        values = arrays[name]
        what = room.pick(
            ("value", "value", "all", "type", "shape", "longer", "shorter", "lose", "extra",
             "rename",
             "empty", "shuffle", "scalar")
        )  # fmt: skip
        room.note(f"{what} {name}")
        arrays = _changed(room, arrays, name, values, what)
    return save({k: np.ascontiguousarray(v) for k, v in arrays.items()})


def _changed(room: Room, arrays: dict[str, Any], name: str, values: Any, what: str) -> Any:
    if what == "lose":
        return {k: v for k, v in arrays.items() if k != name} or arrays
    if what == "rename":
        return {f"{k}x" if k == name else k: v for k, v in arrays.items()}
    if what == "extra":
        return arrays | {f"{name}.extra": values}
    if what in ("value", "all"):
        fill = room.pick(_FILLS)
        room.note(f"to {fill}")
        if values.dtype.kind != "f":
            fill = room.pick((-1, 0, 10**6, 2**31 - 1, -(2**31)))
        values = values.copy()
        flat = values.reshape(-1)
        with np.errstate(all="ignore"):
            if what == "all":
                flat[:] = fill
            elif flat.size:
                flat[int(room.rng.integers(flat.size))] = fill
    elif what == "type":
        to = room.pick(("float16", "float64", "int8", "int64", "uint8", "bool"))
        with np.errstate(all="ignore"):
            values = values.astype(to)
    elif what == "shape":
        values = values.reshape(room.pick(((-1,), (1, -1), (-1, 1), (1, 1, -1))))
    elif what == "longer":
        values = np.concatenate([np.atleast_1d(values)] * 2)
    elif what == "shorter":
        values = np.atleast_1d(values)[:-1]
    elif what == "empty":
        values = np.atleast_1d(values)[:0]
    elif what == "scalar":
        values = np.asarray(values.reshape(-1)[0] if values.size else 0, values.dtype)
    elif what == "shuffle":
        values = room.rng.permutation(np.atleast_1d(values))
    return arrays | {name: values}
