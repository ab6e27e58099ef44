"""The list of runs as a table: what was run, on what, with which settings, and how it came out."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from napari_gest.app.runs.base import UNDECIDED, RunEntry, why_stale
from napari_gest.app.state import State
from napari_gest.files import table_kind, write_table

COLUMNS = ("Name", "Kind", "State", "Section", "Model", "Settings", "Seed", "Time", "Agreement")
RUNS = table_kind("a csv of runs", ("name", "kind", "state"))


def run_rows(state: State) -> list[tuple[str, tuple[str, ...]]]:
    """Return the id and the texts of ``COLUMNS`` of each run, the newest first."""
    entries = list(state.listed())
    return [(entry.id, _texts(entry, state)) for entry in reversed(entries)]


def write_run_table(state: State, path: Path, *, overwrite: bool = False) -> None:
    """Write the runs as csv, the oldest first.

    Raises
    ------
    InputError
        If the file exists and ``overwrite`` is false, or is no csv of runs.
    """
    names = [name.lower() for name in COLUMNS]
    rows = [texts for _, texts in reversed(run_rows(state))]
    table = pd.DataFrame(rows, columns=names)
    table["finished"] = [entry.finished for entry in state.listed()]
    write_table(table, path, RUNS, overwrite=overwrite)


def run_state(entry: RunEntry, state: State) -> str:
    """Return in a word what became of a run."""
    if entry.kind == "training":
        return "a model"
    word = "kept" if entry.id in state.kept else "undecided"
    if entry.kind in UNDECIDED and entry.id not in state.kept:
        word = "not kept"
    if entry.partial:
        word += ", cut off"
    return f"{word}, stale" if why_stale(entry, state) is not None else word


def _texts(entry: RunEntry, state: State) -> tuple[str, ...]:
    run = entry.run
    return (
        entry.name,
        entry.kind,
        run_state(entry, state),
        ", ".join(snapshot.label for snapshot in run.snapshots),
        "" if run.model is None else run.model.name,
        run.settings,
        str(run.seed),
        _duration(entry.seconds),
        entry.outcome.agreement_text,
    )


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
