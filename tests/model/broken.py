"""Model folders broken in every way that was thought of: how to break one, and what is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from napari_gest.model.about import CONFIG, HEAD, RESPONSE, VOCABULARY, WEIGHTS

Break = Callable[[Path], None]
NAN, INF = float("nan"), float("inf")
HUGE = 10**9


def setting(*place: str, to: Any) -> Break:
    """Set a field of config.json; NaN and infinity as Python writes them."""

    def change(folder: Path) -> None:
        about = json.loads((folder / CONFIG).read_text())
        inside = about
        for name in place[:-1]:
            inside = inside[name]
        inside[place[-1]] = to(inside[place[-1]]) if callable(to) else to
        (folder / CONFIG).write_text(json.dumps(about))

    return change


def without(*place: str) -> Break:
    """Leave a field out of config.json."""

    def change(folder: Path) -> None:
        about = json.loads((folder / CONFIG).read_text())
        inside = about
        for name in place[:-1]:
            inside = inside[name]
        del inside[place[-1]]
        (folder / CONFIG).write_text(json.dumps(about))

    return change


def text(content: bytes, file: str = CONFIG) -> Break:
    """Write something else in place of a file."""
    return lambda folder: (folder / file).write_bytes(content) and None


def tensor(file: str, name: str, to: Callable[[np.ndarray], np.ndarray | None]) -> Break:
    """Change one tensor of a file, or leave it out; ``to`` gets a copy."""

    def change(folder: Path) -> None:
        arrays = load_file(folder / file)
        made = to(arrays.pop(name).copy())
        if made is not None:
            arrays[name] = np.ascontiguousarray(made)
        (folder / file).write_bytes(save(arrays))

    return change


def one(value: float) -> Callable[[np.ndarray], np.ndarray]:
    """Make the last number of an array another."""

    def change(array: np.ndarray) -> np.ndarray:
        array.flat[-1] = value
        return array

    return change


def promise(file: str, shape: list[int]) -> Break:
    """Make a header promise a tensor that the file does not hold."""

    def change(folder: Path) -> None:
        size = 4 * int(np.prod(shape, dtype=object))
        entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}
        header = json.dumps({"embed.weight": entry}).encode()
        (folder / file).write_bytes(len(header).to_bytes(8, "little") + header)

    return change


def missing(file: str) -> Break:
    return lambda folder: (folder / file).unlink()


def a_folder(file: str) -> Break:
    def change(folder: Path) -> None:
        (folder / file).unlink()
        (folder / file).mkdir()

    return change


def both(first: Break, second: Break) -> Break:
    def change(folder: Path) -> None:
        first(folder)
        second(folder)

    return change


def _cut(array: np.ndarray) -> np.ndarray:
    return array[:-1]


def _indefinite(array: np.ndarray) -> np.ndarray:
    array[:2, :2] = [[1, 2], [2, 1]]
    return array


CONFIGS: dict[str, tuple[Break, str]] = {
    "not JSON": (text(b"{"), CONFIG),
    "noise": (text(b"\x93noise\xff" * 50), CONFIG),
    "a list": (text(b"[]"), CONFIG),
    "deep": (text(b'{"card":' + b"[" * 100_000), CONFIG),
    "deep card": (text(b'{"card":' + b'{"a":' * 100_000), CONFIG),
    "empty": (text(b""), CONFIG),
    "older than any": (setting("format", to=0), "'format'"),
    "no number": (setting("format", to="1"), "'format'"),
    "format of digits": (text(b'{"format":1' + b"0" * 5000 + b"}"), CONFIG),
    "target 0": (setting("target_sum", to=0), "'target_sum'"),
    "target -1": (setting("target_sum", to=-1.0), "'target_sum'"),
    "target NaN": (setting("target_sum", to=NAN), "'target_sum'"),
    "target inf": (setting("target_sum", to=INF), "'target_sum'"),
    "target text": (setting("target_sum", to="250"), "'target_sum'"),
    "target true": (setting("target_sum", to=True), "'target_sum'"),
    "target of others": (setting("target_sum", to=2.0), "c_expr|mean"),
    "genes twice": (setting("genes", to=lambda g: [g[1], *g[1:]]), "'genes'.*twice"),
    "gene without name": (setting("genes", to=lambda g: ["", *g[1:]]), "'genes"),
    "genes of numbers": (setting("genes", to=lambda g: [1, *g[1:]]), "'genes"),
    "genes in lists": (setting("genes", to=lambda g: [[], *g[1:]]), "'genes"),
    "no genes": (setting("genes", to=[]), "'genes'"),
    "genes as text": (setting("genes", to="Gad1"), "'genes'"),
    "a gene less": (setting("genes", to=lambda g: g[1:]), "'genes'"),
    "a gene more": (setting("genes", to=lambda g: [*g, "more"]), "'genes'"),
    "card a list": (setting("card", to=[]), "'card'"),
    "card null": (setting("card", to=None), "'card'"),
    "name a number": (setting("name", to=3), "'name'"),
    "name null": (setting("name", to=None), "'name'"),
    "no name": (setting("name", to=""), "'name'"),
    "a long name": (setting("name", to="x" * 100_000), "'name'"),
    "name of two lines": (setting("name", to="a\nb"), "'name'"),
    "config a list": (setting("config", to=[]), "'config'"),
    "config null": (setting("config", to=None), "'config'"),
    "unknown setting": (setting("config", to=lambda c: {**c, "x": 1}), "'config.x'"),
    "layers": (setting("config", "n_layers", to=20_000), "'config.n_layers'"),
    "a layer more": (setting("config", "n_layers", to=lambda n: n + 1), "'n_layers'"),
    "layers as text": (setting("config", "n_layers", to="1"), "'config.n_layers'"),
    "layers of a fraction": (setting("config", "n_layers", to=1.5), "'config.n_layers'"),
    "layers without end": (setting("config", "n_layers", to=HUGE**9), "'config.n_layers'"),
    "wide": (setting("config", "d_model", to=4 * HUGE), "'config.d_model'"),
    "twice as wide": (setting("config", "d_model", to=32), "'d_model'"),
    "odd width": (setting("config", "d_model", to=18), "'config'"),
    "heads": (setting("config", "n_heads", to=4), "'n_heads'"),
    "no heads": (setting("config", "n_heads", to=0), "'config.n_heads'"),
    "arrangement": (setting("config", "n_geometry", to=10), "'n_geometry'"),
    "no arrangement": (setting("config", "n_geometry", to=0), "'n_geometry'"),
    "no prior": (setting("config", "local_prior", to=False), "'local_prior'"),
    "no distance": (setting("config", "distance_bias", to=False), "'distance_bias'"),
    "other profiles": (setting("config", "profiles", to="other"), "'config.profiles'"),
    "few meta cells": (setting("config", "n_meta_cells", to=8), "'n_meta_cells'"),
    "few components": (setting("config", "n_pcs", to=3), "'n_pcs'"),
    "few labels": (setting("config", "level_sizes", to=[2, 3, 2]), "'levels'"),
    "two levels": (setting("config", "level_sizes", to=[4, 3]), "'config.level_sizes"),
    "no window": (setting("config", "window_um", to=0.0), "'config.window_um'"),
    "window NaN": (setting("config", "window_um", to=NAN), "'config.window_um'"),
    "window inf": (setting("config", "window_um", to=INF), "'config.window_um'"),
    "window -1": (setting("config", "window_um", to=-1), "'config.window_um'"),
    "window cells": (setting("config", "window_cells", to=HUGE), "'config.window_cells'"),
    "dropout": (setting("config", "dropout", to=1.0), "'config.dropout'"),
    **{
        f"no {name}": (without(name), f"no '{name}'")
        for name in ("format", "name", "config", "target_sum", "genes", "card")
    },
    **{
        f"no config.{name}": (without("config", name), f"no '{name}'")
        for name in ("n_layers", "window_um", "window_cells", "profiles")
    },
}

TENSORS: dict[str, tuple[Break, str]] = {
    **{
        f"{name} {value}": (tensor(VOCABULARY, name, one(value)), f"{VOCABULARY}.*'{name}'")
        for name in ("mean", "components", "c_pca", "c_expr", "v_expr", "frequency")
        for value in (NAN, INF)
    },
    **{
        f"{name} {value:g}": (tensor(VOCABULARY, name, one(value)), f"{VOCABULARY}.*'{name}'")
        for name, value in (
            ("c_expr", -0.1),
            ("c_expr", 30.0),
            ("v_expr", -0.1),
            ("mean", -1.0),
            ("frequency", -0.1),
            ("frequency", 0.9),
            ("levels", -1),
            ("levels", 2),
            ("levels", HUGE),
        )
    },
    **{
        f"{name} {what}": (tensor(VOCABULARY, name, to), f"{VOCABULARY}.*'{name}'")
        for name in ("mean", "components", "c_pca", "c_expr", "v_expr", "frequency", "levels")
        for what, to in (
            ("missing", lambda _: None),
            ("flat", lambda array: array[None]),
            ("bool", lambda array: array.astype(bool)),
        )
    },
    **{
        f"{name} short": (tensor(VOCABULARY, name, _cut), VOCABULARY)
        for name in ("mean", "components", "c_pca", "c_expr", "v_expr", "frequency", "levels")
    },
    "levels of fractions": (
        tensor(VOCABULARY, "levels", lambda a: a.astype(np.float32)),
        f"{VOCABULARY}.*'levels'",
    ),
    "components of nothing": (
        tensor(VOCABULARY, "components", np.zeros_like),
        f"{VOCABULARY}.*'components'",
    ),
    **{
        f"{name} {value}": (tensor(WEIGHTS, name, one(value)), f"{WEIGHTS}.*'{name}'")
        for name in ("embed.weight", "blocks.0.qkv.weight", "norm.bias", "blocks.0.log_width")
        for value in (NAN, -INF)
    },
    **{
        f"{name} {what}": (tensor(WEIGHTS, name, to), WEIGHTS)
        for name in ("embed.weight", "blocks.0.mlp.0.weight", "norm.weight", "blocks.0.log_width")
        for what, to in (
            ("short", _cut),
            ("missing", lambda _: None),
            ("int", lambda array: array.astype(np.int32)),
            ("transposed", lambda array: array.T if array.ndim == 2 else array[None]),
        )
    },
    "promised": (promise(WEIGHTS, [2**20, 2**20]), WEIGHTS),
    "promised without end": (promise(WEIGHTS, [2**62, 2**62]), WEIGHTS),
    "promised vocabulary": (promise(VOCABULARY, [2**40]), VOCABULARY),
    "a long header": (text((2**50).to_bytes(8, "little") + b"{}", WEIGHTS), WEIGHTS),
    "two files of others": (
        lambda folder: (folder / WEIGHTS).write_bytes((folder / VOCABULARY).read_bytes()) and None,
        WEIGHTS,
    ),
    **{
        f"{file} {what}": (to(file), file)
        for file in (VOCABULARY, WEIGHTS, CONFIG)
        for what, to in (("missing", missing), ("a folder", a_folder))
    },
    **{
        f"{file} {what}": (text(content, file), file)
        for file in (VOCABULARY, WEIGHTS)
        for what, content in (("empty", b""), ("noise", b"\x93noise" * 100))
    },
}

# Of a model with a label layer of 3 classes and 4 features, and with a response.
HEADS: dict[str, tuple[Break, str]] = {
    "head a list": (setting("head", to=[]), "'head'"),
    "no classes": (without("head", "classes"), "'head.classes'"),
    "one class": (setting("head", "classes", to=["a"]), "'head.classes'"),
    "class twice": (setting("head", "classes", to=["a", "b", "b"]), "'head.classes'.*twice"),
    "class of a number": (setting("head", "classes", to=["a", "b", 1]), "'head.classes"),
    "class without name": (setting("head", "classes", to=["a", "b", ""]), "'head.classes"),
    "a class more": (setting("head", "classes", to=["a", "b", "c", "d"]), f"{HEAD}.*'weight'"),
    "settings a list": (setting("head", "settings", to=[]), "'head.settings'"),
    "no settings": (without("head", "settings"), "'head.settings'"),
    "head missing": (missing(HEAD), HEAD),
    **{
        f"head {name} {what}": (tensor(HEAD, name, to), f"{HEAD}.*'{name}'")
        for name in ("weight", "bias", "means", "covariance")
        for what, to in (("NaN", one(NAN)), ("int", lambda array: array.astype(np.int32)))
    },
    **{
        f"head {name} short": (tensor(HEAD, name, _cut), HEAD)
        for name in ("weight", "bias", "means", "covariance")
    },
    "covariance of nothing": (tensor(HEAD, "covariance", np.zeros_like), f"{HEAD}.*'covariance'"),
    "covariance not of full rank": (tensor(HEAD, "covariance", np.ones_like), "'covariance'"),
    "covariance indefinite": (tensor(HEAD, "covariance", _indefinite), "'covariance'"),
    "covariance not symmetric": (
        tensor(HEAD, "covariance", lambda a: a + np.triu(np.full_like(a, 0.1), 1)),
        "'covariance'",
    ),
    "response noise": (text(b"noise", RESPONSE), RESPONSE),
    "response a folder": (a_folder(RESPONSE), RESPONSE),
    **{
        f"response {name} {what}": (tensor(RESPONSE, name, to), RESPONSE)
        for name in ("gram", "cross", "square", "freedom", "spread", "width_um")
        for what, to in (
            ("NaN", one(NAN)),
            ("short", _cut),
            ("missing", lambda _: None),
            ("int", lambda array: array.astype(np.int32)),
        )
    },
    **{
        f"response {name} {value}": (tensor(RESPONSE, name, one(value)), f"{RESPONSE}.*'{name}'")
        for name, value in (("spread", 0), ("width_um", 0), ("freedom", -1), ("square", -1))
    },
    "response of other genes": (
        lambda folder: (
            (folder / RESPONSE).write_bytes(
                save(
                    {
                        "gram": np.ones((2, 3, 3), np.float32),
                        "cross": np.ones((2, 3, 3), np.float32),
                        "square": np.ones((2, 3), np.float32),
                        "freedom": np.ones(2, np.float32),
                        "spread": np.ones(3, np.float32),
                        "width_um": np.ones(1, np.float32),
                    }
                )
            )
            and None
        ),
        f"{RESPONSE}.*identities",
    ),
}
