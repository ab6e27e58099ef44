"""Models, training states and scenarios that gave numbers, or failed with a raw exception."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from benchmarks.fuzz.case import Room, Work
from benchmarks.fuzz.corpus.named import Named
from benchmarks.fuzz.kinds import model, scenario, state

Change = Callable[[Path], None]


def _folder(
    name: str, change: Change, work: Callable[[Room, Path], None]
) -> Callable[[Room], Work]:
    def prepare(room: Room) -> Work:
        folder = room.inputs / name
        shutil.copytree(room.base.folder / name, folder)
        if name == "state":
            room.own.append(folder)
        change(folder)
        return lambda: work(room, folder)

    return prepare


def _json(file: str, *place: Any, value: Any) -> Change:
    def change(folder: Path) -> None:
        about = json.loads((folder / file).read_text())
        inside = about
        for key in place[:-1]:
            inside = inside[key]
        inside[place[-1]] = value
        (folder / file).write_text(json.dumps(about))

    return change


def _tensor(file: str, part: str, change_array: Callable[[Any], Any]) -> Change:
    def change(folder: Path) -> None:
        arrays = load_file(folder / file)
        name = next(k for k in sorted(arrays) if part in k)
        made = change_array(arrays[name].copy())
        arrays = {k: v for k, v in arrays.items() if k != name}
        if made is not None:
            arrays[name] = np.ascontiguousarray(made)
        (folder / file).write_bytes(save(arrays))

    return change


def _nan(array: Any) -> Any:
    array.reshape(-1)[0] = np.nan
    return array


def _signed(change: Change) -> Change:
    """Return the change, followed by an update of the state's hash of its tensors."""

    def signed(folder: Path) -> None:
        change(folder)
        state.sign(folder)

    return signed


def _lost(file: str) -> Change:
    return lambda folder: (folder / file).unlink()


def _pipe(file: str) -> Change:
    def change(folder: Path) -> None:
        (folder / file).unlink()
        os.mkfifo(folder / file)

    return change


def _bytes(file: str, content: bytes) -> Change:
    def change(folder: Path) -> None:
        (folder / file).write_bytes(content)

    return change


def _models() -> list[Named]:
    config, weights, vocabulary = "config.json", "weights.safetensors", "vocabulary.safetensors"
    changes: dict[str, Change] = {
        **{
            f"target_sum {value}": _json(config, "target_sum", value=value)
            for value in (0, -1, float("nan"), float("inf"), "250", None)
        },
        "20,000 layers": _json(config, "config", "n_layers", value=20_000),
        "a width of 2**40": _json(config, "config", "d_model", value=2**40),
        "a vocabulary larger than it says": _json(config, "config", "n_meta_cells", value=7),
        "a window of 0 um": _json(config, "config", "window_um", value=0),
        "a window of NaN um": _json(config, "config", "window_um", value=float("nan")),
        "a gene twice": _json(config, "genes", 1, value="gene_1"),
        "a gene that is a number": _json(config, "genes", 1, value=5),
        "too few genes": _json(config, "genes", value=["gene_1", "gene_2"]),
        "genes that are text": _json(config, "genes", value="gene_1"),
        "a format that is text": _json(config, "format", value="1"),
        "a name that is a list": _json(config, "name", value=["a"]),
        "a card that is text": _json(config, "card", value="text"),
        "labels of another number": _json(config, "head", "classes", value=["a"]),
        "label settings of another kind": _json(config, "head", "settings", value=5),
        "NaN in the weights": _tensor(weights, "", _nan),
        "weights lost": _tensor(weights, "", lambda a: None),
        "weights of another shape": _tensor(weights, "", lambda a: a.reshape(-1)[:3]),
        "NaN in the vocabulary": _tensor(vocabulary, "c_expr", _nan),
        "a negative vocabulary": _tensor(vocabulary, "c_expr", lambda a: a - 100),
        "a short vocabulary": _tensor(vocabulary, "c_expr", lambda a: a[:-1]),
        "frequencies of 0": _tensor(vocabulary, "frequency", lambda a: a * 0),
        "negative variances": _tensor(vocabulary, "v_expr", lambda a: a * 0 - 1),
        "levels beyond": _tensor(vocabulary, "levels", lambda a: a + 100),
        "NaN in the labels' layer": _tensor("head.safetensors", "weight", _nan),
        "NaN in the response": _tensor("response.safetensors", "gram", _nan),
        "a response of width 0": _tensor("response.safetensors", "width_um", lambda a: a * 0),
        "no configuration": _lost(config),
        "no weights": _lost(weights),
        "deep JSON": _bytes(config, b"[" * 100_000),
        "JSON that is no object": _bytes(config, b"5"),
        "a header of 2**63 bytes": _bytes(weights, b"\xff" * 7 + b"\x7f" + b"{}"),
    }
    return [
        Named(f"model: {name}", _folder("model", change, model.work), "refused")
        for name, change in changes.items()
    ]


def _states() -> list[Named]:
    about, tensors = "state.json", "state.safetensors"
    changes: dict[str, Change] = {
        "a step that is text": _json(about, "step", value="four"),
        "a negative step": _json(about, "step", value=-1),
        "a step beyond the last": _json(about, "step", value=10**9),
        "no curve": _json(about, "curve", value=[]),
        "a curve that is text": _json(about, "curve", value="text"),
        "losses that are text": _json(about, "losses", value=["a"]),
        "time that is text": _json(about, "spent", value="a while"),
        "other settings": _json(about, "settings", "seed", value=9),
        "JSON that is no object": _bytes(about, b"[]"),
        "deep JSON": _bytes(about, b"[" * 100_000),
        "tensors lost": _lost(tensors),
    }
    damaged: dict[str, Change] = {
        "a tensor lost": _tensor(tensors, "best.", lambda a: None),
        "a tensor of another shape": _tensor(tensors, "now.", lambda a: a.reshape(-1)[:3]),
        "NaN in the weights": _tensor(tensors, "now.", _nan),
        "NaN in the optimiser": _tensor(tensors, "optimizer.", _nan),
        "an optimiser of another shape": _tensor(
            tensors, "optimizer.", lambda a: a.reshape(-1)[:1]
        ),
    }
    changes |= {name: _signed(change) for name, change in damaged.items()}
    changes |= {f"{name}, unsigned": change for name, change in damaged.items()}
    return [
        Named(f"state: {name}", _folder("state", change, state.work), "refused")
        for name, change in changes.items()
    ]


def _scenarios() -> list[Named]:
    about = "scenario.json"
    changes: dict[str, tuple[Change, str]] = {
        "a name of 300 characters": (_json(about, "name", value="n" * 300), "accepted"),
        "a name of HTML": (_json(about, "name", value="<script>"), "accepted"),
        "a strength that is no number": (_json(about, "strength", value=float("nan")), "refused"),
        "a seed of 2**64": (_json(about, "seed", value=2**64), "refused"),
        "a format that is text": (_json(about, "format", value="1"), "refused"),
        "JSON that is a list": (_bytes(about, b"[1]"), "refused"),
        "deep JSON": (_bytes(about, b"[" * 100_000), "refused"),
        "no region": (_lost("roi.geojson"), "refused"),
        "a pipe for edits": (_pipe("edits.csv"), "refused"),
        "a pipe for a region": (_pipe("roi.geojson"), "refused"),
        "bands that are no numbers": (_json(about, "bands_um", value=[0, "x"]), "refused"),
        "bands without an end": (_json(about, "bands_um", value=[0, float("inf")]), "refused"),
    }
    return [
        Named(f"scenario: {name}", _folder("scenario", change, scenario.work), expected)
        for name, (change, expected) in changes.items()
    ]


CASES = [*_models(), *_states(), *_scenarios()]
