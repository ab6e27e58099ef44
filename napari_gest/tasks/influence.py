"""Influence: which measured neighbours drove the prediction of a cell."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from napari_gest.errors import InputError
from napari_gest.model.decoder import Context
from napari_gest.model.gest import GeST
from napari_gest.tasks.counterfactual import model_space
from napari_gest.tasks.progress import Clock, Progress, finish
from napari_gest.tissue.section import Section
from napari_gest.tissue.window import reach, thin

_AT_ONCE = 64  # cells left out in one pass of the query


@dataclass(frozen=True, eq=False)
class InfluenceRequest:
    """Leave each neighbour of one cell out in turn and see the prediction change.

    The context is encoded once. Leaving a neighbour out hides it from the query row, in every
    layer and in the local prior, exactly as if its keys and values had never been there. What
    other neighbours had read from it stays in their values: it is the neighbour's direct share.

    Attributes
    ----------
    section, model
        The tissue and the model.
    cell
        Index of the cell in the section; its own expression is never read.
    seed
        Of the random removals of the fidelity test.
    k
        Neighbours removed together in the fidelity test.
    n_random
        Random removals it is compared with.
    """

    section: Section
    model: GeST
    cell: int
    seed: int = 0
    k: int = 8
    n_random: int = 50

    def check(self) -> None:
        """Raise InputError if there is no such cell, or too few around it."""
        if not 0 <= self.cell < self.section.n_obs:
            raise InputError(
                f"There is no cell {self.cell} in a section of {self.section.n_obs}.",
                "Give the index of a cell.",
            )
        if self.k < 1 or self.n_random < 1:
            raise InputError(
                f"k is {self.k} and n_random {self.n_random}.", "Both must be 1 at least."
            )
        if self.section.n_obs < self.k + 3:
            raise InputError(
                f"The section has {self.section.n_obs} cells.",
                f"{self.k + 3} are needed to leave {self.k} of them out.",
            )
        self.section.align(self.model.genes)

    def run(self) -> Generator[Progress, None, Influence]:
        """Yield progress; return the influence of every cell of the context."""
        self.check()
        neighbours, query = context_of(self.section, self.model, self.cell)
        n = len(neighbours)
        clock = Clock("Leaving neighbours out", n + self.n_random + 1)
        whole = query.expression(np.zeros((1, n), bool))[0]
        change = np.empty((n, len(self.model.genes)), np.float32)
        for start in range(0, n, _AT_ONCE):
            part = np.arange(start, min(start + _AT_ONCE, n))
            hidden = np.zeros((len(part), n), bool)
            hidden[np.arange(len(part)), part] = True
            change[part] = whole - query.expression(hidden)
            yield clock.tick(int(part[-1]) + 1)
        influence = np.sqrt(np.square(change / query.spread).mean(1))
        k = min(self.k, n - 1)
        rng = np.random.default_rng(self.seed)
        hidden = np.zeros((1 + self.n_random, n), bool)
        hidden[0, np.argsort(-influence, kind="stable")[:k]] = True
        for row in hidden[1:]:
            row[rng.choice(n, k, replace=False)] = True
        moved = np.concatenate(
            [query.expression(hidden[i : i + _AT_ONCE]) for i in range(0, len(hidden), _AT_ONCE)]
        )
        moved = np.sqrt(np.square((whole - moved) / query.spread).mean(1))
        yield clock.tick(clock.total)
        return Influence(
            self.cell,
            neighbours,
            np.linalg.norm(
                self.section.coords_um[neighbours] - self.section.coords_um[self.cell], axis=1
            ),
            influence,
            change,
            whole,
            float(moved[0]),
            moved[1:],
        )


@dataclass(frozen=True, eq=False)
class Influence:
    """How much each neighbour drove the prediction of a cell.

    Attributes
    ----------
    cell
        Index of the cell in the section.
    neighbours
        (n,) index of the cells of its context, far ones first.
    distance_um
        (n,) their distance.
    influence
        (n,) root mean square over genes, in spreads, of what leaving the cell out changes.
    change
        (n, G) prediction with the cell less prediction without it, model space.
    expression
        (G,) the prediction from all neighbours.
    top_k, random_k
        What removing the k most influential neighbours at once changes, and (n_random,) what
        removing k random ones does.
    """

    cell: int
    neighbours: NDArray[np.int64]
    distance_um: NDArray[np.float64]
    influence: NDArray[np.float32]
    change: NDArray[np.float32]
    expression: NDArray[np.float32]
    top_k: float
    random_k: NDArray[np.float32]

    @property
    def fidelity_p(self) -> float:
        """Share of random removals that change the prediction as much as the top k do."""
        at_least = int((self.random_k >= self.top_k).sum())
        return (1 + at_least) / (1 + len(self.random_k))


@dataclass(frozen=True, eq=False)
class Query:
    """One position and its encoded context."""

    model: GeST
    context: Context
    xy: Tensor

    @property
    def spread(self) -> NDArray[np.float32]:
        """(G,) spread of each gene over the vocabulary."""
        spread = self.model.tokenizer.c_expr.std(0)
        return np.maximum(spread, 0.05 * spread.max() + 1e-9)

    @torch.inference_mode()
    def expression(self, hidden: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return (m, G): the prediction with the cells of each row of ``hidden`` (m, n) hidden."""
        network = self.model.network
        mask = torch.zeros(hidden.shape).masked_fill(torch.from_numpy(hidden), float("-inf"))
        mask = mask[None, None]
        xy = self.xy.expand(1, len(hidden), 2)
        state = network.ask(self.context, xy, mask=mask)
        logits = network.logits(state, self.context, xy, mask=mask)[0]
        profiles = torch.from_numpy(self.model.tokenizer.c_expr)
        result: NDArray[np.float32] = (logits.softmax(-1) @ profiles).numpy()
        return result


@torch.inference_mode()
def context_of(section: Section, model: GeST, cell: int) -> tuple[NDArray[np.int64], Query]:
    """Return the cells of a cell's context, far ones first, and its encoded query."""
    n = model.config.window_cells
    centre = section.coords_um[cell]
    tree = cKDTree(section.coords_um)
    near = tree.query(centre, k=min(reach(n) + 1, tree.n))[1]
    near = near[near != cell]
    rank, mass = thin(len(near), n)
    chosen = near[rank][::-1].astype(np.int64)
    values, measured = model_space(section, model, chosen)
    token = torch.from_numpy(model.tokenizer.tokens(values, measured).astype(np.int64))
    context = model.network.encode(
        model.network.table(),
        F.one_hot(token, model.tokenizer.n_meta_cells).float()[None],
        model.positions(section.coords_um[chosen], centre)[None],
        mass=torch.from_numpy(mass[::-1].copy())[None],
    )
    return chosen, Query(model, context, model.positions(centre[None], centre)[None])


def influence(
    section: Section,
    model: GeST,
    cell: int,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    seed: int = 0,
    k: int = 8,
    n_random: int = 50,
) -> Influence:
    """Return which measured neighbours drove the prediction of a cell (``InfluenceRequest``)."""
    return finish(InfluenceRequest(section, model, cell, seed, k, n_random).run(), on_progress)
