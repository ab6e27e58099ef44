"""Small random decoders, and windows as training and generation read them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_gest.model.config import ModelConfig
from napari_gest.model.decoder import Decoder
from napari_gest.model.gest import GeST
from napari_gest.model.tokenizer import MetaCellTokenizer

K, G, L = 24, 18, 30
# The bundled models are 160 wide and their windows 256 cells long; all else is theirs.
SHIPPED = {"n_layers": 5, "n_heads": 5, "d_model": 40}
PAPER = {"profiles": "paper", "distance_bias": False, "local_prior": False, "n_geometry": 0}


def vocabulary(seed: int = 0) -> MetaCellTokenizer:
    """Return K meta cells of random profiles: logged, so never below zero."""
    rng = np.random.default_rng(seed)
    profiles = rng.gamma(1.0, size=(K, G)).astype(np.float32)
    axes = np.eye(4, G, dtype=np.float32)
    return MetaCellTokenizer(
        tuple(f"g{i}" for i in range(G)),
        250.0,
        np.zeros(G, np.float32),
        axes,
        profiles @ axes.T,
        profiles,
        np.ones((K, G), np.float32),
        rng.dirichlet(np.ones(K)).astype(np.float32),
        np.zeros((K, 3), np.int64),
    )


def decoder(seed: int = 0, **settings: object) -> Decoder:
    """Return a decoder in evaluation mode whose every weight matters."""
    shape = {"n_layers": 3, "n_heads": 4, "d_model": 32, "n_meta_cells": K, "window_cells": L}
    config = ModelConfig(**(shape | settings))
    network = GeST.create(config, vocabulary(seed), seed=seed).network
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=g))
    return network


def window(seed: int = 0, batch: int = 2, n: int = L, k: int = K) -> dict[str, Tensor]:
    """Return what `Decoder.forward` takes: n items, the first half of them pooled, n queries."""
    g = torch.Generator().manual_seed(seed)
    mass = torch.ones(batch, n)
    mass[:, : n // 2] = torch.randint(2, 60, (batch, n // 2), generator=g).float()
    mixture = F.one_hot(torch.randint(k, (batch, n), generator=g), k).float()
    counts = torch.rand(batch, n // 2, k, generator=g) ** 8
    mixture[:, : n // 2] = counts / counts.sum(-1, keepdim=True)
    xy, at = (torch.rand(batch, n, 2, generator=g) * 2 - 1 for _ in range(2))
    around = torch.randn(2, batch, n, ModelConfig().n_geometry, generator=g).clamp(-4, 4)
    return {
        "mixture": mixture,
        "content_xy": xy,
        "query_xy": at,
        "mass": mass,
        "content_geometry": around[0],
        "query_geometry": around[1],
    }
