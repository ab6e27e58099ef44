"""Cells drawn at random from known cells: the baselines of a distribution, and its oracle.

Each method gives log weights of the known cells at each position. Cells are then drawn as GeST
draws them: each known cell at most once in a draw, while unused ones remain.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from benchmarks.common.holes import Case
from benchmarks.generation.distribution import energy_score, scaled
from napari_gest.tasks.generation.emission import draw_once

NUMBERS = (30, 60, 120, 250, 400, 800)  # of nearest cells, from which validation chooses
VALIDATION_DRAWS = 4  # the expected energy score does not depend on their number
# Log weight of cells that are used only after all others; Gumbel noise is far smaller.
_LAST = -100.0
_CELLS = 256  # drawn at a time, which limits the memory of the noise


@dataclass(frozen=True, eq=False)
class Typed:
    """A hole and the meta cells of all cells, in the model's vocabulary.

    Attributes
    ----------
    case
        The hole.
    token
        (n_obs,) meta cell of every cell of the section; only the oracle and the scores may use
        those of the hole.
    type_of
        (K,) coarse type of each meta cell (level 1 of the vocabulary).
    place_of
        (K, p) meta cells in the vocabulary's principal components.
    """

    case: Case
    token: NDArray[np.int64]
    type_of: NDArray[np.int64]
    place_of: NDArray[np.float32]

    @property
    def known_token(self) -> NDArray[np.int64]:
        """(n,) of the known cells."""
        return self.token[self.case.hole.known]

    @property
    def true_token(self) -> NDArray[np.int64]:
        """(m,) of the cells of the hole."""
        return self.token[self.case.hole.mask]

    @cached_property
    def tree(self) -> cKDTree:
        """Of the known cells."""
        return cKDTree(self.case.known_coords)


class Donation(ABC):
    """A method that draws known cells.

    Attributes
    ----------
    name
        Name of its row in the table.
    setting
        Tuned setting, for the table.
    """

    name: str
    setting: str = ""

    def fit(self, validation: Sequence[Typed]) -> Donation:
        """Tune on validation holes; by default there is nothing to tune."""
        return self

    @abstractmethod
    def log_weights(self, typed: Typed) -> NDArray[np.float32]:
        """Return (m, n) log weights of the n known cells at the m positions of the hole."""

    def draw(self, typed: Typed, n_draws: int, seed: int) -> NDArray[np.int64]:
        """Return (S, m) indices of known cells."""
        return draws(self.log_weights(typed), n_draws, seed)


def draws(log_weights: NDArray[np.float32], n_draws: int, seed: int) -> NDArray[np.int64]:
    """Draw ``n_draws`` times for m positions, each known cell at most once while others remain.

    The positions are filled in random order, a different one in each draw.
    """
    rng = np.random.default_rng(seed)
    m, n = log_weights.shape
    drawn = np.empty((n_draws, m), np.int64)
    for one in drawn:
        free, order = np.ones(n, bool), rng.permutation(m)
        for start in range(0, m, _CELLS):
            part = order[start : start + _CELLS]
            one[part] = draw_once(log_weights[part].astype(np.float64), free, rng)
    return drawn


class AnyCell(Donation):
    """Any known cell of the section."""

    name = "random cell of the section"

    def log_weights(self, typed: Typed) -> NDArray[np.float32]:
        case = typed.case
        return np.zeros((len(case.truth), len(case.known_values)), np.float32)

    def draw(self, typed: Typed, n_draws: int, seed: int) -> NDArray[np.int64]:
        m, n = len(typed.case.truth), len(typed.case.known_values)
        if m > n:
            return super().draw(typed, n_draws, seed)
        rng = np.random.default_rng(seed)
        # Equal weights need no noise.
        return np.stack([rng.choice(n, m, replace=False) for _ in range(n_draws)])


class NearbyCell(Donation):
    """One of the ``k`` nearest known cells; the nearest other cell once all are used."""

    name = "random cell of the nearest"

    def __init__(self, k: int = 400) -> None:
        self.k, self.setting = k, f"k {k}"

    def fit(self, validation: Sequence[Typed]) -> NearbyCell:
        return _best((NearbyCell(k) for k in NUMBERS), validation)

    def log_weights(self, typed: Typed) -> NDArray[np.float32]:
        distance = cdist(typed.case.hole_coords, typed.case.known_coords).astype(np.float32)
        k = min(self.k, distance.shape[1])
        limit = np.partition(distance, k - 1, axis=1)[:, k - 1 : k]
        # Farther cells follow in the order of their distance.
        return np.where(distance <= limit, 0, _LAST * distance / np.maximum(limit, 1e-6))


class LikelyType(Donation):
    """A type from the shares among the ``k`` nearest known cells, then any cell of that type."""

    name = "random cell of the locally likely type"

    def __init__(self, k: int = 60) -> None:
        self.k, self.setting = k, f"k {k}"

    def fit(self, validation: Sequence[Typed]) -> LikelyType:
        return _best((LikelyType(k) for k in NUMBERS), validation)

    def log_weights(self, typed: Typed) -> NDArray[np.float32]:
        kind = typed.type_of[typed.known_token]
        count = np.bincount(kind)
        k = min(self.k, len(kind))
        near = typed.tree.query(typed.case.hole_coords, k=[*range(1, k + 1)])[1]
        share = (kind[near][:, :, None] == np.arange(len(count))).mean(1)
        with np.errstate(divide="ignore"):
            log_share = np.maximum(np.log(share) - np.log(np.maximum(count, 1)), _LAST)
        return log_share[:, kind].astype(np.float32)


class NearestCell(Donation):
    """The nearest known cell, copied: one answer, the same in every draw; donors repeat."""

    name = "nearest copy"

    def log_weights(self, typed: Typed) -> NDArray[np.float32]:
        raise NotImplementedError("the nearest cell is not drawn")

    def draw(self, typed: Typed, n_draws: int, seed: int) -> NDArray[np.int64]:
        nearest = typed.tree.query(typed.case.hole_coords)[1]
        return np.repeat(np.asarray(nearest, np.int64)[None], n_draws, axis=0)


class TrueToken(Donation):
    """Any known cell with the true cell's meta cell: the limit for this vocabulary.

    If no such cell is known, or all are used, a cell of the nearest meta cell that has one.
    """

    name = "donors of the true token (oracle)"

    def log_weights(self, typed: Typed) -> NDArray[np.float32]:
        here = np.unique(typed.known_token)
        wanted, of_wanted = np.unique(typed.true_token, return_inverse=True)
        far = cdist(typed.place_of[wanted], typed.place_of[here])
        far[wanted[:, None] == here] = -1  # the token itself is first
        rank = far.argsort(1, kind="stable").argsort(1)
        column = np.searchsorted(here, typed.known_token)
        return (_LAST * rank[of_wanted][:, column]).astype(np.float32)


def drawn_energy_score(method: Donation, typed: Typed, n_draws: int, seed: int) -> float:
    """Return the mean energy score of a method over the cells of a hole."""
    case = typed.case
    known = case.known_values
    made = known[method.draw(typed, n_draws, seed)]
    return float(energy_score(scaled(case.truth, known), scaled(made, known)).mean())


def validation_score(method: Donation, validation: Sequence[Typed]) -> float:
    """Return the mean energy score over validation holes."""
    scores = [drawn_energy_score(method, typed, VALIDATION_DRAWS, 0) for typed in validation]
    return float(np.mean(scores))


def _best(candidates: Iterable[Donation], validation: Sequence[Typed]) -> Donation:
    scored = [(validation_score(c, validation), i, c) for i, c in enumerate(candidates)]
    return min(scored)[-1]


def baselines() -> list[Donation]:
    """Return the baselines, not yet fitted."""
    return [AnyCell(), NearbyCell(), LikelyType(), NearestCell()]
