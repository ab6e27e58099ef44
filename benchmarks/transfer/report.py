"""Tables of the transfer benchmark."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.common.table import Table
from benchmarks.transfer.run import LOCAL, MEASURES, Key, Row

_HEADINGS = {"rmse_z_svg": "SVG rmse_z", "spearman_gene_svg": "SVG Spearman", "rmse": "rmse"}


def read_rows(path: Path) -> list[Row]:
    """Return what ``python -m benchmarks transfer --json`` wrote."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return [Row(**row | {"key": Key(**row["key"])}) for row in found]


def tables(rows: Sequence[Row]) -> list[Table]:
    """Return a table for each part of the holes."""
    return [
        _table(part, [row for row in rows if row.key.part == part])
        for part in dict.fromkeys(row.key.part for row in rows)
    ]


def _table(part: str, rows: Sequence[Row]) -> Table:
    groups: dict[tuple[str, int, float, str], list[Row]] = {}
    for row in rows:
        key = row.key
        groups.setdefault((key.tissue, key.cells, key.budget_s, key.start), []).append(row)
    lines = []
    for (tissue, _, budget, start), group in groups.items():
        local = start == LOCAL
        line = [
            tissue,
            f"{group[0].n_cells:,}",
            "" if local else f"{budget:g}" if budget else "until done",
            start,
            str(len(group)),
            "" if local else f"{np.mean([r.n_steps for r in group]):.0f}",
            "" if local else f"{np.mean([r.cpu_s for r in group]):.0f}",
            "" if local else f"{np.mean([r.wall_s for r in group]):.0f}",
        ]
        for name in MEASURES:
            line.append(_spread([r.decoder[name] for r in group]))
            line.append("" if local else _spread([r.whole[name] for r in group]))
        lines.append(line)
    headings = ["tissue", "cells", "budget (s)", "start", "seeds", "steps", "CPU s", "wall s"]
    for name in MEASURES:
        headings += [f"{_HEADINGS[name]}, decoder", "whole"]
    return Table(
        f"A base against training from scratch ({part} holes)",
        headings,
        lines,
        [
            "A budget is processor time of training, vocabulary and calibration included, so that"
            " a loaded machine treats all alike; wall time is beside it. Means over holes and"
            " seeds, with the standard deviation over seeds. Decoder: without the section's field.",
            *_ahead(groups),
        ],
    )


def _spread(values: Sequence[float]) -> str:
    mean = f"{np.mean(values):.4f}"
    return f"{mean} ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else mean


def _ahead(groups: dict[tuple[str, int, float, str], list[Row]]) -> list[str]:
    """Return for each start and budget on how many data sets it is ahead of none."""
    said = []
    pairs = dict.fromkeys((b, s) for _, _, b, s in groups if s not in ("none", LOCAL))
    for budget, start in pairs:
        for what in ("decoder", "whole"):
            won = n = 0
            for (tissue, cells, b, s), group in groups.items():
                other = groups.get((tissue, cells, budget, "none"))
                if (b, s) != (budget, start) or not other:
                    continue
                ours, scratch = (
                    [np.mean([getattr(r, what)[name] for r in g]) for name in MEASURES[:2]]
                    for g in (group, other)
                )
                n += 1
                won += ours[0] < scratch[0] and ours[1] > scratch[1]
            if n:
                said.append(
                    f"{start}, {budget:g} s, {what}: ahead of scratch in SVG rmse_z and SVG"
                    f" Spearman on {won} of {n}."
                )
    return said
