from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from benchmarks.generation.masked import masked_forward, written_out
from benchmarks.scale.speed import random_decoder
from napari_gest.tissue.geometry import N_GEOMETRY


@pytest.mark.parametrize("attention", [F.scaled_dot_product_attention, written_out])
def test_masked_form_is_the_same_model(attention):
    decoder = random_decoder(n_genes=30, d_model=32, n_layers=3, n_heads=4, n_meta_cells=20)
    g = torch.Generator().manual_seed(0)
    mixture = F.one_hot(torch.randint(20, (2, 40), generator=g), 20).float()
    window = [mixture, *(torch.rand(2, 2, 40, 2, generator=g) * 2 - 1)]
    geometry = torch.randn(2, 2, 40, N_GEOMETRY, generator=g)
    told = {"content_geometry": geometry[0], "query_geometry": geometry[1]}
    with torch.no_grad():
        fast = decoder(*window, **told)
        slow = masked_forward(decoder, *window, **told, attention=attention)
    torch.testing.assert_close(fast, slow, atol=2e-6, rtol=0)
