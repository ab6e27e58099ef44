"""Mutations of the layout of an AnnData in a group of HDF5 or zarr."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.fuzz import values
from benchmarks.fuzz.case import Room

_LENGTHS = (0, 1, -1, 2**31, 2**40, 2**62, 2**63 - 1)
_ENCODINGS = ("csr_matrix", "csc_matrix", "array", "string-array", "categorical", "dataframe",
              "dict",
              "string", "numeric-scalar", "nullable-integer", "nullable-boolean", "anndata", "null",
              "awkward-array", "rec-array", "raw", "bytes", "")  # fmt: skip


def change(room: Room, root: Any) -> None:
    """Change the layout of an open group in one or two ways; of zarr or of HDF5."""
    for _ in range(int(room.rng.integers(1, 3))):
        groups, arrays = walk(root)
        draw = room.rng.random()
        # An earlier change may have broken some of them.
        sparse_ = [g for g in groups if _is_sparse(g)]
        categorical = [g for g in groups if _are_lists(g, "codes", "categories")]
        if draw < 0.4 and sparse_:
            _sparse(room, room.pick(sparse_))
        elif draw < 0.5 and categorical:
            _categorical(room, room.pick(categorical))
        elif draw < 0.7:
            _attributes(room, room.pick([*groups, *arrays]))
        elif draw < 0.9 and arrays:
            _array(room, root, room.pick(arrays))
        else:
            _key(room, room.pick(groups))


def walk(root: Any) -> tuple[list[Any], list[Any]]:
    """Return the groups and arrays of a tree."""
    groups, arrays, waiting = [], [], [root]
    while waiting:
        group = waiting.pop()
        groups.append(group)
        for key in sorted(group.keys()):
            item = group[key]
            if hasattr(item, "keys"):
                waiting.append(item)
            else:
                arrays.append(item)
    return groups, arrays


def put(group: Any, key: str, data: np.ndarray) -> None:
    """Replace an array of a group, and keep its attributes."""
    kept = dict(group[key].attrs) if key in group else {}
    if key in group:
        del group[key]
    data = np.asarray(data)
    if hasattr(group, "create_array"):
        made = group.create_array(key, data=np.ascontiguousarray(data))
        made.attrs.update(kept)
    else:
        made = group.create_dataset(key, data=data)
        for name, value in kept.items():
            made.attrs[name] = value


def _is_sparse(group: Any) -> bool:
    shape = np.asarray(group.attrs.get("shape", ()))
    whole = shape.shape == (2,) and shape.dtype.kind in "iu"
    return whole and _are_lists(group, "indptr", "indices", "data")


def _are_lists(group: Any, *keys: str) -> bool:
    """Return whether a group has arrays of one dimension under these keys."""
    return all(len(getattr(group.get(key), "shape", ())) == 1 for key in keys)


def _sparse(room: Room, group: Any) -> None:
    part = room.pick(("indices", "indices", "indptr", "indptr", "data", "shape"))
    room.note(f"{group.name} {part}")
    if part == "shape":
        shape = [int(n) for n in group.attrs["shape"]]
        length = room.pick((*_LENGTHS, shape[0] + 1, shape[0] - 1))
        made = room.pick(
            ([length, shape[1]], [shape[0], length], [length] * 2, shape[::-1], shape[:1],
             [*shape, 1],
             [float(n) for n in shape], [])
        )  # fmt: skip
        room.note(f"{made}")
        group.attrs["shape"] = np.array(made) if hasattr(group, "file") else made
        return
    old = np.asarray(group[part][...])
    made = _list(room, old) if room.chance(0.7) else _typed(room, old)
    put(group, part, made)


def _list(room: Room, old: np.ndarray) -> np.ndarray:
    """Return a list of numbers with some of them wrong, or of another length."""
    if old.ndim == 0 or old.dtype.kind not in "fiub":  # changed before
        return np.arange(3)
    what = room.pick(("value", "value", "value", "longer", "shorter", "empty", "reversed",
                      "doubled",
                      "shuffled", "2-D", "scalar"))  # fmt: skip
    room.note(what)
    made = np.array(old, order="C")
    if what == "value" and made.size:
        kind = made.dtype.kind
        odd = (np.nan, np.inf, -1.0, 1e308, -np.inf) if kind == "f" else (
            -1, -2, int(made.max()) + 1, int(made.max()) + 1000, 2**31 - 1, -(2**31), 10**6, 0
        )  # fmt: skip
        wrong = room.pick(odd)
        at = room.pick((0, -1, int(room.rng.integers(made.size)), slice(None)))
        room.note(f"{wrong} at {at}")
        with np.errstate(all="ignore"):
            made.reshape(-1)[at] = np.asarray(wrong).astype(made.dtype)
    elif what == "longer":
        made = np.concatenate([made, made[: int(room.rng.integers(1, 9))]])
    elif what == "shorter":
        made = made[: -int(room.rng.integers(1, 9))]
    elif what == "empty":
        made = made[:0]
    elif what == "reversed":
        made = made[::-1].copy()
    elif what == "doubled":
        made = np.concatenate([made, made])
    elif what == "shuffled":
        made = room.rng.permutation(made)
    elif what == "2-D":
        made = made[None]
    elif what == "scalar":
        made = np.asarray(made[0] if made.size else 0)
    return made


def _typed(room: Room, old: np.ndarray) -> np.ndarray:
    """Return an array in another type of number, or of another kind."""
    to = room.pick(("int8", "uint8", "int16", "int64", "uint64", "float16", "float64", "bool",
                    "complex64", "S5"))  # fmt: skip
    room.note(to)
    if old.dtype.kind not in "fiub":
        return np.zeros(old.shape, "int8")
    with np.errstate(all="ignore"):
        return old.astype("int64").astype(to) if to[0] in "dS" else old.astype(to)


def _categorical(room: Room, group: Any) -> None:
    what = room.pick(("code", "code", "codes", "categories", "fewer", "none", "lost"))
    room.note(f"{group.name} {what}")
    codes = np.asarray(group["codes"][...])
    if what == "code" and codes.size and codes.dtype.kind in "iu":
        codes = codes.copy()
        wrong = room.pick((127, -2, -128, int(codes.max()) + 1))
        with np.errstate(all="ignore"):
            codes[room.pick((0, -1, slice(None)))] = np.asarray(wrong).astype(codes.dtype)
        put(group, "codes", codes)
    elif what in ("code", "codes"):
        put(group, "codes", _list(room, codes) if room.chance(0.5) else _typed(room, codes))
    elif what == "lost":
        del group[room.pick(("codes", "categories"))]
    else:
        n = group["categories"].shape[0]
        made = {
            "categories": np.zeros(n),  # all alike, and no text
            "fewer": np.arange(max(n - 1, 0)),
            "none": np.arange(0),
        }[what]
        put(group, "categories", made)
        group["categories"].attrs["encoding-type"] = "array"
        group["categories"].attrs["encoding-version"] = "0.2.0"


def _attributes(room: Room, item: Any) -> None:
    keys = sorted(item.attrs.keys())
    if not keys:
        return
    key = room.pick(keys)
    if room.chance(0.25):
        room.note(f"{item.name} loses {key}")
        del item.attrs[key]
        return
    made: Any
    if key == "encoding-type" and room.chance(0.8):
        made = room.pick(_ENCODINGS)
    elif key in ("column-order", "shape"):
        made = room.pick((["absent"], [], ["region", "region"], "text", 5, [0, 0], [-1, 5]))
    elif key == "_index":
        made = room.pick(("absent", "", "region", 3))
    else:
        made = room.pick(("text", "9.9.9", "", 5, 1.5, True, [1, 2], ["a"], values.name(room.rng)))
    room.note(f"{item.name} {key} = {made!r}")
    item.attrs[key] = made


def _array(room: Room, root: Any, array: Any) -> None:
    """Replace an array by one of other values, another shape or another type."""
    path = array.name.strip("/")
    above, _, key = path.rpartition("/")
    group = root[above] if above else root
    old = np.asarray(array[...]) if array.shape != () else np.asarray(array[()])
    room.note(path)
    if old.ndim == 0 or not old.size:
        put(group, key, np.arange(3))
    elif old.dtype.kind in "fiub":
        put(group, key, _list(room, old) if room.chance(0.6) else _typed(room, old))
    else:
        what = room.pick(("numbers", "shorter", "longer", "alike"))
        room.note(what)
        texts = np.array([str(text).encode() for text in old.reshape(-1)], "S40")
        n = len(texts)
        put(
            group,
            key,
            {
                "numbers": np.arange(n),
                "shorter": texts[:-1],
                "longer": np.concatenate([texts, texts[:1]]),
                "alike": np.full(n, texts[0]),
            }[what],
        )


def _key(room: Room, group: Any) -> None:
    keys = sorted(group.keys())
    if not keys:
        return
    key = room.pick(keys)
    what = room.pick(("lose", "move", "group", "number"))
    room.note(f"{what} {group.name}/{key}")
    if what == "move" and hasattr(group, "move") and not hasattr(group, "create_array"):
        group.move(key, "moved")
        return
    del group[key]
    if what == "group":
        group.create_group(key)
    elif what == "number":
        put(group, key, np.arange(3))
