"""From logits to cells: pick, weighted and sample read-outs, entropy and spread (Sec. 4.4)."""

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
        (n,) int64: the arg max, or the meta cell drawn in mode ``sample``.
    """

    expression: Tensor
    sd: Tensor
    entropy: Tensor
    meta_cell: Tensor


def draw(
    probability: Tensor, mode: Mode, generator: torch.Generator | None, top_k: int | None = None
) -> Tensor:
    """Return (n,) int64: the most probable meta cell, or in mode ``sample`` a drawn one.

    Parameters
    ----------
    probability
        (n, K), rows sum to 1.
    mode
        ``sample`` draws; the others take the arg max.
    generator
        Needed in mode ``sample``.
    top_k
        Draw among the most probable ones only.
    """
    if mode != "sample":
        return probability.argmax(-1)
    if top_k is not None and top_k < probability.shape[-1]:
        floor = probability.topk(top_k, -1).values[:, -1:]
        probability = probability.masked_fill(probability < floor, 0.0)
    return torch.multinomial(probability, 1, generator=generator)[:, 0]


def read_out(
    probability: Tensor, meta_cell: Tensor, mode: Mode, mean: Tensor, variance: Tensor
) -> Readout:
    """Return expression, spread and entropy of n predictions.

    Parameters
    ----------
    probability
        (n, K) p(meta cell), rows sum to 1.
    meta_cell
        (n,) what ``draw`` chose.
    mode
        ``weighted`` takes the mean over p; ``pick`` and ``sample`` the chosen meta cell's profile.
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
