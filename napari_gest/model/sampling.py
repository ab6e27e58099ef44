"""From p(meta cell) to expression: the paper's read-outs, entropy and deviation (Sec. 4.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Mode = Literal["weighted", "pick", "sample"]
MODES: tuple[Mode, ...] = ("weighted", "pick", "sample")


@dataclass(frozen=True)
class Readout:
    """Generated cells.

    Attributes
    ----------
    expression, sd
        (n, G) float32, model space.
    entropy
        (n,) float32, nats.
    meta_cell
        (n,) int64: the chosen meta cells.
    """

    expression: Tensor
    sd: Tensor
    entropy: Tensor
    meta_cell: Tensor


def read_out(
    probability: Tensor, meta_cell: Tensor, mode: Mode, mean: Tensor, variance: Tensor
) -> Readout:
    """Return expression, standard deviation and entropy of n predictions.

    Parameters
    ----------
    probability
        (n, K) p(meta cell), rows sum to 1.
    meta_cell
        (n,) int64: the chosen meta cells.
    mode
        ``weighted`` takes the mean over p; ``pick`` the chosen meta cell's profile.
    mean, variance
        (K, G) C_expr and V_expr of the vocabulary.

    Returns
    -------
    The standard deviation is that of the predictive mixture,
    ``sqrt(sum_k p_k (V_k + C_k^2) - (sum_k p_k C_k)^2)``, in every mode.
    """
    average = probability @ mean
    second = probability @ (variance + mean.square())
    sd = (second - average.square()).clamp_min(0).sqrt()
    entropy = torch.special.entr(probability).sum(-1)
    return Readout(average if mode == "weighted" else mean[meta_cell], sd, entropy, meta_cell)
