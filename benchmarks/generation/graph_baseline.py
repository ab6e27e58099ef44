"""A message-passing baseline: a small graph network over a hole and the cells around it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor, nn

from benchmarks.common.holes import Case
from benchmarks.common.metrics import accuracy
from benchmarks.generation.baselines import Coords, PointBaseline, Values, _weighted, spacing
from benchmarks.generation.learned_baselines import (
    _Scaler,
    _spread,
    components,
    practice_holes,
    training_cells,
)


@dataclass(frozen=True, eq=False)
class Graph:
    """Masked cells and the known cells around them; masked cells come first.

    Attributes
    ----------
    nodes
        (n, p + 2) principal components, whether it is masked, log distance to a known cell.
    neighbors
        (n, k) int64 rows of ``nodes`` from which a node receives messages.
    edges
        (n, k, 4) direction (x, y), log distance in cell spacings, whether the neighbour is masked.
    base
        (m, G) inverse-distance means of the masked cells, scaled, which the network corrects.
    """

    nodes: Tensor
    neighbors: Tensor
    edges: Tensor
    base: Tensor

    def turned(self, rng: np.random.Generator) -> Graph:
        """Return the graph rotated at random, and reflected half of the time."""
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turn[0] *= rng.choice((-1, 1))
        edges = self.edges.clone()
        edges[..., :2] = edges[..., :2] @ torch.from_numpy(turn.astype(np.float32))
        return Graph(self.nodes, self.neighbors, edges, self.base)


class GraphImputer(PointBaseline):
    """Messages over the spatial kNN graph, from known cells and among masked ones.

    A node starts from its expression in principal components, a masked one from its
    inverse-distance mean. It receives messages from its nearest cells, which show the arrangement
    of cells, and from its nearest known cells, so that a few layers reach the centre of a hole. It
    is trained by masking holes in the training sections, outside the validation holes, which decide
    when training stops.
    """

    name = "graph network"
    n_layers = 3
    n_pcs = 40
    n_near, n_near_known = 8, 16  # neighbours of a node: of all cells, of the known ones
    reach = 60  # nearest known cells of each masked one are in its graph
    draws = 6  # of practice holes, used in turn
    rounds, patience = 60, 12  # a draw and a validation each

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, validation: Sequence[Case]) -> GraphImputer:
        cells = training_cells(validation)
        known = np.concatenate([values for _, values in cells.values()])
        self.scaler = _Scaler(known)
        self.axes = components(self.scaler(known).numpy(), self.n_pcs)
        practice = [
            [
                (
                    self._graph(coords[hole.known], values[hole.known], coords[hole.mask]),
                    self.scaler(values[hole.mask]),
                )
                for coords, values, hole in practice_holes(validation, cells, [self.seed, draw])
            ]
            for draw in range(self.draws)
        ]
        stop_on = [
            (self._graph(c.known_coords, c.known_values, c.hole_coords), c)
            for c in _spread(validation, 8)
        ]
        self._train(practice, stop_on)
        return self

    def _train(
        self,
        practice: Sequence[Sequence[tuple[Graph, Tensor]]],
        stop_on: Sequence[tuple[Graph, Case]],
    ) -> None:
        """Train until the validation score stops falling; keep the best network."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            net = _Network(self.axes.shape[1], self.axes.shape[0], self.n_layers)
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2, fused=True)
        # A step sees one hole, so the weights are noisy; their running mean is used.
        mean = copy.deepcopy(net)
        rng = np.random.default_rng(self.seed)
        best, stale = np.inf, 0
        for round_ in range(self.rounds):
            holes = practice[round_ % len(practice)]
            for i in rng.permutation(len(holes)):
                graph, truth = holes[i]
                optimizer.zero_grad()
                answer = graph.base + net(graph.turned(rng))
                nn.functional.mse_loss(answer, truth, reduction="sum").backward()
                optimizer.step()
                with torch.no_grad():
                    for kept, new in zip(mean.parameters(), net.parameters(), strict=True):
                        kept.lerp_(new, 0.03)
            score = self._score(mean, stop_on)
            stale += 1
            if score < best:
                best, stale = score, 0
                self.net, self.setting = copy.deepcopy(mean), f"{round_ + 1} rounds"
            if stale == self.patience:
                break

    def _score(self, net: nn.Module, cases: Sequence[tuple[Graph, Case]]) -> float:
        """Return mean SVG ``rmse_z``, as `validation_score` does, of graphs made before."""
        scores = [accuracy(c.truth, self._answer(net, g), c.svg)["rmse_z_svg"] for g, c in cases]
        return float(np.mean(scores))

    @torch.no_grad()
    def _answer(self, net: nn.Module, graph: Graph) -> Values:
        return self.scaler.undo(graph.base + net(graph))

    def _graph(self, known: Coords, values: Values, at: Coords) -> Graph:
        scaled, unit, m = self.scaler(values).numpy(), spacing(known), len(at)
        distance, nearest = cKDTree(known).query(at, min(500, len(known)))
        base = _weighted(np.maximum(distance, 1e-3) ** -2.0, nearest, scaled)
        near = np.unique(nearest[:, : self.reach])
        coords = np.concatenate([at, known[near]])
        neighbors = np.concatenate(
            [
                _nearest(coords, coords, self.n_near, np.arange(len(coords))),
                _nearest(coords, coords[m:], self.n_near_known, np.arange(len(coords)) - m) + m,
            ],
            axis=1,
        )
        offset = (coords[neighbors] - coords[:, None]) / unit
        length = np.linalg.norm(offset, axis=2, keepdims=True)
        edges = [offset / (1 + length), np.log1p(length), (neighbors < m)[..., None]]
        nodes = np.zeros((len(coords), self.axes.shape[1] + 2), np.float32)
        nodes[:, :-2] = np.concatenate([base, scaled[near]]) @ self.axes
        nodes[:m, -2], nodes[:m, -1] = 1, np.log1p(distance[:, 0] / unit)
        return Graph(
            torch.from_numpy(nodes),
            torch.from_numpy(neighbors),
            torch.from_numpy(np.concatenate(edges, axis=2).astype(np.float32)),
            torch.from_numpy(base),
        )

    def predict(self, known_coords: Coords, known_values: Values, hole_coords: Coords) -> Values:
        return self._answer(self.net, self._graph(known_coords, known_values, hole_coords))


def _nearest(at: Coords, among: Coords, k: int, own: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (n, k) rows of ``among`` nearest to each of ``at``, its ``own`` row left out."""
    k = min(k, len(among) - 1)
    found = cKDTree(among).query(at, k + 1)[1]
    # A stable sort puts its own row last and keeps the others by distance.
    others = np.argsort(found == own[:, None], axis=1, kind="stable")[:, :k]
    return np.take_along_axis(found, others, axis=1).astype(np.int64)


class _Layer(nn.Module):
    """Attention of a node over its neighbours, by their features and positions."""

    n_heads = 4

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.own, self.sent = nn.Linear(width, width), nn.Linear(width, width)
        self.edge = nn.Sequential(nn.Linear(4, 32), nn.GELU(), nn.Linear(32, width))
        self.weigh = nn.Linear(width, self.n_heads)
        self.out = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, hidden: Tensor, graph: Graph) -> Tensor:
        x = self.norm(hidden)
        n, k = graph.neighbors.shape
        # Unlike indexing, index_select adds its gradients in one order with any number of threads.
        sent = self.sent(x).index_select(0, graph.neighbors.flatten()).view(n, k, -1)
        messages = nn.functional.gelu(sent + self.edge(graph.edges) + self.own(x)[:, None])
        weights = self.weigh(messages).softmax(dim=1)
        heads = messages.view(n, k, self.n_heads, -1) * weights[..., None]
        heard = heads.sum(dim=1).view(n, -1)
        return hidden + self.out(torch.cat([x, heard], dim=1))


class _Network(nn.Module):
    """Layers of messages between reading components and writing scaled genes."""

    def __init__(self, n_pcs: int, n_genes: int, n_layers: int, width: int = 64) -> None:
        super().__init__()
        self.read = nn.Linear(n_pcs + 2, width)
        self.layers = nn.ModuleList(_Layer(width) for _ in range(n_layers))
        self.write = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, n_genes))
        nn.init.zeros_(self.write[1].weight)  # starts as the inverse-distance mean
        nn.init.zeros_(self.write[1].bias)

    def forward(self, graph: Graph) -> Tensor:
        hidden = self.read(graph.nodes)
        for layer in self.layers:
            hidden = layer(hidden, graph)
        return self.write(hidden[: len(graph.base)])
