"""Checks and maps of a moment, for tests of what is done with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import shapely

from napari_gest.app.opened import Snapshot
from napari_gest.app.regions import Shape
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.check import CheckOutcome, CheckRun
from napari_gest.app.runs.check_map import CheckMapOutcome, CheckMapRun
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.app.state import State
from napari_gest.tasks.generation.check_map_report import COLUMNS, CheckMap
from napari_gest.tasks.generation.check_report import Check
from napari_gest.tissue.roi import Roi


def check_of(genes: Sequence[str], good: int = 5, depth_um: float | None = None) -> Check:
    """Return a check in which the first genes are believable, and the last has no claim."""
    n = len(genes)
    values = np.where(np.arange(n) < good, 0.5, 0.1) - 0.001 * np.arange(n)
    table = pd.DataFrame(
        {
            "expected_correlation": values,
            "gain": values - 0.2,
            "p_gain": np.where(np.arange(n) < good, 0.97, 0.5),
            "reliability": 0.8,
            "gain_reliability": 0.8,
            "moran": 0.1,
            "claim": np.arange(n) < n - 1,
        },
        index=pd.Index(list(genes), name="gene"),
    )
    return Check(table, 0.7, 60, depth_um, 90.0, 100.0, 300, 4, 4)


def check_entry(
    state: State, id: str, model: Any, beyond: Roi | None = None, **fields: Any
) -> RunEntry:
    """Return the entry of a check of what is drawn."""
    run = CheckRun(GenerationRun.of(state, model))
    depth = None if beyond is None else 30.0
    check = check_of(state.opened.section.genes, depth_um=depth)
    return RunEntry(id, run.title, run, CheckOutcome(run, check, beyond), **fields)


def map_entry(state: State, id: str, model: Any, **fields: Any) -> RunEntry:
    """Return the entry of a map of two tiles; nothing is said of the second."""
    section = state.opened.section
    run = CheckMapRun(Snapshot(state.active, section), model)
    table = pd.DataFrame(
        {name: [0.1, np.nan] for name in COLUMNS} | {"trained": [False, True]},
        index=pd.RangeIndex(2, name="tile"),
    )
    tile = (section.coords_um[:, 0] > section.coords_um[:, 0].mean()).astype(np.int64)
    outcome = CheckMapOutcome(run, CheckMap(table, tile, 100.0, 60))
    return RunEntry(id, run.title, run, outcome, **fields)


def middle(state: State, half: float) -> Roi:
    """Return a square in the middle of the section in use."""
    x, y = state.opened.section.coords_um.mean(0)
    return Roi(shapely.box(x - half, y - half, x + half, y + half))


def square(state: State, half: float) -> Shape:
    """Return the same square as a shape to generate."""
    corners = shapely.get_coordinates(middle(state, half).geometry)[:-1]
    return Shape(
        role="unseen", section=state.active, kind="polygon", corners=tuple(map(tuple, corners))
    )
