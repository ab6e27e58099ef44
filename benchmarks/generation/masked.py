"""The masked form of the decoder: one sequence of 2L rows, a 2L x 2L mask, no fast path.

It follows the paper's figure literally. The two-stream form is compared with it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_gest.model.decoder import Context, Decoder


def written_out(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor, scale: float) -> Tensor:
    """Softmax attention written out: all scores, the mask, softmax, the mean of values."""
    scores = (q @ k.transpose(-1, -2)) * scale
    return scores.masked_fill(~attn_mask, float("-inf")).softmax(-1) @ v


def masked_forward(
    decoder: Decoder,
    mixture: Tensor,
    content_xy: Tensor,
    query_xy: Tensor,
    *,
    mass: Tensor | None = None,
    content_geometry: Tensor | None = None,
    query_geometry: Tensor | None = None,
    attention: Callable[..., Tensor] = F.scaled_dot_product_attention,
) -> tuple[Tensor, Tensor | None]:
    """Return the result of the causal ``decoder`` for the same L content cells and L queries.

    Parameters
    ----------
    decoder
        In evaluation mode.
    mixture, content_xy, query_xy, mass, content_geometry, query_geometry
        As in ``Decoder.forward``; geometry is given for both streams or for neither.
    attention
        Torch's, which fuses its steps, or `written_out`.
    """
    n = mixture.shape[1]
    xy, geometry = torch.cat([content_xy, query_xy], 1), None
    if content_geometry is not None and query_geometry is not None:
        geometry = torch.cat([content_geometry, query_geometry], 1)
    h = decoder.place(xy, geometry) + F.pad(mixture @ decoder.table(), (0, 0, 0, n))
    causal = torch.ones(n, n, dtype=torch.bool).tril()
    nothing, own = torch.zeros_like(causal), torch.eye(n, dtype=torch.bool)
    mask = torch.cat([torch.cat([causal, nothing], 1), torch.cat([causal, own], 1)])
    for block in decoder.blocks:
        q, k, v = block.project(h, xy)
        h = block.finish(h, attention(q, k, v, attn_mask=mask, scale=block.scale))
    # The output layer uses cells and positions only, never keys and values.
    mass = torch.ones_like(content_xy[..., 0]) if mass is None else mass
    context = Context([], [], mixture, content_xy, mass)
    return decoder.predict(decoder.norm(h[:, n:]), context, query_xy, causal=True)
