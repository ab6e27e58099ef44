"""Tables of the rivals' rows, on screen and as markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.common.table import Table
from benchmarks.rivals.registry import ANNOTATION, RIVALS
from benchmarks.rivals.run import Row

SCORES = {
    "niches": (("ami", "AMI"), ("ari", "ARI"), ("nmi", "NMI"), ("homogeneity", "homogeneity")),
    ANNOTATION: (("macro_f1", "macro-F1"), ("balanced_accuracy", "balanced accuracy")),
}
COSTS = (("work_s", "method s"), ("wall_s", "wall s"), ("cpu_s", "CPU s"), ("peak_mb", "peak MiB"))


def tables(rows: Sequence[Row]) -> list[Table]:
    """Return one table per task and data set, and one of methods that could not be run."""
    groups = dict.fromkeys((row.task, row.dataset) for row in rows)
    made = [_scores(rows, task, dataset) for task, dataset in groups]
    failed = [row for row in rows if row.error]
    return [*made, _failures(failed)] if failed else made


def _scores(rows: Sequence[Row], task: str, dataset: str) -> Table:
    """One row per method: means over sections and seeds, with the smallest and largest score."""
    here = [row for row in rows if (row.task, row.dataset) == (task, dataset)]
    sections = list(dict.fromkeys(row.section for row in here))
    first = SCORES[task][0][0]
    lines = []
    for method in dict.fromkeys(row.method for row in here):
        every = [row for row in here if row.method == method or _call_failed(row, method)]
        done = [row for row in every if not row.error]
        if not done and _other_readouts(here, method):
            continue
        by_section = [
            _mean([getattr(row, first) for row in done if row.section == section], "{:.3f}")
            for section in sections
        ]
        lines.append(
            [
                method,
                every[0].version or "-",
                f"{len(done)} of {len(every)}",
                *by_section,
                *(_spread([getattr(row, key) for row in done]) for key, _ in SCORES[task]),
                *(_mean([getattr(row, key) for row in done], "{:.0f}") for key, _ in COSTS),
            ]
        )
    seeds = sorted({row.seed for row in here})
    threads = sorted({row.threads for row in here})
    shown = SCORES[task][0][1]
    return Table(
        f"{task}: {dataset}",
        [
            "method",
            "version",
            "runs",
            *(f"{shown} {section}" for section in sections),
            *(text for _, text in SCORES[task]),
            *(text for _, text in COSTS),
        ],
        lines,
        [
            f"Seeds {', '.join(map(str, seeds))}; {len(sections)} sections; means over sections and"
            " seeds, with the smallest and largest in brackets.",
            f"{', '.join(map(str, threads))} thread(s) a call. Method s: wall time without"
            " interpreter, imports and reading; the machine may have been shared: CPU s is what"
            " the process itself used. Read-outs of one call share its cost.",
        ],
    )


def _failures(failed: Sequence[Row]) -> Table:
    """One row per method, data set and error."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in failed:
        key = (row.method, row.version or "-", row.task, row.dataset, row.error)
        groups.setdefault(key, []).append(row)
    return Table(
        "Not run",
        ["method", "version", "task", "data set", "sections", "seeds", "error"],
        [
            [
                *key[:4],
                ", ".join(dict.fromkeys(row.section for row in rows)),
                ", ".join(dict.fromkeys(str(row.seed) for row in rows)),
                key[4].replace("|", "/"),
            ]
            for key, rows in groups.items()
        ],
        [],
    )


def sources(tasks: Sequence[str]) -> Table:
    """Return distribution, licence and paper of each rival of some tasks."""
    return Table(
        "Rivals",
        ["method", "task", "distribution", "licence", "paper"],
        [[r.name, r.task, r.package, r.licence, r.paper] for r in RIVALS if r.task in tasks],
        [],
    )


def _call_failed(row: Row, method: str) -> bool:
    """Return whether a row is a failed call of the method's rival."""
    return bool(row.error) and method.startswith(f"{row.method}, ")


def _other_readouts(rows: Sequence[Row], method: str) -> bool:
    """Return whether a method without a score only stands for failed calls of its rival."""
    return any(row.method.startswith(f"{method}, ") and not row.error for row in rows)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def _mean(values: Sequence[float], form: str) -> str:
    return form.format(np.mean(values)) if values else "-"
