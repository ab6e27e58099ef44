"""Table of the check: how well it predicts the accuracy of generation in a hole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.common.scored_section import Group, pools
from benchmarks.common.statistics import student_interval
from benchmarks.common.table import Table
from benchmarks.generation.checked import CheckRow
from benchmarks.generation.split_half import spearman_brown

AGREES = 0.7  # of the reliability
_LOSS = 0.002  # of SVG rmse_z


def check_table(groups: Sequence[Group]) -> Table:
    """Expectations of the check, compared with the truth, by section and by data set."""
    listed = [(g.name, g.checks) for g in groups if g.checks]
    listed += [
        (f"{name}, together", [row for g in own for row in g.checks])
        for name, own in pools(groups).items()
        if len(own) > 1 and any(g.checks for g in own)
    ]
    return Table(
        "Expectations of the check, compared with the truth",
        [
            "section or data set",
            "holes",
            "refused",
            "genes ranked: by the check",
            "by Moran's I",
            "holes where the check ranks better",
            "gain: agreement",
            "its reliability",
            "at least 70 % of it",
            "genes that gain: expected",
            "real",
            "of",
            "called almost surely better: right",
            "lowest reliability of a claim",
            "chosen share minus usual",
            "minus none",
            "minus whole",
        ],
        [[name, *_cells(rows)] for name, rows in listed],
        [
            "Genes ranked: Spearman over genes of the expected with the real correlation. Gain:"
            " correlation of GeST minus that of the neighbours' mean; agreement is Pearson over"
            " genes, and reliability comes from halves of each hole (Spearman-Brown of their mean"
            " correlation). Share of the section's field: SVG rmse_z with the share that the check"
            " chose, minus that with another; negative is better. In brackets the 95 % interval"
            f" over holes, which are not replicates; {_LOSS} above zero would be a loss.",
        ],
    )


def _cells(rows: Sequence[CheckRow]) -> list[str]:
    made = [r.scores for r in rows if not r.refused]
    if not made:
        return ["0", str(len(rows)), *["-"] * 14]

    def values(key: str) -> np.ndarray:
        return np.array([s[key] for s in made])

    ours, moran = values("correlation_rank"), values("moran_rank")
    agreement, halves = values("gain_agreement").mean(), values("gain_halves").mean()
    reliability = spearman_brown(float(halves))
    enough = agreement >= AGREES * reliability
    return [
        str(len(made)),
        str(len(rows) - len(made)),
        f"{ours.mean():.3f}",
        f"{moran.mean():.3f}",
        f"{int((ours > moran).sum())} of {len(made)}",
        f"{agreement:.3f}",
        f"{reliability:.3f}",
        "yes" if enough else "no",
        *(f"{values(key).sum():.0f}" for key in ("likely", "gained", "genes")),
        f"{values('claims_right').sum():.0f} of {values('claims').sum():.0f}",
        f"{np.nanmin(values('least_reliability')):.2f}",
        *(
            _paired(values("error_chosen") - values(f"error_{other}"))
            for other in ("usual", "none", "whole")
        ),
    ]


def _paired(difference: np.ndarray) -> str:
    """Return mean and interval of a paired difference over holes."""
    if len(difference) < 2:
        return f"{difference.mean():+.4f}"
    low, high = student_interval(difference)
    return f"{difference.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
