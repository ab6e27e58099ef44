from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from benchmarks.masked import masked_forward, written_out
from benchmarks.speed import random_decoder


@pytest.mark.parametrize("attention", [F.scaled_dot_product_attention, written_out])
def test_masked_form_is_the_same_model(attention):
    decoder = random_decoder(n_genes=30, d_model=32, n_layers=3, n_heads=4, n_meta_cells=20)
    g = torch.Generator().manual_seed(0)
    content = torch.randint(20, (2, 40), generator=g)
    content_xy, query_xy = (torch.rand(2, 40, 2, generator=g) * 2 - 1 for _ in range(2))
    with torch.no_grad():
        fast = decoder(content, content_xy, query_xy)
        slow = masked_forward(decoder, content, content_xy, query_xy, attention)
    torch.testing.assert_close(fast, slow, atol=2e-5, rtol=1e-4)
