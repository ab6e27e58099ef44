"""Scores of all methods on one held-out section, and where GeST beats the best baseline."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.generation.checked import CheckRow
from benchmarks.generation.command import ORACLE, OURS, SPLIT_HALF, Row
from benchmarks.generation.downstream import DownstreamRow
from benchmarks.generation.drawn_scores import DrawnRow
from benchmarks.generation.named import NamedRow
from napari_gest.tasks.training.start import BUNDLED_BASE

# The bar names no gene set for its Spearman; every count of it is made with both.
SPEARMAN = ("spearman_gene_svg", "spearman_gene")
# Names of methods in files that earlier versions wrote.
_RENAMED_KINDS = {"floor": "baseline", "ceiling": "oracle"}
_RENAMED = {"true token (ceiling)": ORACLE, "split-half noise (ceiling)": SPLIT_HALF}


@dataclass
class Group:
    """The rows of one held-out section, and the baseline and settings that validation chose.

    Attributes
    ----------
    rows
        Every method on every hole.
    best
        Name of the baseline with the lowest score on validation holes.
    baseline_settings, validation
        Tuned settings and the score on validation holes, by baseline.
    note
        Where the model comes from.
    dataset
        The data set of the section; by default the split is one.
    start
        The base or model that training began with; empty where it began with random weights.
    buffered
        GeST and the best baseline on the same holes with a ring around them hidden as well.
    animal
        The animal or donor of the section, if the file names it.
    drawn
        Generated cells as a distribution: every method on every hole. A run may hold these, or
        the scores of the expected expression in ``rows``, or both.
    drawn_best, drawn_settings, drawn_validation
        The distribution baseline with the lowest energy score on validation holes, the tuned
        settings, and the scores there.
    downstream
        Downstream results from the filled holes.
    named
        Probabilities and names of cell types.
    checks
        Expectations of the check, and the truth.
    ablated
        GeST's draws, each time without one part of the method.
    """

    rows: list[Row]
    best: str
    baseline_settings: dict[str, str]
    validation: dict[str, float]
    note: str
    dataset: str = ""
    start: str = ""
    buffered: list[Row] = field(default_factory=list)
    animal: str = ""
    drawn: list[DrawnRow] = field(default_factory=list)
    drawn_best: str = ""
    drawn_settings: dict[str, str] = field(default_factory=dict)
    drawn_validation: dict[str, float] = field(default_factory=dict)
    downstream: list[DownstreamRow] = field(default_factory=list)
    named: list[NamedRow] = field(default_factory=list)
    checks: list[CheckRow] = field(default_factory=list)
    ablated: list[DrawnRow] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Split, section and how the model was trained."""
        return f"{self._first.split}: {self._first.section}{self._trained}"

    @property
    def pool(self) -> str:
        """Data set and how the model was trained: sections of one name are counted together."""
        return f"{self.dataset or self._first.split}{self._trained}"

    @property
    def _first(self) -> Row | DrawnRow | CheckRow:
        return (self.rows or self.drawn or self.checks or self.ablated)[0]

    @property
    def fine_tuned(self) -> bool:
        """Whether training went on with a model of other tissue; a base is no model of tissue."""
        return self.start not in ("", BUNDLED_BASE)

    @property
    def _trained(self) -> str:
        if not self.start:
            return ""
        return f", {'fine-tuned ' * self.fine_tuned}from {self.start}"

    @property
    def methods(self) -> list[str]:
        """Methods in the order they ran."""
        return list(dict.fromkeys(r.method for r in self.rows))

    @property
    def n_holes(self) -> int:
        return len(self.values(OURS, "rmse"))

    @property
    def ringed(self) -> Group:
        """The same group with the ring hidden as well.

        Baselines are tuned with each seed. Where seeds chose different ones, each hole has the
        baseline of its seed.
        """
        baselines = [r.method for r in self.buffered if r.kind == "baseline"]
        best = ", ".join(dict.fromkeys(baselines))
        rows = [replace(r, method=best) if r.kind == "baseline" else r for r in self.buffered]
        return replace(self, rows=rows, best=best, buffered=[])

    def values(self, method: str, key: str) -> NDArray[np.float64]:
        """Return (holes,) scores of a method."""
        return np.array([r.scores[key] for r in self.rows if r.method == method])

    @property
    def drawn_methods(self) -> list[str]:
        """Methods that drew cells, in the order they ran."""
        return list(dict.fromkeys(r.method for r in self.drawn))

    def drawn_values(self, method: str, key: str) -> NDArray[np.float64]:
        """Return (holes,) scores of a method's draws; NaN where a score is not defined."""
        rows = [r.scores for r in self.drawn if r.method == method]
        return np.array([scores.get(key, np.nan) for scores in rows])

    def drawn_mean(self, method: str, key: str) -> float:
        """Return the mean over holes of a score of a method's draws, NaN where there is none."""
        values = self.drawn_values(method, key)
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

    def won(self, *keys: str) -> int:
        """Return in how many holes GeST (weighted) beats the best baseline in all of ``keys``.

        A tie is not won.
        """
        ahead = np.ones(self.n_holes, bool)
        for key in keys:
            ours, baseline = self.values(OURS, key), self.values(self.best, key)
            ahead &= ours < baseline if key.startswith("rmse") else ours > baseline
        return int(ahead.sum())

    @property
    def worst_ratio(self) -> float:
        """Mean error of GeST over that of the best baseline, the larger of SVG rmse_z and rmse."""
        return max(
            float(np.nanmean(self.values(OURS, key)) / np.nanmean(self.values(self.best, key)))
            for key in ("rmse_z_svg", "rmse")
        )


def bar_met(groups: Sequence[Group], spearman: str) -> bool:
    """Return whether GeST wins four fifths of the holes and loses no section by over 2 %.

    Parameters
    ----------
    groups
        A section, or all sections of a data set, whose holes are counted together.
    spearman
        The Spearman in which a hole has to be won, besides SVG ``rmse_z``: one of `SPEARMAN`.
    """
    won = sum(g.won("rmse_z_svg", spearman) for g in groups)
    near = all(g.worst_ratio <= 1.02 for g in groups)
    return won >= 0.8 * sum(g.n_holes for g in groups) and near


def pools(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Return the sections of each data set, fine-tuned models apart."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        found.setdefault(group.pool, []).append(group)
    return found


def read_groups(path: Path) -> list[Group]:
    """Return what ``python -m benchmarks generation --json`` wrote, now or under former names."""
    found = json.loads(path.read_text(encoding="utf-8"))
    for one in found:
        if "floor_settings" in one:
            one["baseline_settings"] = one.pop("floor_settings")
    lists = {
        "rows": Row,
        "buffered": Row,
        "drawn": DrawnRow,
        "downstream": DownstreamRow,
        "named": NamedRow,
        "checks": CheckRow,
        "ablated": DrawnRow,
    }
    for row in (row for one in found for key in ("rows", "buffered") for row in one.get(key, [])):
        row["method"] = _RENAMED.get(row["method"], row["method"])
        row["kind"] = _RENAMED_KINDS.get(row["kind"], row["kind"])
    return [
        Group(
            **one | {key: [kind(**row) for row in one.get(key, [])] for key, kind in lists.items()}
        )
        for one in found
    ]
