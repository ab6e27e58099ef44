"""All kinds of cases by name."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.fuzz.case import Room, Work
from benchmarks.fuzz.corpus import prepare as corpus
from benchmarks.fuzz.kinds.csv import prepare as csv
from benchmarks.fuzz.kinds.geojson import prepare as geojson
from benchmarks.fuzz.kinds.h5ad import prepare as h5ad
from benchmarks.fuzz.kinds.model import prepare as model
from benchmarks.fuzz.kinds.options import prepare as options
from benchmarks.fuzz.kinds.scenario import prepare as scenario
from benchmarks.fuzz.kinds.session import prepare as session
from benchmarks.fuzz.kinds.state import prepare as state
from benchmarks.fuzz.kinds.zarr import prepare as zarr

KINDS: dict[str, Callable[[Room], Work]] = {
    "h5ad": h5ad,
    "zarr": zarr,
    "geojson": geojson,
    "csv": csv,
    "scenario": scenario,
    "model": model,
    "state": state,
    "session": session,
    "options": options,
    "corpus": corpus,
}
