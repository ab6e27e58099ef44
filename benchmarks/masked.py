"""The masked form of the decoder: one sequence of 2L rows, a 2L x 2L mask, no fast path.

It is the paper's picture drawn literally, and what the two-stream form is compared with.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_gest.model.decoder import Context, Decoder


def written_out(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor, scale: float) -> Tensor:
    """Softmax attention as it is written: all scores, the mask, softmax, the mean of values."""
    scores = (q @ k.transpose(-1, -2)) * scale
    return scores.masked_fill(~attn_mask, float("-inf")).softmax(-1) @ v


def masked_forward(
    decoder: Decoder,
    content: Tensor,
    content_xy: Tensor,
    query_xy: Tensor,
    attention: Callable[..., Tensor] = F.scaled_dot_product_attention,
) -> Tensor:
    """Return logits (B, L, K) of ``decoder(content, content_xy, query_xy)``.

    Parameters
    ----------
    decoder
        In evaluation mode.
    content
        (B, L) meta cells in serial order.
    content_xy, query_xy
        (B, L, 2).
    attention
        Torch's, which fuses its steps, or `written_out`.
    """
    n = content.shape[1]
    xy = torch.cat([content_xy, query_xy], 1)
    mixture = F.one_hot(content, len(decoder.log_prior)).float()
    h = decoder.position(xy) + F.pad(mixture @ decoder.table(), (0, 0, 0, n))
    causal = torch.ones(n, n, dtype=torch.bool).tril()
    nothing, own = torch.zeros_like(causal), torch.eye(n, dtype=torch.bool)
    mask = torch.cat([torch.cat([causal, nothing], 1), torch.cat([causal, own], 1)])
    for block in decoder.blocks:
        q, k, v = block.project(h, xy)
        h = block.finish(h, attention(q, k, v, attn_mask=mask, scale=block.scale))
    # The output layer looks at cells and positions only, never at keys and values.
    context = Context([], [], mixture, content_xy, torch.ones_like(content_xy[..., 0]))
    return decoder.logits(decoder.norm(h[:, n:]), context, query_xy, causal=True)
