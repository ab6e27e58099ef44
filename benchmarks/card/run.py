"""``card-run``: measure what is missing or stale, most wanted first, until the budget is spent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

import napari_gest
from benchmarks.card.digest import MEASURING, ROOT, file_digest, module_path
from benchmarks.card.rows import DATA, TEST, Row, queue
from benchmarks.card.store import Result, Store
from benchmarks.common.data_folder import data_dir

Measure = Callable[[Row, int], dict[str, Any]]
_SHOWN = 300  # letters of an error that are stored


def due(
    store: Store, units: Sequence[tuple[Row, int]], tests_again: bool = False
) -> Iterator[tuple[Row, int, str]]:
    """Yield rows and seeds that are missing, then those that are stale, and why.

    An error counts as a result: it is tried again when something that it depends on has changed.
    A test section that has scores is scored again only with ``tests_again``.
    """
    stale = []
    for row, seed in units:
        result = store.read(row, seed)
        if result is None:
            yield row, seed, "missing"
        elif DATA[row.data].part == TEST and result.scores and not tests_again:
            continue
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
    tests_again: bool = False,
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
        Measures one of them; by default a `Worker`.
    tests_again
        Score test sections again whose results are stale: each is scored once for a finished form.
    clock
        Seconds.
    """
    worker = Worker()
    try:
        wanted = due(store, queue() if units is None else units, tests_again)
        ends = clock() + 60 * budget_min
        return _run(store, wanted, say, measure or worker, worker, ends, clock)
    finally:
        worker.close()


def _run(
    store: Store,
    wanted: Iterable[tuple[Row, int, str]],
    say: Callable[[str], None],
    measure: Measure,
    worker: Worker,
    ends: float,
    clock: Callable[[], float],
) -> int:
    done = 0
    for row, seed, reason in wanted:
        if not (data_dir() / DATA[row.data].file).is_file():
            say(f"skipped {row.id}: {DATA[row.data].file} absent; point GEST_DATA at its folder")
            continue
        if clock() + 60 * row.minutes > ends:
            continue  # a shorter one may still fit
        say(f"{row.id}, seed {seed}: {reason}")
        result = measured(store, row, seed, measure, lambda: worker.seconds)
        store.write(row, result)
        say(f"  {result.error or 'done'}, {result.seconds:.0f} s of processor")
        done += 1
    return done


def measured(
    store: Store, row: Row, seed: int, measure: Measure, processor_s: Callable[[], float]
) -> Result:
    """Return the result of one row and seed; what went wrong is one too."""
    started = processor_s()
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
        round(max(0.0, processor_s() - started), 1),
        error=error,
        **found,
    )


class Worker:
    """A process that measures rows one after another; it is started when it is needed.

    A process that ends is that row's error, and the next row has a new one.

    Parameters
    ----------
    root
        The checkout whose code is run.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self._process: subprocess.Popen[str] | None = None
        self._began = 0.0

    def __call__(self, row: Row, seed: int) -> dict[str, Any]:
        """Measure.

        Raises
        ------
        RuntimeError
            If the process ended before it answered, or its code has changed since it began.
        """
        if self._process is None:
            self._began = time.time()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.card.measure"],
                cwd=self.root,
                env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(self.root)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            print(row.id, seed, file=process.stdin, flush=True)
            line = process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            self.close()
            raise RuntimeError(f"its process ended with code {process.returncode}")
        found: dict[str, Any] = json.loads(line)
        files = [path for m in found["modules"] if (path := module_path(m, self.root))]
        if any(path.stat().st_mtime > self._began for path in files):
            self.close()
            raise RuntimeError("its code changed while it ran")
        return found

    @property
    def seconds(self) -> float:
        """Processor seconds that the process has used so far; 0 where there is none."""
        if self._process is None:
            return 0.0
        try:
            used = psutil.Process(self._process.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(used.user + used.system)

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None and process.stdout is not None:
            process.stdin.close()
            process.wait()
            process.stdout.close()
