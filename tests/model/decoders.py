"""Small random decoders for the tests of exactness."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_gest.model.config import ModelConfig
from napari_gest.model.decoder import Decoder

K, G, L = 24, 18, 30


def decoder(seed: int = 0, **settings: object) -> Decoder:
    """Return a decoder in evaluation mode whose every weight matters."""
    torch.manual_seed(seed)
    shape = {"n_layers": 3, "n_heads": 4, "d_model": 32, "n_meta_cells": K, "window_cells": L}
    config = ModelConfig(**(shape | settings))
    out = Decoder(config, torch.randn(K, G), torch.randn(K).log_softmax(0)).eval()
    with torch.no_grad():
        for weight in out.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return out


def window(seed: int = 0, batch: int = 2, n: int = L) -> tuple[Tensor, Tensor, Tensor]:
    """Return content (B, n), its positions (B, n, 2) and n queried positions."""
    g = torch.Generator().manual_seed(seed)
    content = torch.randint(K, (batch, n), generator=g)
    xy, at = (torch.rand(batch, n, 2, generator=g) * 2 - 1 for _ in range(2))
    return content, xy, at
