"""Influence: which measured neighbours drove the prediction of a cell."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_gest.errors import InputError
from napari_gest.limits import check_number
from napari_gest.model.decoder import Context
from napari_gest.model.devices import Device, check_device
from napari_gest.model.gest import GeST
from napari_gest.seeds import check_seed
from napari_gest.tasks.finite import require_finite
from napari_gest.tasks.perturbation.neighborhood_context import Around
from napari_gest.tasks.progress import Clock, Progress, finish
from napari_gest.tissue.pool import Pool
from napari_gest.tissue.section import Section

_AT_ONCE = 64  # cells left out in one pass of the query

_MOST_RANDOM = 100_000  # draws: their predictions are all kept


@dataclass(frozen=True, eq=False)
class InfluenceRequest:
    """Leave each neighbour of one cell out in turn and see the prediction change.

    The context is encoded once, as in generation: near cells one by one, far ones in groups. To
    leave an item of it out hides it from the query row, in every layer and in the local prior,
    exactly as if its keys and values had never been there. What other items had read from it
    stays in their values: it is the item's direct share. The cells of a group share its influence.

    Attributes
    ----------
    section, model
        The tissue and the model.
    cell
        Index of the cell in the section; its own expression is never read.
    seed
        Of the random removals of the fidelity test.
    k
        Near cells removed together in the fidelity test.
    n_random
        Random removals it is compared with.
    around
        The section as the model reads it, kept from an earlier request to save time.
    device
        As in ``GenerateRequest``; that of ``around`` where it is given.
    """

    section: Section
    model: GeST
    cell: int
    seed: int = 0
    k: int = 8
    n_random: int = 50
    around: Around | None = None
    device: Device = "auto"

    def check(self) -> None:
        """Raise InputError if there is no such cell, or too few around it."""
        check_number("cell", self.cell, 0, self.section.n_obs - 1, whole=True)
        check_seed(self.seed)
        check_number("k", self.k, 1, whole=True)
        check_number("n_random", self.n_random, 1, _MOST_RANDOM, whole=True)
        check_device(self.device)
        if self.section.n_obs < self.k + 3:
            raise InputError(
                f"k is {self.k}, and the section has {self.section.n_obs} cells.",
                f"{self.k + 3} are needed to leave {self.k} of them out: lower k.",
            )
        self.section.align(self.model.genes)

    def run(self) -> Generator[Progress, None, Influence]:
        """Yield progress; return the influence of every cell of the context."""
        self.check()
        around = self.around or Around(self.section, self.model, self.device)
        neighbours, pool, query = context_of(around, self.cell)
        n = len(pool.mass)
        clock = Clock("Leaving neighbours out", n + self.n_random + 1)
        whole = query.expression(np.zeros((1, n), bool))[0]
        change = np.empty((n, len(self.model.genes)), np.float32)
        for start in range(0, n, _AT_ONCE):
            part = np.arange(start, min(start + _AT_ONCE, n))
            hidden = np.zeros((len(part), n), bool)
            hidden[np.arange(len(part)), part] = True
            change[part] = whole - query.expression(hidden)
            yield clock.tick(int(part[-1]) + 1)
        influence = query.size(change)
        near = np.flatnonzero(pool.mass == 1)
        k = min(self.k, len(near) - 1)
        rng = np.random.default_rng(self.seed)
        hidden = np.zeros((1 + self.n_random, n), bool)
        hidden[0, near[np.argsort(-influence[near], kind="stable")[:k]]] = True
        for row in hidden[1:]:
            row[rng.choice(near, k, replace=False)] = True
        moved = np.concatenate(
            [query.expression(hidden[i : i + _AT_ONCE]) for i in range(0, len(hidden), _AT_ONCE)]
        )
        moved = query.size(whole - moved)
        require_finite(
            "The influence", expression=whole, change=change, influence=influence, removals=moved
        )
        yield clock.tick(clock.total)
        coords = self.section.coords_um
        return Influence(
            self.cell,
            neighbours,
            np.linalg.norm(coords[neighbours] - coords[self.cell], axis=1),
            (influence / pool.mass)[pool.group],
            pool.group,
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
        (n,) index of the cells of its context, near ones first.
    distance_um
        (n,) their distance.
    influence
        (n,) root mean square over genes, in spreads, of what leaving the cell out changes; of a
        group, each cell's share.
    item
        (n,) which of the m items of the context each cell is in.
    change
        (m, G) prediction with the item less prediction without it, model space.
    expression
        (G,) the prediction from all neighbours.
    top_k, random_k
        What removing the k most influential near cells at once changes, and (n_random,) what
        removing k random near cells does.
    """

    cell: int
    neighbours: NDArray[np.int64]
    distance_um: NDArray[np.float64]
    influence: NDArray[np.float32]
    item: NDArray[np.int64]
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
    """One position, its geometry (1, n_geometry), and its encoded context."""

    model: GeST
    context: Context
    xy: Tensor
    geometry: Tensor

    def size(self, change: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (m,) root mean square over genes of changes (m, G), in spreads."""
        scaled = change / self.model.tokenizer.spread
        return np.sqrt(np.square(scaled).mean(1)).astype(np.float32)

    @torch.inference_mode()
    def expression(self, hidden: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return (m, G): the prediction with the items of each row of ``hidden`` (m, n) hidden."""
        network = self.model.network
        mask = torch.zeros(hidden.shape).masked_fill(torch.from_numpy(hidden), float("-inf"))
        mask = mask[None, None].to(self.model.device)
        xy = self.xy.expand(1, len(hidden), 2)
        geometry = self.geometry.expand(len(hidden), -1)
        state = network.ask(self.context, xy, geometry=geometry, mask=mask)
        logits = network.logits(state, self.context, xy, mask=mask)[0]
        profiles = torch.from_numpy(self.model.tokenizer.c_expr)
        result: NDArray[np.float32] = (logits.softmax(-1).cpu() @ profiles).numpy()
        return result


def context_of(around: Around, cell: int) -> tuple[NDArray[np.int64], Pool, Query]:
    """Return the cells of a cell's context, near ones first, their pool, and its encoded query."""
    this, centre = np.array([cell]), around.section.coords_um[cell]
    neighbours, pool, context = around.context(centre, this)
    xy, geometry = around.query(this, centre)
    return neighbours, pool, Query(around.model, context, xy, geometry)


def influence(
    section: Section,
    model: GeST,
    cell: int,
    *,
    seed: int = 0,
    k: int = 8,
    n_random: int = 50,
    around: Around | None = None,
    device: Device = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> Influence:
    """Return which measured neighbours drove the prediction of a cell.

    Parameters
    ----------
    section, model, cell, seed, k, n_random, around, device
        As in ``InfluenceRequest``.
    on_progress
        Called after every few removals.

    Raises
    ------
    InputError
        If there is no such cell, or there are too few around it.
    """
    request = InfluenceRequest(section, model, cell, seed, k, n_random, around, device)
    return finish(request.run(), on_progress)
