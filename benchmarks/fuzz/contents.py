"""Mutations of the content of an AnnData, in files that are otherwise valid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from benchmarks.fuzz import values
from benchmarks.fuzz.case import Room
from napari_gest.tissue.reading import layer_names

_ODD = (np.nan, np.inf, -np.inf, -1.0, 1e200, 1e308, -1e308, 1e-320, 3e38, 0.0, 1e16)


def change(room: Room, adata: AnnData) -> AnnData:
    """Return the AnnData after one to three changes of its content."""
    for _ in range(int(room.rng.integers(1, 4))):
        mutate = room.pick(CHANGES)
        room.note(mutate.__name__.strip("_"))
        adata = mutate(room, adata)
    return adata


def _some(room: Room, n: int) -> np.ndarray:
    """Return indexes of one, some or all of n items."""
    return room.rng.permutation(n)[: room.pick((1, 3, max(1, n // 2), n))]


def _numbers(room: Room, array: np.ndarray) -> np.ndarray:
    """Return an array with some numbers replaced by odd ones, in double precision."""
    array = np.array(array, float)
    if array.size:
        odd = room.pick(_ODD)
        room.note(f"{odd}")
        array.reshape(-1)[_some(room, array.size)] = odd
    return array


def positions(room: Room, adata: AnnData) -> AnnData:
    coords = adata.obsm.get("spatial")
    if not isinstance(coords, np.ndarray) or coords.ndim != 2:
        return adata  # changed before
    if coords.shape[1] < 2 or not len(coords):
        return adata  # changed before
    if coords.dtype.kind not in "fiu":
        return adata
    coords = coords.astype(float)
    n = len(coords)
    what = room.pick(
        ("numbers", "same", "line", "one far", "scaled", "shifted", "flat", "wide", "text", "frame",
         "sparse", "integers", "objects", "lost", "grid", "halves", "pairs")
    )  # fmt: skip
    room.note(what)
    made: Any = coords.copy()
    if what == "numbers":
        made = _numbers(room, coords)
    elif what == "same":
        made[:] = made[0]
    elif what == "line":
        made[:, 1] = room.pick((0.0, 1e6))
    elif what == "one far":
        made[0] = room.pick((1e5, 1e9, 1e18, 1e100, 1e154, 1e200, 1e300))
    elif what == "scaled":
        made *= room.pick((1e-300, 1e-12, 1e-3, 1e3, 1e9, 1e100, 1e300))
    elif what == "shifted":
        made += room.pick((1e6, 1e12, 1e17, -1e300))
    elif what == "flat":
        made = made[:, :1]
    elif what == "wide":
        made = np.column_stack([made, *[np.full(n, room.pick(_ODD))] * room.pick((1, 5))])
    elif what == "text":
        made = pd.DataFrame(coords.astype(str), index=adata.obs_names, columns=["x", "y"])
    elif what == "frame":
        made = pd.DataFrame(coords, index=adata.obs_names, columns=["x", "y"])
    elif what == "sparse":
        made = sparse.csr_matrix(coords)
    elif what == "integers":
        made = coords.astype(room.pick(("int64", "uint8", "float16", "int8", "bool", "complex64")))
    elif what == "objects":
        made = coords.astype(str).astype(object)
    elif what == "grid":
        made = np.round(coords / 30) * 30
    elif what == "halves":
        made[: n // 2] += 1e7
    elif what == "pairs":
        made[1::2] = made[: n - n % 2 : 2][: len(made[1::2])]
    del adata.obsm["spatial"]
    if what != "lost":
        adata.obsm["spatial"] = made
    return adata


def expression(room: Room, adata: AnnData) -> AnnData:
    key = None if room.chance(0.7) or not layer_names(adata) else room.pick(layer_names(adata))
    values_ = adata.X if key is None else adata.layers[key]
    if values_ is None:
        return adata
    dense = values_.toarray() if sparse.issparse(values_) else np.asarray(values_)
    if dense.dtype.kind not in "biuf":
        return adata  # changed before
    what = room.pick(
        ("numbers", "numbers", "zeros", "logged", "scaled", "type", "stored zeros", "one gene",
         "one cell", "dense", "csc", "centred", "nothing")
    )  # fmt: skip
    room.note(f"{what} of {key or 'X'}")
    made: Any = dense.astype(float)
    if what == "numbers":
        made = _numbers(room, dense)
    elif what == "zeros":
        made[_some(room, len(made))] = 0
    elif what == "logged":
        made = np.log1p(made)
    elif what == "scaled":
        made *= room.pick((1e-45, 1e-30, 1e-3, 1e6, 1e30, 1e36, 1e300))
    elif what == "type":
        to = room.pick(
            ("int8", "uint16", "int64", "uint64", "float16", "bool", "complex64", "object")
        )
        room.note(to)
        made = made.astype(to)
    elif what == "one gene":
        made[:, 1:] = 0
    elif what == "one cell":
        made[1:] = 0
    elif what == "centred":
        made -= made.mean(0)
    if what == "nothing" and key is None:
        adata.X = None
        return adata
    if what == "stored zeros":
        made = sparse.csr_matrix(made.astype(float))
        made.data[_some(room, made.nnz)] = 0
    elif what == "csc":
        made = sparse.csc_matrix(made)
    elif what != "dense" and room.chance(0.6) and made.dtype.char not in "OUe":
        made = sparse.csr_matrix(made)
    if key is None:
        adata.X = made
    else:
        adata.layers[key] = made
    return adata


def names(room: Room, adata: AnnData) -> AnnData:
    index = adata.obs_names if room.chance(0.5) else adata.var_names
    listed = list(map(str, index))
    if not listed:
        return adata
    chosen = _some(room, len(listed))
    for i in chosen[:5]:
        listed[i] = values.name(room.rng) if room.chance(0.7) else listed[0]
    if room.chance(0.1):
        listed = [str(i) for i in range(len(listed))]
    room.note(f"{listed[int(chosen[0])][:30]!r}")
    if index is adata.obs_names:
        adata.obs_names = listed
    else:
        adata.var_names = listed
    return adata


def sections(room: Room, adata: AnnData) -> AnnData:
    n = adata.n_obs
    if not n:
        return adata
    what = room.pick(
        ("names", "gaps", "all gaps", "numbers", "many", "bools", "lone", "text", "empty category",
         "alike", "dates", "same")
    )  # fmt: skip
    room.note(what)
    column = pd.Series(np.where(np.arange(n) < n // 2, "a", "b"), index=adata.obs_names)
    made: Any = column
    if what == "names":
        made = column.replace({"a": values.name(room.rng), "b": values.name(room.rng)})
    elif what == "gaps":
        made = column.mask(room.rng.random(n) < 0.3)
    elif what == "all gaps":
        made = pd.Series(np.nan, index=adata.obs_names)
    elif what == "numbers":
        made = pd.Series(room.rng.choice([1.0, 2.5, np.nan, np.inf], n), index=adata.obs_names)
    elif what == "many":
        made = pd.Series([f"s{i}" for i in range(n)], index=adata.obs_names)
    elif what == "bools":
        made = column == "a"
    elif what == "lone":
        made.iloc[0] = "alone"
    elif what == "empty category":
        made = pd.Series(pd.Categorical(column, ["", "a", "b", "unused"]), index=adata.obs_names)
    elif what == "alike":
        made = pd.Series(np.where(np.arange(n) % 2, "1", "1.0"), index=adata.obs_names)
    elif what == "dates":
        made = pd.Series(pd.Categorical(column.map({"a": 1, "b": 2})), index=adata.obs_names)
    elif what == "same":
        made = pd.Series("one", index=adata.obs_names)
    adata.obs["section"] = made
    return adata


def size(room: Room, adata: AnnData) -> AnnData:
    n = room.pick((0, 1, 2, 3, 5, 8, 20, 33))
    if room.chance(0.7):
        room.note(f"{n} cells")
        return adata[:n].copy()
    room.note(f"{n} genes")
    return adata[:, :n].copy()


_COLUMNS = ("gest_generated", "gest_new_cell", "gest_entropy", "gest_meta_cell", "gest_niche",
            "gest_niche_confidence", "gest_generated_niche", "gest_label", "gest_label_confidence",
            "gest_distance_um")  # fmt: skip
_UNS = ("gest", "gest_niche_embedding", "gest_niche_colors", "gest_generated_niche_colors",
        "gest_perturbation", "log1p", "spatial", "section_colors", "region_colors")  # fmt: skip


def _column(room: Room, n: int) -> Any:
    """Return a column of n values of an odd kind."""
    return room.pick(
        (
            np.array(["text"] * n, object),
            np.full(n, np.nan),
            np.full(n, np.inf),
            np.full(n, 2**62),
            np.full(n, -5),
            room.rng.normal(size=n),
            np.arange(n) % 2 == 0,
            pd.Categorical(["yes"] * n),
            pd.Categorical([None] * n, ["never"]),
            pd.array([None if i % 3 else i for i in range(n)], dtype="Int64"),
            pd.array([None if i % 3 else True for i in range(n)], dtype="boolean"),
            np.array([values.name(room.rng)] * n, object),
            np.array([f"{i}" for i in range(n)], object),
            pd.Categorical(np.arange(n)),
        )
    )


def gest_columns(room: Room, adata: AnnData) -> AnnData:
    key = room.pick(_COLUMNS)
    room.note(key)
    adata.obs[key] = _column(room, adata.n_obs)
    return adata


def other_columns(room: Room, adata: AnnData) -> AnnData:
    key = values.name(room.rng).replace("/", "_") if room.chance(0.5) else "mask"
    room.note(key[:30])
    adata.obs[key] = _column(room, adata.n_obs)
    return adata


def gest_layers(room: Room, adata: AnnData) -> AnnData:
    key = room.pick(("gest_expression", "gest_sd", "gest_control", "gest_perturbed"))
    shape = adata.shape
    made = room.pick(
        (
            np.full(shape, np.nan),
            np.full(shape, np.inf, np.float32),
            np.zeros(shape, np.int64),
            np.full(shape, -1.0),
            np.full(shape, 1e308),
            np.zeros(shape, bool),
            np.zeros(shape, np.complex64),
            sparse.csc_matrix(shape, dtype=np.float64),
            sparse.csr_matrix(shape, dtype=np.int8),
            np.full(shape, "text", object),
        )
    )
    room.note(f"{key} {made.dtype}")
    adata.layers[key] = made
    return adata


def uns(room: Room, adata: AnnData) -> AnnData:
    key = room.pick(_UNS)
    old = adata.uns.get(key)
    if isinstance(old, dict) and old and room.chance(0.5):
        inner = room.pick(old)
        room.note(f"{key}/{inner}")
        adata.uns[key] = dict(old) | {inner: _storable(room)}
        return adata
    room.note(key)
    adata.uns[key] = _storable(room)
    return adata


def _storable(room: Room) -> Any:
    deep: Any = {"end": 1}
    for _ in range(30):
        deep = {"in": deep}
    return room.pick(
        (
            "text", 5, np.nan, True, {}, {"a": {"b": np.arange(3)}}, np.arange(4),
            np.array(["#ff0000"]),
            np.array(["not a colour", ""]), np.zeros((2, 3)), pd.DataFrame({"a": [1, 2]}), deep,
            {"settings": "text"}, {"settings": {"model": "tiny"}, "sections": "section_1"},
            np.array(["a", "b"]), sparse.csr_matrix((3, 3)), "<b>html</b>", np.float64("inf"),
        )
    )  # fmt: skip


def embedding(room: Room, adata: AnnData) -> AnnData:
    n = adata.n_obs
    adata.obsm["X_gest_niche"] = room.pick(
        (
            np.full((n, 4), np.nan, np.float32),
            np.zeros((n, 0)),
            np.zeros((n, 3), np.int8),
            np.full((n, 4), np.inf),
            pd.DataFrame({"a": np.zeros(n)}, index=adata.obs_names),
            sparse.csr_matrix((n, 4)),
            np.full((n, 4), "x", object),
        )
    )
    return adata


CHANGES: tuple[Callable[[Room, AnnData], AnnData], ...] = (
    positions, positions, positions, expression, expression, expression, names, names, sections,
    sections, size, gest_columns, gest_columns, other_columns, gest_layers, uns, uns, embedding,
)  # fmt: skip
