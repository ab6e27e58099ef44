"""How a base reads a vocabulary: by its principal axes.

The profile of a meta cell, in genes scaled to unit variance, becomes ``N_AXES`` coordinates. A
network between such coordinates knows no genes, so one network learns from many panels
(decision 38).
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_gest.model.axes import signed
from napari_gest.model.config import N_AXES, ModelConfig
from napari_gest.model.decoder import Decoder
from napari_gest.model.tokenizer import MetaCellTokenizer

# Power of an axis' share of the variance in its coordinate: 1 keeps distances between profiles, 0
# makes all axes alike. Late axes are mostly noise, and the first must not drown the others.
_EVENNESS = 0.5
_EMPTY = 1e-6  # of the first axis' variance: below, an axis holds rounding alone


def axes_decoder(config: ModelConfig, *, draw: bool) -> Decoder:
    """Return a network between coordinates; ``reading`` gives it a vocabulary."""
    # Weights are drawn for coordinates of this size, which those of every vocabulary have.
    return Decoder(config, torch.ones(1, N_AXES), torch.zeros(1), draw=draw)


def vocabulary_axes(tokenizer: MetaCellTokenizer) -> NDArray[np.float32]:
    """Return (G, N_AXES): standardised profiles times it are a vocabulary's coordinates.

    Axes are the principal ones, each meta cell counted as often as it occurs; squares of all
    coordinates sum to ``N_AXES`` in the mean. Axes that a small panel lacks are 0.
    """
    profiles = tokenizer.centred / tokenizer.spread
    weight = tokenizer.frequency.astype(np.float64) / tokenizer.frequency.sum(dtype=np.float64)
    _, size, axes = np.linalg.svd(np.sqrt(weight)[:, None] * profiles, full_matrices=False)
    size, axes = size[:N_AXES], signed(axes[:N_AXES])
    there = size**2 > _EMPTY * size[0] ** 2
    size, axes = size[there], axes[there]
    wanted = size**_EVENNESS
    wanted *= np.sqrt(N_AXES / np.square(wanted).sum())
    out = np.zeros((axes.shape[1], N_AXES), np.float32)
    out[:, : len(axes)] = (axes * (wanted / size)[:, None]).T
    return out


def coordinates(tokenizer: MetaCellTokenizer) -> Tensor:
    """Return (K, N_AXES) float32: the vocabulary as a base reads it."""
    profiles = (tokenizer.centred / tokenizer.spread).astype(np.float32)
    return torch.from_numpy(profiles @ vocabulary_axes(tokenizer))


def reading(network: Decoder, profiles: Tensor, log_prior: Tensor) -> Decoder:
    """Return a network of the same weights that reads another vocabulary.

    Parameters
    ----------
    network
        The network; training the one trains the other.
    profiles
        (K, N_AXES) coordinates of the vocabulary.
    log_prior
        (K,) log frequency of its meta cells.
    """
    made = copy.copy(network)
    made._buffers = dict(network._buffers)
    made.profiles = profiles
    made.log_prior = log_prior.to(profiles.device)
    return made
