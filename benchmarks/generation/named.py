"""Types of generated cells: accuracy of their probabilities and names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.generation.calibration import confidence_bins
from benchmarks.generation.donors import Typed
from napari_gest.tasks.generation.cell_types import CellTypes, NamedTypes

LEVEL_1, META_CELL = "level 1", "meta cell"
OURS, NEIGHBOURS = "GeST sample", "shares among neighbours"
RANDOM, MAJORITY, TRUTH = "random neighbour", "most frequent name", "truth"
AT_ONE = "p at temperature 1"
NUMBERS = (10, 20, 30, 60, 120, 250)  # of neighbours, from which validation chooses
_PRIOR = 0.02  # share of the section's composition, as in GeST's own probabilities
_BETWEEN = "\x1f"  # of the two names of a cell


@dataclass
class NamedRow:
    """Probabilities and names of the cells of one hole.

    Attributes
    ----------
    split, section, seed, radius_um
        What was scored.
    what
        The names: an obs column, the vocabulary's first level, or the meta cell itself.
    n_cells
        Cells that have a name.
    losses
        Mean log loss of the true name, nats, by method.
    bins
        For each method and each tenth of the confidence: cells, sum of the confidence, cells
        whose likeliest name is right.
    called
        The name of every cell, by method, including the truth.
    """

    split: str
    section: str
    seed: int
    radius_um: float
    what: str
    n_cells: int
    losses: dict[str, float]
    bins: dict[str, list[list[float]]]
    called: dict[str, list[str]] = field(default_factory=dict)


def combined_types(typed: Typed, types: CellTypes | None) -> CellTypes:
    """Return known cells' level-1 clusters and types as one name, so that one run gives both."""
    level = typed.type_of[typed.token].astype(str)
    own = np.full(len(level), "", object)
    if types is not None:
        own[:] = [name or "" for name in types.labels]
    labels = np.array([f"{a}{_BETWEEN}{b}" for a, b in zip(level, own, strict=True)], object)
    labels[~typed.case.hole.known] = None
    return CellTypes("kind", labels)


def separate(named: NamedTypes, part: int) -> tuple[list[str], NDArray[np.float64], list[str]]:
    """Return one part of combined names.

    Returns
    -------
    The C names, their probabilities (n, C), and the name of each of the n cells.
    """
    each = [name.split(_BETWEEN)[part] for name in named.names]
    names = sorted(set(each))
    total = np.zeros((len(named.probability), len(names)))
    np.add.at(total.T, np.searchsorted(names, each), named.probability.T)
    return names, total, [label.split(_BETWEEN)[part] for label in named.labels]


def labels_of(typed: Typed, types: CellTypes | None) -> NDArray[np.object_]:
    """Return (n_obs,) names of all cells: ``types``, or the vocabulary's first level."""
    return typed.type_of[typed.token].astype(str).astype(object) if types is None else types.labels


def neighbour_shares(
    typed: Typed, labels: NDArray[np.object_], names: Sequence[str], k: int
) -> NDArray[np.float64]:
    """Return (m, C) shares of names among the k nearest known cells, with 2 % of the section's."""
    known = labels[typed.case.hole.known]
    one_hot = known[:, None] == np.array(names, object)
    near = typed.tree.query(typed.case.hole_coords, k=[*range(1, min(k, len(known)) + 1)])[1]
    composition = one_hot.mean(0)
    composition /= max(composition.sum(), 1e-12)
    share = one_hot[near].sum(1).astype(np.float64)
    total = share.sum(1, keepdims=True)
    share = np.where(total > 0, share / np.maximum(total, 1), composition)
    return (1 - _PRIOR) * share + _PRIOR * composition


def tuned_number(validation: Sequence[Typed], types: dict[str, CellTypes]) -> int:
    """Return the number of neighbours with the lowest log loss on validation holes.

    ``types`` are those of each section, or none for the vocabulary's first level.
    """

    def loss(k: int) -> float:
        total = []
        for typed in validation:
            labels = labels_of(typed, types.get(typed.case.section))
            truth = labels[typed.case.hole.mask]
            names = sorted({str(name) for name in labels if name is not None})
            total.append(log_loss(neighbour_shares(typed, labels, names, k), names, truth))
        return float(np.mean(total)) if total else 0.0

    return min(NUMBERS, key=loss)


def log_loss(
    probability: NDArray[np.floating], names: Sequence[str], truth: NDArray[np.object_]
) -> float:
    """Return the mean of ``-log p(true name)``, nats, over cells that have a name."""
    place = {name: i for i, name in enumerate(names)}
    named = [(i, place.get(name)) for i, name in enumerate(truth) if name is not None]
    own = [0.0 if j is None else float(probability[i, j]) for i, j in named]
    return float(-np.log(np.maximum(own, 1e-6)).mean())


def bins_of(
    probability: NDArray[np.floating], names: Sequence[str], truth: NDArray[np.object_]
) -> list[list[float]]:
    """Return ``bins`` of a `NamedRow`."""
    named = np.array([name is not None for name in truth])
    right = np.array(names, object)[probability.argmax(1)] == truth
    return confidence_bins(probability.max(1)[named], right[named])


def named_rows(
    place: tuple[str, str, int, float],
    typed: Typed,
    types: CellTypes | None,
    named: NamedTypes,
    numbers: dict[str, int],
    seed: int,
) -> Iterator[NamedRow]:
    """Yield a row for the first level, and one for the types where the section has some.

    Parameters
    ----------
    place
        Split, section, seed and radius.
    typed, types
        The hole, and its section's types.
    named
        GeST's result for `combined_types`, in the order of the hole's cells.
    numbers
        Tuned number of neighbours, for each kind of name.
    seed
        Seed of the random neighbour.
    """
    hole = typed.case.hole
    for part, own in enumerate((None, types)):
        if part == 1 and own is None:
            continue
        what = LEVEL_1 if own is None else own.key
        labels = labels_of(typed, own)
        truth = labels[hole.mask]
        names, ours, called = separate(named, part)
        theirs = neighbour_shares(typed, labels, names, numbers[what])
        rng = np.random.default_rng(seed)
        random = [str(rng.choice(names, p=p / p.sum())) for p in theirs]
        known = labels[hole.known]
        values, counts = np.unique([n for n in known if n is not None], return_counts=True)
        keep = [i for i, name in enumerate(truth) if name is not None]
        if not keep:
            continue
        everyone = {
            TRUTH: [str(name) for name in truth],
            OURS: called,
            RANDOM: random,
            MAJORITY: [str(values[counts.argmax()])] * len(truth),
        }
        yield NamedRow(
            *place,
            what,
            len(keep),
            {m: log_loss(p, names, truth) for m, p in ((OURS, ours), (NEIGHBOURS, theirs))},
            {m: bins_of(p, names, truth) for m, p in ((OURS, ours), (NEIGHBOURS, theirs))},
            {method: [list_[i] for i in keep] for method, list_ in everyone.items()},
        )


def meta_cell_row(
    place: tuple[str, str, int, float],
    typed: Typed,
    probability: NDArray[np.floating],
    temperature: float,
) -> NamedRow:
    """Return the row of p(meta cell) itself, with the model's temperature and with 1.

    Parameters
    ----------
    place, typed
        As in `named_rows`.
    probability
        (m, K) at temperature 1, in the order of the hole's cells.
    temperature
        The model's. It is applied to p after averaging over symmetries.
    """
    names = [str(k) for k in range(probability.shape[1])]
    truth = typed.true_token.astype(str).astype(object)
    power = np.maximum(probability.astype(np.float64), 1e-12) ** (1 / temperature)
    both = {OURS: power / power.sum(1, keepdims=True), AT_ONE: probability}
    return NamedRow(
        *place,
        META_CELL,
        len(truth),
        {method: log_loss(p, names, truth) for method, p in both.items()},
        {method: bins_of(p, names, truth) for method, p in both.items()},
    )
