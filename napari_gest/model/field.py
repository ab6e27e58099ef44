"""A section's field: expression as a smooth function of place and of how cells are arranged.

The decoder sees a window and knows what it learned from other sections. What is particular to
this section, its large-scale anatomy, is learned here from its own known cells in a second or so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

# Each network has waves of its own length, in distances between neighbouring cells: the first
# follows the anatomy, the second its broad outlines. Their mean is better than either.
LENGTHS = (40.0, 80.0)
N_STEPS = 400  # of each network
FEWEST = 64  # cells a field can be fitted to
_N_WAVES, _WIDTH, _BATCH = 64, 128, 256
_N_PCS = 128  # so that the cost does not grow with the panel
_RATE, _DECAY = 2e-3, 1e-2
# Geometry enters small beside the waves: at its full spread it lets a network tell single cells
# apart, and a small section is learned by heart.
_GEOMETRY = 0.3


class SectionField:
    """Two small networks from (x, y) and geometry to expression.

    Parameters
    ----------
    coords_um
        (n, 2) positions of known cells, um.
    geometry
        (n, F) how the cells around each are arranged, z-scores.
    values
        (n, G) their expression, model space.
    spacing_um
        Typical distance between neighbouring cells.
    seed
        Of the waves, the weights and the batches.
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
        scaled = (values - self.mean) / self.sd
        n_pcs = min(_N_PCS, *values.shape)
        from sklearn.decomposition import PCA

        self.pca = PCA(n_pcs, random_state=seed).fit(scaled)
        self.waves = [rng.normal(size=(2, _N_WAVES)) / length for length in LENGTHS]
        self.inputs = self._inputs(coords_um, geometry)
        self.targets = torch.from_numpy(self.pca.transform(scaled).astype(np.float32))
        self.batches = torch.Generator().manual_seed(seed)
        width = self.inputs[0].shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.networks = [_network(width, n_pcs) for _ in LENGTHS]

    def fit(self) -> Iterator[float]:
        """Fit the networks; yields the share that is done, every few steps."""
        for i, (network, x) in enumerate(zip(self.networks, self.inputs, strict=True)):
            optimizer = torch.optim.AdamW(
                network.parameters(), lr=_RATE, weight_decay=_DECAY, fused=True
            )
            for step in range(N_STEPS):
                for group in optimizer.param_groups:
                    group["lr"] = _RATE * 0.5 * (1 + math.cos(math.pi * step / N_STEPS))
                part = torch.randint(len(x), (_BATCH,), generator=self.batches)
                with torch.enable_grad():  # a generator resumes under its caller's grad mode
                    optimizer.zero_grad()
                    nn.functional.mse_loss(network(x[part]), self.targets[part]).backward()
                    optimizer.step()
                if step % 20 == 19:
                    yield (i + (step + 1) / N_STEPS) / len(LENGTHS)

    @torch.no_grad()
    def predict(
        self, coords_um: NDArray[np.float64], geometry: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return (m, G) model space at positions (m, 2) um with geometry (m, F)."""
        inputs = self._inputs(coords_um, geometry)
        made = [network(x) for network, x in zip(self.networks, inputs, strict=True)]
        scaled = self.pca.inverse_transform(torch.stack(made).mean(0).numpy())
        return (scaled * self.sd + self.mean).astype(np.float32)

    def _inputs(
        self, coords_um: NDArray[np.float64], geometry: NDArray[np.float32]
    ) -> list[Tensor]:
        place = (coords_um - self.origin) / self.spacing
        phases = [place @ waves for waves in self.waves]
        parts = [[np.sin(phase), np.cos(phase), _GEOMETRY * geometry] for phase in phases]
        return [torch.from_numpy(np.concatenate(p, 1).astype(np.float32)) for p in parts]


def _network(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_in, _WIDTH),
        nn.GELU(),
        nn.Linear(_WIDTH, _WIDTH),
        nn.GELU(),
        nn.Linear(_WIDTH, n_out),
    )
