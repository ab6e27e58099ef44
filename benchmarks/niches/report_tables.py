"""Tables of niche clustering and annotation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.common.statistics import bootstrap_interval, paired_p
from benchmarks.common.table import Table

R = TypeVar("R")


def read_rows(
    path: Path, kind: type[R], score: str | None = None, datasets: Sequence[str] | None = None
) -> list[R]:
    """Read rows from JSON: those of rivals, or of an earlier run.

    Parameters
    ----------
    path
        List of objects with the fields of ``kind``; other fields are ignored.
    kind
        Class of the rows.
    score
        For rivals' rows: the score without which a row belongs to another task.
    datasets
        For rivals' rows: the data sets in the table.
    """
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    task = "niches" if score == "ami" else "annotation"
    rows = []
    for entry in json.loads(path.read_text(encoding="utf-8")):
        if datasets is not None and entry["dataset"] not in datasets:
            continue
        if score is not None and entry.get("task", task) != task:
            continue
        if score is not None and score not in entry and not entry.get("error"):
            continue
        values = {k: v for k, v in entry.items() if k in known and v is not None}
        rows.append(kind(**{"kind": "rival", **values}))
    return rows


def tables(rows: Sequence[Any], scores: Sequence[str], title: str) -> list[Table]:
    """Return a table over all sections, and one per data set; best method first."""
    datasets = list(dict.fromkeys(r.dataset for r in rows))
    made = [_whole(rows, scores, title, datasets)]
    made += [_one(rows, scores, f"{title}: {name}", name) for name in datasets]
    failed = {(r.method, r.dataset, r.error) for r in rows if r.error}
    if failed:
        made.append(
            Table(
                f"{title}: what could not be run",
                ["method", "data set", "error"],
                [[m, d, e.replace("|", "/")] for m, d, e in sorted(failed)],
                [],
            )
        )
    return made


def _whole(rows: Sequence[Any], scores: Sequence[str], title: str, datasets: list[str]) -> Table:
    first = scores[0]
    sections = list(dict.fromkeys((r.dataset, r.section) for r in rows))
    means = _means(rows, first)
    complete = {m: v for m, v in means.items() if len(v) == len(sections)}
    ours = next((m for m in means if _kind(rows, m) == "GeST"), None)
    best = max(
        (m for m in complete if _kind(rows, m) not in ("GeST", "control")),
        key=lambda m: np.mean(list(complete[m].values())),
        default=None,
    )
    lines = []
    for method in sorted(means, key=lambda m: (m not in complete, -_mean(means[m].values()))):
        here = [r for r in rows if r.method == method and not r.error]
        values = list(means[method].values())
        low, high = bootstrap_interval(values) if len(values) > 1 else (np.nan, np.nan)
        per_set = []
        for name in datasets:
            of_set = [v for (d, _), v in means[method].items() if d == name]
            per_set.append(f"{np.mean(of_set):.3f}" if of_set else "-")
        p = "-"
        if ours is not None and method != ours and method in complete and ours in complete:
            pairs = [(means[ours][s], means[method][s]) for s in sections]
            p = f"{paired_p(*zip(*pairs, strict=True)):.3f}"
        lines.append(
            [
                method,
                _kind(rows, method),
                f"{np.mean(values):.3f}" if values else "-",
                f"{low:.2f} to {high:.2f}" if np.isfinite(low) else "-",
                *per_set,
                *(f"{np.nanmean([getattr(r, s) for r in here]):.3f}" for s in scores[1:]),
                f"{np.nanmean([r.wall_s for r in here]):.1f}",
                f"{np.nanmean([r.peak_mb for r in here]):.0f}",
                f"{len(values)}/{len(sections)}",
                str(len({r.seed for r in here})),
                p,
            ]
        )
    notes = [
        "Means over seeds, then sections; the interval is a bootstrap over sections. p: Wilcoxon"
        " signed-rank over sections against GeST, not corrected. Methods that did not finish on"
        " every section come last. wall s is per section, peak MB that of the process; what fitting"
        " a model took is in the tables of the sets.",
    ]
    if ours is not None and best is not None and ours in complete:
        gap = _mean(complete[ours].values()) - _mean(complete[best].values())
        notes.append(
            f"GeST is {abs(gap):.3f} {'above' if gap >= 0 else 'below'} the best rival here,"
            f" {best} (mean {first})."
        )
    return Table(
        title,
        [
            "method",
            "kind",
            first,
            "95 %",
            *datasets,
            *scores[1:],
            "wall s",
            "peak MB",
            "sections",
            "seeds",
            "p",
        ],
        lines,
        notes,
    )


def _one(rows: Sequence[Any], scores: Sequence[str], title: str, dataset: str) -> Table:
    rows = [r for r in rows if r.dataset == dataset and not r.error]
    sections = list(dict.fromkeys(r.section for r in rows))
    lines = []
    means = _means(rows, scores[0])
    for method in sorted(means, key=lambda m: -_mean(means[m].values())):
        cells = []
        for section in sections:
            v = [getattr(r, scores[0]) for r in rows if r.method == method and r.section == section]
            cells.append(f"{np.mean(v):.3f} ± {np.std(v):.3f}" if v else "-")
        fitted = np.mean([r.fit_s for r in rows if r.method == method])
        mean = f"{_mean(means[method].values()):.3f}"
        lines.append([method, *cells, mean, f"{fitted:.0f}" if fitted else "-"])
    return Table(
        title,
        ["method", *sections, "mean", "fit s"],
        lines,
        [
            f"{scores[0]}, mean and standard deviation over seeds. fit s: what fitting the model of"
            " one seed took.",
        ],
    )


def _means(rows: Sequence[Any], score: str) -> dict[str, dict[tuple[str, str], float]]:
    found: dict[str, dict[tuple[str, str], list[float]]] = {}
    for r in rows:
        of = found.setdefault(r.method, {})
        if not r.error and np.isfinite(getattr(r, score)):
            of.setdefault((r.dataset, r.section), []).append(getattr(r, score))
    return {m: {k: float(np.mean(v)) for k, v in of.items()} for m, of in found.items()}


def _kind(rows: Sequence[Any], method: str) -> str:
    return next(r.kind for r in rows if r.method == method)


def _mean(values: Any) -> float:
    values = list(values)
    return float(np.mean(values)) if values else -np.inf
