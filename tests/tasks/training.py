"""A small model, a short training, and whether two models are one."""

from __future__ import annotations

import torch

from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.tasks.training.train import (
    TrainConfig,
)

MODEL = ModelConfig(
    n_layers=2,
    n_heads=2,
    d_model=16,
    n_meta_cells=24,
    n_pcs=10,
    level_sizes=(6, 4, 2),
    window_cells=48,
    dropout=0.1,
)


SHORT = TrainConfig(n_steps=12, batch_windows=2, targets=16, validate_every=6)


def weights(model: GeST) -> dict[str, torch.Tensor]:
    return model.network.state_dict()


def same(one: GeST, two: GeST) -> bool:
    a, b = weights(one), weights(two)
    return all(torch.equal(a[key], b[key]) for key in a)
