"""``card-run``: measure what is missing or stale, most wanted first, until the budget is spent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import napari_gest
from benchmarks.card.digest import MEASURING, ROOT, file_digest, module_path
from benchmarks.card.rows import DATA, Row, queue
from benchmarks.card.store import Result, Store
from benchmarks.common.data_folder import data_dir

Measure = Callable[[Row, int], dict[str, Any]]
_SHOWN = 300  # letters of an error that are stored


def due(store: Store, units: Sequence[tuple[Row, int]]) -> Iterator[tuple[Row, int, str]]:
    """Yield rows and seeds that are missing, then those that are stale, and why.

    An error counts as a result: it is tried again when something that it depends on has changed.
    """
    stale = []
    for row, seed in units:
        result = store.read(row, seed)
        if result is None:
            yield row, seed, "missing"
        elif reason := store.stale(row, result):
            stale.append((row, seed, reason))
    yield from stale


def run_card(
    store: Store,
    budget_min: float,
    say: Callable[[str], None],
    *,
    units: Sequence[tuple[Row, int]] | None = None,
    measure: Measure | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Measure rows until the budget is spent or nothing is due; return how many were.

    Parameters
    ----------
    store
        Where results are, and are written one by one.
    budget_min
        Minutes on the clock. A row begins only where its expected time is left of it; a row that
        takes longer is not broken off.
    say
        Gets a line before and after each row.
    units
        Rows and seeds, most wanted first; all by default.
    measure
        Measures one of them; by default in a process of its own.
    clock
        Seconds.
    """
    ends = clock() + 60 * budget_min
    done = 0
    for row, seed, reason in due(store, queue() if units is None else units):
        if not (data_dir() / DATA[row.data].file).is_file():
            say(f"skipped {row.id}: {DATA[row.data].file} absent; point GEST_DATA at its folder")
            continue
        if clock() + 60 * row.minutes > ends:
            continue  # a shorter one may still fit
        say(f"{row.id}, seed {seed}: {reason}")
        result = measured(store, row, seed, measure or in_process)
        store.write(row, result)
        say(f"  {result.error or 'done'}, {result.seconds:.0f} s of processor")
        done += 1
    return done


def measured(store: Store, row: Row, seed: int, measure: Measure) -> Result:
    """Return the result of one row and seed; what went wrong is one too."""
    started = _processor_s()
    try:
        found = measure(row, seed)
    except (OSError, RuntimeError) as problem:  # the process ended, and said nothing
        found = {"error": str(problem), "modules": list(MEASURING)}
    modules, error = found.pop("modules"), found.pop("error", "")[:_SHOWN]
    return Result(
        row.id,
        seed,
        row.settings,
        file_digest(data_dir() / DATA[row.data].file),
        store.remember(modules),
        napari_gest.__version__,
        datetime.now(UTC).date().isoformat(),
        round(_processor_s() - started, 1),
        error=error,
        **found,
    )


def in_process(row: Row, seed: int) -> dict[str, Any]:
    """Measure in a new interpreter, which imports nothing but what the row needs.

    Raises
    ------
    RuntimeError
        If it ended before it could tell a result; the text is its last line.
    """
    began = time.time()
    made = subprocess.run(
        [sys.executable, "-m", "benchmarks.card.measure", row.id, str(seed)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if made.returncode:
        lines = made.stderr.strip().splitlines() or [f"ended with code {made.returncode}"]
        raise RuntimeError(lines[-1])
    found: dict[str, Any] = json.loads(made.stdout.strip().splitlines()[-1])
    files = [path for m in found["modules"] if (path := module_path(m)) is not None]
    if any(path.stat().st_mtime > began for path in files):
        raise RuntimeError("the code changed while it ran")
    return found


def _processor_s() -> float:
    """Return the processor seconds of the children that have ended."""
    used = os.times()
    return used.children_user + used.children_system
