"""Regions and tables that hung or failed with a raw exception."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.fuzz.case import Room, Work
from benchmarks.fuzz.corpus.named import Named
from benchmarks.fuzz.kinds import csv, geojson


def _table(text: str | bytes) -> Callable[[Room], Work]:
    def prepare(room: Room) -> Work:
        path = room.inputs / "edits.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return lambda: csv.work(room, path)

    return prepare


def _region(document: Any) -> Callable[[Room], Work]:
    def prepare(room: Room) -> Work:
        path = room.inputs / "region.geojson"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return lambda: geojson.work(room, path)

    return prepare


def _polygon(ring: Any) -> dict[str, Any]:
    corners = np.asarray(ring, float).tolist()
    return {"type": "Polygon", "coordinates": [[*corners, corners[0]]]}


def _square(side: float, at: float = 0.0) -> Any:
    return np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * side + at


def _crossing(n: int) -> Any:
    return _polygon(np.random.default_rng(0).uniform(0, 400, (n, 2)))


def _deep(n: int) -> str:
    return '{"type": "GeometryCollection", "geometries": [' * n + "]}" * n


CASES = [
    Named("log2fc of 1024", _table("gene,log2fc\ngene_1,1024\n"), "refused"),
    Named("log2fc of 1e308", _table("gene,log2fc\ngene_1,1e308\n"), "refused"),
    Named("columns alike in lower case", _table("gene,log2fc,log2FC\ngene_1,1,2\n"), "refused"),
    Named("two columns of genes", _table("gene,Gene,op,value\na,b,set,1\n"), "refused"),
    Named("two columns of values", _table("gene,op,value,VALUE\ngene_1,set,1,2\n"), "refused"),
    Named("an open quote", _table('gene,op,value\n"gene_1,set,1\n' + "x,set,1\n" * 50), "refused"),
    Named("semicolons", _table("gene;op;value\ngene_1;set;1\n"), "refused"),
    Named("a table that is empty", _table(""), "refused"),
    Named("a table in UTF-16", _table("gene,op,value\ngene_1,set,1\n".encode("utf-16")), "refused"),
    Named("a gene like a formula", _table("gene,op,value\n=1+1,set,1\n"), "accepted"),
    Named("a small region", _region(_polygon(_square(100.0, 100.0))), "accepted"),
    Named("3,000 crossing corners", _region(_crossing(3000)), "refused"),
    Named("JSON 100,000 deep", _region("[" * 100_000), "refused"),
    Named("collections 5,000 deep", _region(_deep(5000)), "refused"),
    Named("a corner that is no number", _region(_polygon(_square(np.nan))), "refused"),
    Named("sides of 1e200 um", _region(_polygon(_square(1e200))), "refused"),
    Named(
        "an empty collection",
        _region(_deep(1)),
        "refused",
    ),
    Named("a number of 5,000 digits", _region('{"type": ' + "1" * 5000 + "}"), "refused"),
]
