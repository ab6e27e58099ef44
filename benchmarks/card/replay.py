"""``card-run --replay CHECKOUT``: stored results whose code changed, but not what it computes.

A module may refuse other files or need less memory, and every figure that it had a part in becomes
stale. Of each set of modules one row is measured twice, with the code of the results and with the
present one. Where all figures are the same to the last bit, results of this set stay valid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.card.digest import module_digests
from benchmarks.card.rows import DATA, TEST, Row, queue
from benchmarks.card.run import Measure, Worker
from benchmarks.card.store import Result, Store
from benchmarks.common.data_folder import data_dir
from napari_gest.errors import InputError

_FIGURES = ("n_holes", "n_cells", "n_train", "scores", "genes")


def replay(
    store: Store,
    former: Path,
    say: Callable[[str], None],
    *,
    units: Sequence[tuple[Row, int]] | None = None,
    before: Measure | None = None,
    now: Measure | None = None,
) -> int:
    """Compare the code of stored results with the present one; return how many stay valid.

    Parameters
    ----------
    store
        The results.
    former
        A checkout of the code that they were measured with.
    say
        Gets a line for each set of modules.
    units
        Rows and seeds; all by default.
    before, now
        Measure a row with the former code and with the present one; by default a `Worker` each.

    Raises
    ------
    InputError
        If no stale result was measured with the code of the checkout.
    """
    groups = _groups(store, former, queue() if units is None else units)
    if not groups:
        raise InputError(
            f"No stale result was measured with the code in {former}.",
            "Name a checkout of the commit that the results came with.",
        )
    workers = [Worker(former), Worker()]
    valid = 0
    try:
        for code, results in groups.items():
            row, one = min(results, key=_cost)
            say(f"{code}: {row.id}, seed {one.seed}, stands for {len(results)} results")
            old = (before or workers[0])(row, one.seed)
            new = (now or workers[1])(row, one.seed)
            if new.get("error") or _figures(old) != _figures(new):
                say("  other figures: these results stay stale")
                continue
            modules, today = store.remember(new["modules"]), datetime.now(UTC).date().isoformat()
            for owner, result in results:
                store.write(owner, replace(result, code=modules, replayed=today))
            valid += len(results)
            say("  the same figures")
    finally:
        for worker in workers:
            worker.close()
    store.forget_unused()
    return valid


def _groups(
    store: Store, former: Path, units: Sequence[tuple[Row, int]]
) -> dict[str, list[tuple[Row, Result]]]:
    """Return results that are stale by their code alone, by the digest of that code."""
    found: dict[str, list[tuple[Row, Result]]] = {}
    of_former: dict[str, bool] = {}
    for row, seed in units:
        result = store.read(row, seed)
        if result is None or not result.scores or store.is_of_another_task(row, result):
            continue
        code, is_here = result.code, (data_dir() / DATA[row.data].file).is_file()
        if not is_here or not store.stale(row, result):
            continue
        if code not in of_former:
            modules = dict(store.modules(code))
            of_former[code] = bool(modules) and modules == module_digests(modules, former)
        if of_former[code]:
            found.setdefault(code, []).append((row, result))
    return found


def _cost(found: tuple[Row, Result]) -> tuple[bool, float]:
    """Order results: test sections last, quick ones first."""
    row, result = found
    return DATA[row.data].part == TEST, result.seconds


def _figures(measured: dict[str, Any]) -> dict[str, Any]:
    return {name: measured.get(name) for name in _FIGURES}
