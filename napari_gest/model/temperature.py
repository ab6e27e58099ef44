"""Temperature of p(meta cell), which calibrates a trained decoder.

A decoder that was trained to the lowest error is overconfident. Dividing its logits by one
number corrects that on average (Guo et al. 2017, ICML).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

_LEAST, _MOST = 0.5, 3.0
_FEWEST = 50  # cells from which a temperature is learned, at least


def log_loss(logits: Tensor, target: Tensor, temperature: float) -> float:
    """Return the mean negative log probability of the true meta cells, nats.

    Parameters
    ----------
    logits
        (T, n, K), one set for each symmetry of the window; probabilities are their mean.
    target
        (n,) int64 true meta cells.
    temperature
        Divides the logits.
    """
    probability = (logits / temperature).softmax(-1).mean(0)
    own = probability.gather(-1, target[:, None])[:, 0]
    return -float(own.clamp_min(1e-12).log().mean())


def best_temperature(logits: Sequence[Tensor], target: Sequence[Tensor]) -> float:
    """Return the temperature, 0.5 to 3, with the lowest log loss; 1 for fewer than 50 cells.

    Parameters
    ----------
    logits
        (T, n_i, K) of validation cells, one tensor per batch.
    target
        (n_i,) int64, their true meta cells.
    """
    if sum(len(t) for t in target) < _FEWEST:
        return 1.0

    @torch.inference_mode()
    def loss(log_temperature: float) -> float:
        each = [
            log_loss(z, t, float(np.exp(log_temperature))) * len(t)
            for z, t in zip(logits, target, strict=True)
        ]
        return sum(each) / sum(len(t) for t in target)

    bounds = float(np.log(_LEAST)), float(np.log(_MOST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    return round(float(np.exp(found.x)), 3)
