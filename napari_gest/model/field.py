"""A section's field: expression as a smooth function of position and geometry.

The decoder sees one window and learned from other sections. The field learns the large-scale
anatomy of this section from its own known cells, in a few seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from napari_gest.model.axes import approximate_axes, principal_axes
from napari_gest.model.optimizer import AdamW

# One network for each pair: the wavelength in distances between neighbouring cells, and the scale
# of geometry relative to its standard deviation. Long waves follow broad outlines, shorter ones
# the anatomy. Geometry is informative in some tissues; in others a network can identify single
# cells by it and memorise a small section. The mean of the networks is better than any of them.
NETWORKS = ((40.0, 0.0), (40.0, 0.3), (80.0, 0.0), (80.0, 0.3))
N_STEPS = 300
FEWEST = 64  # cells a field can be fitted to
_N_WAVES, _WIDTH, _BATCH = 64, 128, 256
_N_PCS = 128  # so that the cost does not grow with the panel
_EXACT_GENES = 1000  # above, exact components take longer than approximate ones
_RATE, _DECAY = 6e-3, 1e-2
_EMA = 0.99  # per step, of the running mean of the weights, which predicts better than one step


class SectionField:
    """Small networks from (x, y) and geometry to expression, side by side.

    Parameters
    ----------
    coords_um
        (n, 2) positions of known cells, um.
    geometry
        (n, F) geometry of each, z-scores.
    values
        (n, G) their expression, model space.
    spacing_um
        Typical distance between neighbouring cells.
    seed
        Seed of waves, weights and batches; batches are drawn from the cells in their order.
    """

    def __init__(
        self,
        coords_um: NDArray[np.float64],
        geometry: NDArray[np.float32],
        values: NDArray[np.float32],
        spacing_um: float,
        seed: int,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.origin, self.spacing = coords_um.mean(0), spacing_um
        self.mean, self.sd = values.mean(0), np.maximum(values.std(0), 1e-3)
        n, n_genes = values.shape
        scaled = values - self.mean
        scaled /= self.sd
        n_pcs = min(_N_PCS, n - 1, n_genes)  # centred, n cells span n - 1 axes
        if n_genes <= _EXACT_GENES:
            self.centre, self.axes = principal_axes(scaled, n_pcs)
        else:
            self.centre, self.axes = approximate_axes(scaled, n_pcs, seed)
        self.waves = [rng.normal(size=(2, _N_WAVES)) / length for length, _ in NETWORKS]
        self.inputs = self._inputs(coords_um, geometry)
        scaled -= self.centre
        self.targets = torch.from_numpy(scaled @ self.axes.T)
        self.random = torch.Generator().manual_seed(seed)
        self.networks = _Networks(self.inputs.shape[2], n_pcs, self.random)
        self.average = AveragedModel(self.networks, multi_avg_fn=get_ema_multi_avg_fn(_EMA))

    def fit(self) -> Iterator[float]:
        """Fit the networks; yields the finished share every few steps."""
        optimizer = AdamW(self.networks.parameters(), _DECAY)
        for step in range(1, N_STEPS + 1):
            part = torch.randint(len(self.targets), (_BATCH,), generator=self.random)
            with torch.enable_grad():  # a generator resumes under its caller's grad mode
                error = self.networks(self.inputs[:, part]) - self.targets[part]
                error.square().mean((1, 2)).sum().backward()
                optimizer.step(_RATE)
            self.average.update_parameters(self.networks)
            if step % 5 == 0:
                yield step / N_STEPS

    @torch.no_grad()
    def predict(
        self, coords_um: NDArray[np.float64], geometry: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return (m, G) model space at positions (m, 2) um with geometry (m, F)."""
        made = self.average(self._inputs(coords_um, geometry)).mean(0)
        scaled = made.numpy() @ self.axes + self.centre
        return (scaled * self.sd + self.mean).astype(np.float32)

    def _inputs(self, coords_um: NDArray[np.float64], geometry: NDArray[np.float32]) -> Tensor:
        """Return (networks, n, features)."""
        place = (coords_um - self.origin) / self.spacing
        n_features = 2 * _N_WAVES + geometry.shape[1]
        made = np.empty((len(NETWORKS), len(place), n_features), np.float32)
        for part, waves, (_, share) in zip(made, self.waves, NETWORKS, strict=True):
            phase = place @ waves
            part[:, :_N_WAVES], part[:, _N_WAVES : 2 * _N_WAVES] = np.sin(phase), np.cos(phase)
            part[:, 2 * _N_WAVES :] = share * geometry
        return torch.from_numpy(made)


class _Networks(nn.Module):
    """Perceptrons with two hidden layers, computed in one batched product per layer."""

    def __init__(self, n_in: int, n_out: int, random: torch.Generator) -> None:
        super().__init__()
        sizes = (n_in, _WIDTH, _WIDTH, n_out)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in pairwise(sizes):
            bound = 1 / math.sqrt(fan_in)
            for values, rows in ((self.weights, fan_in), (self.biases, 1)):
                drawn = torch.rand(len(NETWORKS), rows, fan_out, generator=random)
                values.append(nn.Parameter((2 * drawn - 1) * bound))

    def forward(self, x: Tensor) -> Tensor:
        """Map (networks, n, in) to (networks, n, out)."""
        first, second, last = zip(self.biases, self.weights, strict=True)
        x = nn.functional.gelu(torch.baddbmm(first[0], x, first[1]))
        x = nn.functional.gelu(torch.baddbmm(second[0], x, second[1]))
        return torch.baddbmm(last[0], x, last[1])
