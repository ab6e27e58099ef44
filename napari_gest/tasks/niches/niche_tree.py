"""Niches at every number at once: many small ones, merged pair by pair."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from napari_gest.limits import check_choice, check_number
from napari_gest.palette import palette
from napari_gest.seeds import check_seed
from napari_gest.tasks.finite import require_finite
from napari_gest.tasks.niches.align import Align
from napari_gest.tasks.niches.cluster import MAX_SMOOTHING, check_n_niches, check_together, together
from napari_gest.tasks.niches.embed import Embedded
from napari_gest.tasks.niches.niches import Clustered, ordered
from napari_gest.tasks.niches.random_field import fit_field_mixture
from napari_gest.tasks.progress import Clock, Progress, finish, relay
from napari_gest.tissue.section import Section


@dataclass(frozen=True, eq=False)
class NicheTreeRequest:
    """One tree and all it needs.

    Attributes
    ----------
    embedded
        Embeddings of one or more sections by one model.
    n_leaves
        Small niches at the tips; the largest number the tree can be cut into.
    smoothing, seed, align
        As in ``ClusterRequest``.
    """

    embedded: Sequence[Embedded]
    n_leaves: int = 30
    smoothing: float = 5.0
    seed: int = 0
    align: Align = "auto"

    def check(self) -> None:
        """Raise InputError if there are too few cells, or embeddings do not fit together."""
        check_together(self.embedded)
        n = sum(len(e.rows) for e in self.embedded)
        check_n_niches("n_leaves", self.n_leaves, n)
        check_number("smoothing", self.smoothing, 0, MAX_SMOOTHING)
        check_choice("align", self.align, get_args(Align))
        check_seed(self.seed)

    def run(self) -> Generator[Progress, None, NicheTree]:
        """Build the tree; yields between its stages."""
        self.check()
        clock = Clock("Building the tree of niches", 100)
        yield clock.tick(0)
        cells = yield from together(self.embedded, self.align, self.smoothing)
        fit = fit_field_mixture(
            cells.features,
            cells.neighbours,
            self.n_leaves,
            smoothing=self.smoothing,
            starts=1,
            seed=self.seed,
            sample=cells.sample,
            files=cells.files,
            section=cells.apart,
        )
        mixture = yield from relay(fit, lambda share: clock.tick(int(100 * share)))
        require_finite("The niches", probability=mixture.probability)
        labels, probability, _ = ordered(mixture.probability)
        # In these axes the cells of a niche spread alike in every direction.
        axes = np.linalg.cholesky(mixture.precision)
        settings = {
            "method": "tree",
            "n_leaves": self.n_leaves,
            "smoothing": self.smoothing,
            "seed": self.seed,
            "align": self.align,
            "aligned": cells.shifts is not None,
            "embedding": dict(self.embedded[0].settings),
        }
        return NicheTree(
            tuple(e.section for e in self.embedded),
            cells.by_row(probability),
            _ward(cells.moved() @ axes, labels, probability.shape[1]),
            settings,
        )


@dataclass(frozen=True, eq=False)
class NicheTree:
    """Small niches and the order in which they merge.

    Attributes
    ----------
    sections
        The sections, one after another; n cells in all.
    probability
        (n, leaves) float32, rows sum to 1.
    merges
        (leaves - 1, 2) int64: at each step the second niche, by its first leaf, joins the first.
    settings
        What made it.
    """

    sections: tuple[Section, ...]
    probability: NDArray[np.float32]
    merges: NDArray[np.int64]
    settings: dict[str, Any]

    @property
    def n_leaves(self) -> int:
        return self.probability.shape[1]

    def cut(self, n_niches: int) -> Clustered:
        """Return the niches when ``n_niches`` are left; costs milliseconds.

        From one number to the next, one niche splits: the part with its first leaf keeps the
        colour, the other part takes the next colour of the palette, and no other colour changes.
        """
        check_number("n_niches", n_niches, 1, self.n_leaves, whole=True)
        of_leaf = np.arange(self.n_leaves)
        for into, joined in self.merges[: self.n_leaves - n_niches]:
            of_leaf[of_leaf == joined] = into
        first, niche = np.unique(of_leaf, return_inverse=True)
        member = np.eye(n_niches, dtype=np.float32)[niche]
        labels, probability, order = ordered(self.probability @ member)
        settings = self.settings | {"n_niches": n_niches}
        niches = Clustered.of(self.sections, labels, probability, None, settings)
        splits = [0, *self.merges[::-1, 1]]  # first leaves, in the order in which they split off
        color = dict(zip(splits, palette(self.n_leaves), strict=True))
        return replace(niches, colors=tuple(color[leaf] for leaf in first[order]))


def niche_tree(
    embedded: Embedded | Sequence[Embedded],
    *,
    n_leaves: int = 30,
    smoothing: float = 5.0,
    seed: int = 0,
    align: Align = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> NicheTree:
    """Build the tree of niches, to be cut at any number.

    Parameters
    ----------
    embedded
        What ``embed_niches`` returned, for one section or several.
    n_leaves, smoothing, seed, align
        As in ``NicheTreeRequest``.
    on_progress
        Called between stages.

    Raises
    ------
    InputError
        If there are too few cells, or embeddings do not fit together.
    """
    several = [embedded] if isinstance(embedded, Embedded) else list(embedded)
    return finish(NicheTreeRequest(several, n_leaves, smoothing, seed, align).run(), on_progress)


def _ward(features: NDArray[np.floating], labels: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Return (k - 1, 2) merges that lose least variance each, every leaf with its cells."""
    size = np.bincount(labels, minlength=k).astype(np.float64)
    total = np.zeros((k, features.shape[1]))
    np.add.at(total, labels, features)
    merges, alive = [], np.ones(k, bool)
    for _ in range(k - 1):
        mean = total / np.maximum(size, 1)[:, None]
        squared = np.square(mean[:, None] - mean).sum(-1)
        cost = squared * size[:, None] * size / np.maximum(size[:, None] + size, 1)
        cost[~alive] = cost[:, ~alive] = np.inf
        np.fill_diagonal(cost, np.inf)
        into, joined = sorted(np.unravel_index(cost.argmin(), cost.shape))
        total[into] += total[joined]
        size[into] += size[joined]
        alive[joined] = False
        merges.append((into, joined))
    return np.array(merges, np.int64).reshape(-1, 2)
