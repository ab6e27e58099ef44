"""Learned baselines: a Gaussian process per component and two small networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from torch import Tensor, nn

from benchmarks.common.holes import Case, Hole, draw_holes
from benchmarks.common.metrics import accuracy
from benchmarks.generation.baselines import (
    Coords,
    PointBaseline,
    Values,
    _weighted,
    choose,
    spacing,
    validation_score,
)

_NOISE_RATIOS = np.logspace(-1, 3, 13)  # noise variance over signal variance


class SparseGP(PointBaseline):
    """A Gaussian process on each principal component, through inducing points.

    The components come from the known cells near the hole. Length and noise of each component
    maximise its evidence there; the number of components and the kernel are tuned on validation.
    """

    name = "sparse GP per PC"
    grid = tuple((p, s) for p in (20, 40, 80) for s in (0.5, 1.5))
    lengths = (4.0, 8.0, 16.0, 32.0)  # in cell spacings
    n_inducing = 400
    reach = 25.0  # cell spacings from the hole; farther cells only cost time

    def __init__(self, n_pcs: int = 20, smoothness: float = 0.5) -> None:
        self.n_pcs, self.smoothness = n_pcs, smoothness

    def fit(self, validation: Sequence[Case]) -> SparseGP:
        best, _ = choose((SparseGP(*setting) for setting in self.grid), _spread(validation, 6))
        self.n_pcs, self.smoothness = best.n_pcs, best.smoothness
        self.setting = f"{self.n_pcs} PCs, Matern {self.smoothness:g}"
        return self

    def predict(self, known_coords: Coords, known_values: Values, hole_coords: Coords) -> Values:
        unit = spacing(known_coords)
        near = cKDTree(hole_coords).query(known_coords)[0] <= self.reach * unit
        coords, values = known_coords[near], known_values[near].astype(np.float64)
        mean = values.mean(axis=0)
        axes = np.linalg.eigh(np.cov((values - mean).T))[1][:, ::-1][:, : self.n_pcs]
        scores = (values - mean) @ axes
        # Every n-th cell along a space-filling curve would also work; a seeded draw is simpler.
        rng = np.random.default_rng(0)
        inducing = coords[rng.permutation(len(coords))[: self.n_inducing]]
        fits = [
            self._posterior(coords, scores, inducing, hole_coords, length * unit)
            for length in self.lengths
        ]
        best = np.argmax([evidence for _, evidence in fits], axis=0)  # (p,) a length for each
        picked = np.stack([m for m, _ in fits])[best, :, np.arange(len(best))].T
        return (picked @ axes.T + mean).astype(np.float32)

    def _posterior(
        self, coords: Coords, scores: NDArray, inducing: Coords, at: Coords, length: float
    ) -> tuple[NDArray, NDArray]:
        """Return (m, p) posterior means and (p,) log evidence, at the best noise of each.

        With ``Phi = K_nm L^-T`` the process is ridge regression on Phi; one eigendecomposition
        of ``Phi^T Phi`` then serves every noise ratio and every component.
        """
        n, m = len(coords), len(inducing)
        lower = np.linalg.cholesky(self._kernel(inducing, inducing, length) + 1e-6 * np.eye(m))

        def features(x: Coords) -> NDArray:
            return solve_triangular(lower, self._kernel(inducing, x, length), lower=True).T

        phi = features(coords)
        values, vectors = np.linalg.eigh(phi.T @ phi)
        values = np.maximum(values, 0)
        projected = vectors.T @ (phi.T @ scores)  # (m, p)
        total = (scores**2).sum(axis=0)
        ratio = _NOISE_RATIOS[:, None, None]
        fitted = (projected**2 / (values[:, None] + ratio)).sum(axis=1)  # (r, p)
        logdet = np.log1p(values / _NOISE_RATIOS[:, None]).sum(axis=1)[:, None]
        # The signal variance has a closed form, so only the ratio is searched.
        signal = (total - fitted) / _NOISE_RATIOS[:, None] / n
        evidence = -0.5 * (n * np.log(signal * _NOISE_RATIOS[:, None]) + logdet)
        best = evidence.argmax(axis=0)
        weights = vectors @ (projected / (values[:, None] + _NOISE_RATIOS[best]))
        return features(at) @ weights, evidence[best, np.arange(len(best))]

    def _kernel(self, a: Coords, b: Coords, length: float) -> NDArray:
        r = cdist(a, b) / length
        if self.smoothness == 0.5:
            return np.exp(-r)
        return (1 + np.sqrt(3) * r) * np.exp(-np.sqrt(3) * r)


class CoordinateMLP(PointBaseline):
    """A network from Fourier features of (x, y) to expression, fitted to the known cells."""

    name = "coordinate MLP"
    lengths = (40.0, 80.0)  # in cell spacings
    epochs = (25, 50)
    n_features = 64
    reach = 60.0  # cell spacings from the hole, which limits the cost on large sections

    def __init__(self, length: float = 40.0, stop: int = 50, seed: int = 0) -> None:
        self.length, self.stop, self.seed = length, stop, seed

    def fit(self, validation: Sequence[Case]) -> CoordinateMLP:
        # One training per length includes every smaller number of epochs.
        scores: dict[tuple[float, int], list[float]] = {}
        for case in _spread(validation, 4):
            for length in self.lengths:
                known = case.known_coords, case.known_values, case.hole_coords
                for stop, prediction in self._train(*known, length, self.epochs):
                    score = accuracy(case.truth, prediction, case.svg)["rmse_z_svg"]
                    scores.setdefault((length, stop), []).append(score)
        self.length, self.stop = min(scores, key=lambda setting: np.mean(scores[setting]))
        self.setting = f"length {self.length:g} spacings, {self.stop} epochs"
        return self

    def predict(self, known_coords: Coords, known_values: Values, hole_coords: Coords) -> Values:
        steps = self._train(known_coords, known_values, hole_coords, self.length, (self.stop,))
        return next(steps)[1]

    def _train(
        self, known: Coords, values: Values, at: Coords, length: float, stops: Sequence[int]
    ) -> Iterator[tuple[int, Values]]:
        """Yield each number of epochs in ``stops`` and the (m, G) prediction after it."""
        unit = spacing(known)
        near = cKDTree(at).query(known)[0] <= self.reach * unit
        known, values = known[near], values[near]
        rng = np.random.default_rng(self.seed)
        waves = rng.normal(size=(2, self.n_features)) / (length * unit)
        origin = known.mean(axis=0)

        def features(coords: Coords) -> Values:
            phase = (coords - origin) @ waves
            return np.concatenate([np.sin(phase), np.cos(phase)], axis=1).astype(np.float32)

        scaler = _Scaler(values)
        net = _network(2 * self.n_features, values.shape[1], self.seed)
        x, y = torch.from_numpy(features(known)), scaler(values)
        for epoch in range(1, max(stops) + 1):
            _epoch(net, x, y)
            if epoch in stops:
                yield epoch, scaler.undo(_apply(net, features(at)))


class NeighborMLP(PointBaseline):
    """A network from the surroundings of a cell to a correction of its inverse-distance mean.

    Features: that mean and plain means of the nearest known cells at several k, in principal
    components, and the distances to them. Trained in simulated holes of the training sections,
    outside the validation holes, which only decide when training stops.
    """

    name = "neighbour-feature MLP"
    ks = (1, 5, 20, 60, 150, 500)
    n_pcs = 40
    rounds = 12  # of simulated holes; an epoch of training and a validation after each

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, validation: Sequence[Case]) -> NeighborMLP:
        cells = training_cells(validation)
        known = np.concatenate([values for _, values in cells.values()])
        self.scaler = _Scaler(known)
        self.axes = components(self.scaler(known).numpy(), self.n_pcs)
        own = {case.section: case for case in reversed(validation)}  # the first of each section
        self.unit = float(np.median([spacing(case.known_coords) for case in own.values()]))
        self.net = _network(
            len(self.ks) * (self.axes.shape[1] + 1) + self.axes.shape[1], known.shape[1], self.seed
        )
        nn.init.zeros_(self.net[-1].weight)  # starts as the inverse-distance mean
        best, state = np.inf, None
        stop_on = _spread(validation, 8)
        for round_ in range(self.rounds):
            examples = [
                self._example(*each)
                for each in practice_holes(validation, cells, [self.seed, round_])
            ]
            x, y = (np.concatenate(part) for part in zip(*examples, strict=True))
            _epoch(self.net, torch.from_numpy(x), torch.from_numpy(y))
            score = validation_score(self, stop_on)
            if score < best:
                best, at = score, round_ + 1
                state = {k: v.clone() for k, v in self.net.state_dict().items()}
        self.net.load_state_dict(state)
        self.setting = f"{at} epochs"
        return self

    def _example(self, coords: Coords, values: Values, hole: Hole) -> tuple[Values, Values]:
        """Return features and residuals of the cells in one hole of a training section."""
        truth = self.scaler(values[hole.mask]).numpy()
        x, base = self._features(coords[hole.known], values[hole.known], coords[hole.mask])
        return x, truth - base

    def _features(self, known: Coords, values: Values, at: Coords) -> tuple[Values, Values]:
        """Return (m, F) features and the (m, G) scaled mean that is corrected."""
        scaled = self.scaler(values).numpy()
        scores = scaled @ self.axes
        k_max = min(max(self.ks), len(known))
        distance, nearest = cKDTree(known).query(at, k_max)
        columns = []
        for k in self.ks:
            k = min(k, k_max)
            columns.append(scores[nearest[:, :k]].mean(axis=1))
            columns.append(np.log(distance[:, k - 1 : k] / self.unit + 1))
        base = _weighted(np.maximum(distance, 1e-3) ** -2.0, nearest, scaled)
        columns.append(base @ self.axes)
        return np.concatenate(columns, axis=1).astype(np.float32), base

    def predict(self, known_coords: Coords, known_values: Values, hole_coords: Coords) -> Values:
        x, base = self._features(known_coords, known_values, hole_coords)
        return self.scaler.undo(_apply(self.net, x) + torch.from_numpy(base))


def training_cells(validation: Sequence[Case]) -> dict[str, tuple[Coords, Values]]:
    """Return, by section, positions and values of the cells outside every validation hole."""
    sections: dict[str, list[Case]] = {}
    for case in validation:
        sections.setdefault(case.section, []).append(case)
    cells = {}
    for name, own in sections.items():
        seen = np.logical_and.reduce([case.hole.known for case in own])
        cells[name] = own[0].coords_um[seen], own[0].values[seen]
    return cells


def practice_holes(
    validation: Sequence[Case], cells: dict[str, tuple[Coords, Values]], seed: Sequence[int]
) -> Iterator[tuple[Coords, Values, Hole]]:
    """Yield fresh holes in the training cells, with positions and values of their section."""
    smallest = {case.section: case.hole.radius_um for case in reversed(validation)}
    for name, (coords, values) in cells.items():
        radii = (smallest[name],) * 2 + (100.0, 150.0, 200.0, 300.0)
        for hole in draw_holes(coords, radii, [*seed, len(coords)]):
            yield coords, values, hole


def components(scaled: Values, n_pcs: int) -> Values:
    """Return (G, p) leading principal axes of (n, G) scaled values."""
    return np.linalg.eigh(np.cov(scaled.T))[1][:, ::-1][:, :n_pcs].astype(np.float32)


class _Scaler:
    """Genes to zero mean and unit variance, and back."""

    def __init__(self, values: Values) -> None:
        self.mean = torch.from_numpy(values.mean(axis=0))
        self.sd = torch.from_numpy(values.std(axis=0)).clamp_min(1e-3)

    def __call__(self, values: Values) -> Tensor:
        return (torch.from_numpy(values) - self.mean) / self.sd

    def undo(self, scaled: Tensor) -> Values:
        return (scaled * self.sd + self.mean).numpy()


def _network(n_in: int, n_out: int, seed: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(n_in, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, n_out)
        )


def _epoch(net: nn.Sequential, x: Tensor, y: Tensor, batch: int = 256) -> None:
    """Pass once over the examples with AdamW, in an order that depends on the network's age."""
    if not hasattr(net, "optimizer"):
        net.optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2, fused=True)
        net.order = torch.Generator().manual_seed(0)
    for part in torch.randperm(len(x), generator=net.order).split(batch):
        net.optimizer.zero_grad()
        nn.functional.mse_loss(net(x[part]), y[part]).backward()
        net.optimizer.step()


@torch.no_grad()
def _apply(net: nn.Sequential, features: Values) -> Tensor:
    return net(torch.from_numpy(features))


def _spread(validation: Sequence[Case], n: int) -> list[Case]:
    """Return about ``n`` cases spread over sections and radii, for tuning slow baselines.

    A stride without a common factor with the number of radii reaches all radii.
    """
    step = max(1, len(validation) // n)
    while step > 1 and np.gcd(step, 5) > 1:
        step -= 1
    return list(validation[::step][:n])


def trained_baselines(seed: int = 0) -> list[PointBaseline]:
    """Return the learned baselines."""
    return [SparseGP(), CoordinateMLP(seed=seed), NeighborMLP(seed=seed)]
