"""What stored results of a row amount to: means over seeds, and differences seed by seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from benchmarks.card.rows import Row
from benchmarks.card.store import Result, Store
from benchmarks.common.statistics import student_interval

OURS = "GeST"


@dataclass(frozen=True)
class State:
    """How much of a row there is.

    Attributes
    ----------
    there, wanted
        Seeds with scores, and seeds that are wanted.
    stale
        Why some of those that are there are stale; empty where none is.
    error
        The first error; empty where there is none.
    """

    there: int
    wanted: int
    stale: str
    error: str

    @property
    def text(self) -> str:
        """Say it in a table cell."""
        said = []
        if self.there < self.wanted:
            said.append(f"{self.there} of {self.wanted} seeds" if self.there else "**missing**")
        if self.stale:
            said.append(f"**stale**: {self.stale}")
        if self.error:
            said.append(f"failed: {self.error}")
        return "; ".join(said) or "current"


def state_of(store: Store, row: Row) -> State:
    """Return the state of a row."""
    results = store.results(row)
    stale = [reason for r in results if (reason := store.stale(row, r))]
    errors = [r.error for r in results if r.error]
    return State(
        len(scored(results)), len(row.seeds), next(iter(stale), ""), next(iter(errors), "")
    )


def scored(results: Iterable[Result]) -> list[Result]:
    """Return those that have scores."""
    return [result for result in results if result.scores]


@dataclass(frozen=True)
class Difference:
    """A row minus its reference, seed by seed.

    Attributes
    ----------
    mean
        Mean over the seeds that both have.
    low, high
        95 % interval (Student's t), NaN with fewer than two seeds.
    n
        Seeds.
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def text(self) -> str:
        """Say it in a table cell."""
        if not self.n:
            return ""
        if self.n < 2:
            return f"{self.mean:+.4f} (1 seed)"
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"

    @property
    def sign(self) -> int:
        """1 or -1 where the interval leaves out zero, 0 otherwise."""
        if self.n < 2:
            return 0
        return int(self.low > 0) - int(self.high < 0)


def difference(row: Sequence[Result], reference: Sequence[Result], score: str) -> Difference:
    """Return a row minus its reference in a score of GeST."""
    theirs = {r.seed: r.scores[OURS][score] for r in scored(reference)}
    pairs = [r.scores[OURS][score] - theirs[r.seed] for r in scored(row) if r.seed in theirs]
    values = np.array(pairs, dtype=np.float64)
    if len(values) < 2:
        return Difference(float(values.sum()), np.nan, np.nan, len(values))
    return Difference(float(values.mean()), *student_interval(values), len(values))


def mean(results: Sequence[Result], method: str, score: str) -> float:
    """Return the mean over seeds of a score, NaN where there is none."""
    values = [r.scores[method][score] for r in scored(results) if method in r.scores]
    return float(np.mean(values)) if values else float("nan")


def verdict(found: Difference, paper: float) -> str:
    """Return whether what the paper says of R.all held: the sign of a difference."""
    if not found.n:
        return "not run"
    if found.n == 1:
        return "one seed alone"
    if not found.sign:
        return "not decided"
    if not paper:
        return "differs, where the paper saw no difference"
    return "held" if found.sign == np.sign(paper) else "the opposite"


@dataclass(frozen=True)
class Slope:
    """How the error of genes goes with their rank, 1 the most spatially variable.

    Attributes
    ----------
    per_100
        Change of the error over 100 ranks, least squares.
    rho
        Spearman of error and rank.
    """

    per_100: float
    rho: float


def gene_errors(results: Sequence[Result], method: str) -> np.ndarray:
    """Return (n,) errors of genes by rank, a mean over seeds; empty where there is none."""
    errors = [r.genes[method] for r in scored(results) if r.genes.get(method)]
    if not errors:
        return np.empty(0)
    n = min(map(len, errors))
    return np.nanmean(np.array([e[:n] for e in errors], dtype=np.float64), axis=0)


def slope(errors: np.ndarray) -> Slope:
    """Return the slope of errors (n,) by rank."""
    rank = np.arange(1, len(errors) + 1)
    kept = np.isfinite(errors)
    per_rank = np.polyfit(rank[kept], errors[kept], 1)[0]
    return Slope(float(100 * per_rank), float(spearmanr(rank[kept], errors[kept])[0]))
