"""The network: a two-stream transformer decoder over cells in space (Sec. 4.1).

Content stream: ``g(x_i) + s(x_i)``, causal. Query stream: ``s(x)``; each row attends to a prefix
of the content and to itself, and is never a key for any other row. All weights are shared.

Letters: B windows, L content cells, Q queries, D width, H heads, E head width, K meta cells,
G genes.
Positions are (x, y) relative to the window's centre, in units of half the window's side. Geometry,
the arrangement of the cells around a position, may enter too: unseen cells have known positions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_gest.model.attention import attend, mix_own
from napari_gest.model.config import ModelConfig
from napari_gest.model.devices import full_precision

# Wavelengths of the position code, in half windows: from far wider than a window to a cell's size.
_LONGEST, _SHORTEST = 8.0, 0.08
# Starting widths of the heads' distance Gaussians, in half windows.
_NARROW, _WIDE = 0.15, 1.5


@dataclass
class Context:
    """The content so far, encoded.

    Attributes
    ----------
    keys, values
        Per layer (B, H, L, E + 4).
    mixture
        (B, L, K) meta cells of the content, one-hot or a distribution.
    xy
        (B, L, 2) positions.
    mass
        (B, L) how many cells of the tissue each content cell represents.
    """

    keys: list[Tensor]
    values: list[Tensor]
    mixture: Tensor
    xy: Tensor
    mass: Tensor

    @property
    def n_cells(self) -> int:
        return self.xy.shape[1]

    def windows(self, part: slice) -> Context:
        """Return the context of some of the B windows."""
        return Context(
            [k[part] for k in self.keys],
            [v[part] for v in self.values],
            self.mixture[part],
            self.xy[part],
            self.mass[part],
        )


class Decoder(nn.Module):
    """Predicts p(meta cell) at queried positions from content cells.

    Parameters
    ----------
    config
        Shape of the network.
    profiles
        (K, G) float32, the vocabulary's expression as the decoder sees it.
    log_prior
        (K,) float32, log frequency of each meta cell in training.
    draw
        Draw initial weights for training; if false, weights are loaded later.
    """

    profiles: Tensor
    log_prior: Tensor
    frequency: Tensor
    blocks: Sequence[Block]  # in fact a ModuleList, which has no type of its items

    def __init__(
        self, config: ModelConfig, profiles: Tensor, log_prior: Tensor, *, draw: bool = True
    ) -> None:
        super().__init__()
        n_genes, d = profiles.shape[1], config.d_model
        self.position_code = config.position_code
        self.register_buffer("profiles", profiles, persistent=False)
        self.register_buffer("log_prior", log_prior, persistent=False)
        self.embed = nn.Linear(n_genes, d)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))  # type: ignore[assignment]
        self.norm = nn.LayerNorm(d)
        self.head = nn.Sequential(nn.Linear(d, d), nn.GELU())
        self.to_genes = nn.Linear(d, n_genes)
        self.local_prior = LocalPrior(config) if config.local_prior else None
        self.arrangement = (
            nn.Sequential(nn.Linear(config.n_geometry, d), nn.GELU(), nn.Linear(d, d))
            if config.n_geometry
            else None
        )
        self.dropout = nn.Dropout(config.dropout)
        wavelengths = torch.logspace(math.log10(_LONGEST), math.log10(_SHORTEST), d // 4)
        self.register_buffer("frequency", 2 * math.pi / wavelengths, persistent=False)
        if draw:
            self._draw_weights()

    def _draw_weights(self) -> None:
        for name, weight in self.named_parameters():
            if name.endswith("weight") and weight.ndim == 2:
                nn.init.normal_(weight, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)
        # The scale of profiles differs between their two forms; g(x) starts near unit scale and
        # the logits near zero in both.
        size = self.profiles.square().sum(1).mean().sqrt().clamp_min(1e-6).item()
        nn.init.normal_(self.embed.weight, std=1.0 / size)
        width = self.to_genes.in_features
        nn.init.normal_(self.to_genes.weight, std=0.1 / (size * math.sqrt(width)))
        if self.local_prior is not None:
            # Untrained, kernels that smooth over some twenty to a hundred cells predict best.
            with torch.no_grad():
                self.local_prior.weigh.bias.copy_(torch.tensor(2 * [-2.0, 0.0, 2.0, 2.0, 1.0, 0.0]))

    def table(self) -> Tensor:
        """Return (K, D): g(x) of every meta cell. Once per step, once per run at inference."""
        return self.embed(self.profiles)

    def position(self, xy: Tensor) -> Tensor:
        """Return (..., D): s(x), a quarter of D each for sin x, cos x, sin y, cos y (Sec. 4.3).

        All ones where the model is to know no positions by their code.
        """
        if self.position_code == "ones":
            return torch.ones(*xy.shape[:-1], 4 * len(self.frequency), device=xy.device)
        angle = xy.unsqueeze(-1) * self.frequency
        return torch.cat([angle.sin(), angle.cos()], -1).flatten(-2)

    def place(self, xy: Tensor, geometry: Tensor | None) -> Tensor:
        """Return (..., D): s(x), plus the embedded geometry if it is given."""
        if self.arrangement is None or geometry is None:
            return self.position(xy)
        return self.position(xy) + self.arrangement(geometry)

    def encode(
        self,
        table: Tensor,
        mixture: Tensor,
        xy: Tensor,
        context: Context | None = None,
        mass: Tensor | None = None,
        shift: Tensor | None = None,
        geometry: Tensor | None = None,
    ) -> Context:
        """Append content cells to a context.

        Parameters
        ----------
        table
            (K, D) what ``table()`` returned.
        mixture
            (B, L, K) meta cells of the content in serial order: one-hot, or a distribution.
        xy
            (B, L, 2).
        context
            Earlier content, if any; it is not changed.
        mass
            (B, L) how many cells of the tissue each one represents; 1 by default.
        shift
            (L, D) or (B, L, D) added to g(x): the difference of a cell's expression from its meta
            cell (``shift_of``); nothing by default.
        geometry
            (L, n_geometry) or (B, L, n_geometry) geometry of each, z-scores; that of an average
            position by default.

        Returns
        -------
        The longer context.
        """
        embedded = mixture @ table if shift is None else mixture @ table + shift
        h = self.dropout(embedded + self.place(xy, geometry))
        keys, values = [], []
        for i, block in enumerate(self.blocks):
            q, k, v = block.project(h, xy)
            mask = None
            if context is not None:
                mask = _after(context.n_cells, q.shape[2], q)
                k = torch.cat([context.keys[i], k], 2)
                v = torch.cat([context.values[i], v], 2)
            keys.append(k)
            values.append(v)
            if i + 1 < len(self.blocks):  # the last layer's content output is never read
                out, _ = attend(q, k, v, block.scale, causal=mask is None, mask=mask)
                h = block.finish(h, out)
        if mass is None:
            mass = torch.ones_like(xy[..., 0])
        if context is not None:
            mixture = torch.cat([context.mixture, mixture], 1)
            xy = torch.cat([context.xy, xy], 1)
            mass = torch.cat([context.mass, mass], 1)
        return Context(keys, values, mixture, xy, mass)

    def ask(
        self,
        context: Context,
        xy: Tensor,
        *,
        geometry: Tensor | None = None,
        causal: bool = False,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return (B, Q, D) hidden states of queries at ``xy`` (B, Q, 2).

        ``geometry`` is (Q, n_geometry) or (B, Q, n_geometry), z-scores.

        By default each query sees the whole context; ``causal`` lets row i see content 0..i, and
        ``mask``, additive and broadcastable to (B, H, Q, L), allows any choice.
        """
        h = self.dropout(self.place(xy, geometry))
        for block, keys, values in zip(self.blocks, context.keys, context.values, strict=True):
            q, k, v = block.project(h, xy)
            out, lse = attend(q, keys, values, block.scale, causal=causal, mask=mask)
            h = block.finish(h, mix_own(q, k, v, block.scale, out, lse))
        return self.norm(h)

    def logits(
        self,
        hidden: Tensor,
        context: Context,
        xy: Tensor,
        *,
        causal: bool = False,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return (B, Q, K) float32 logits z of hidden states (B, Q, D) (Eq. 8).

        The other arguments are those given to ``ask``.
        """
        return self.predict(hidden, context, xy, causal=causal, mask=mask)[0]

    def predict(
        self,
        hidden: Tensor,
        context: Context,
        xy: Tensor,
        *,
        causal: bool = False,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return logits, and the weight of each content cell's residual for each query.

        ``(W h + b) C^T`` is folded into one K x D matrix, so its cost does not grow with genes.

        Returns
        -------
        logits
            (B, Q, K) float32.
        inherited
            (B, Q, L), rows sum to 1 at most; None without a local prior.
        """
        with full_precision(hidden.device):
            hidden = hidden.float()
            folded = self.profiles @ self.to_genes.weight
            z = self.head(hidden) @ folded.T + self.profiles @ self.to_genes.bias
            if self.local_prior is None:
                return z + self.log_prior, None
            prior, inherited = self.local_prior(hidden, context, xy, self.log_prior, causal, mask)
            return z + prior, inherited

    def forward(
        self,
        mixture: Tensor,
        content_xy: Tensor,
        query_xy: Tensor,
        *,
        mass: Tensor | None = None,
        content_geometry: Tensor | None = None,
        query_geometry: Tensor | None = None,
        causal: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the same as ``predict``: both streams over whole windows, as in training.

        Parameters
        ----------
        mixture, content_xy, mass, content_geometry
            The content in serial order, as in ``encode``.
        query_xy, query_geometry
            The queries, as in ``ask``.
        causal
            Row i sees content 0..i, as in the paper; otherwise every row sees all content.
        """
        context = self.encode(
            self.table(), mixture, content_xy, mass=mass, geometry=content_geometry
        )
        hidden = self.ask(context, query_xy, geometry=query_geometry, causal=causal)
        return self.predict(hidden, context, query_xy, causal=causal)


def weight_shapes(config: ModelConfig, n_genes: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight of a decoder, by name, without building one.

    A network on torch's meta device would give the shapes too, but loads torch's compiler.
    """
    d = config.d_model
    linear = {"embed": (d, n_genes), "head.0": (d, d), "to_genes": (n_genes, d)}
    if config.local_prior:
        linear["local_prior.weigh"] = (2 * (LocalPrior.N_KERNELS + 1), d)
    if config.n_geometry:
        linear |= {"arrangement.0": (d, config.n_geometry), "arrangement.2": (d, d)}
    norms = ["norm"]
    shapes: dict[str, tuple[int, ...]] = {}
    for i in range(config.n_layers):
        block = f"blocks.{i}"
        linear |= {f"{block}.qkv": (3 * d, d), f"{block}.out": (d, d)}
        linear |= {f"{block}.mlp.0": (4 * d, d), f"{block}.mlp.2": (d, 4 * d)}
        norms += [f"{block}.norm_attention", f"{block}.norm_mlp"]
        if config.distance_bias:
            shapes[f"{block}.log_width"] = (config.n_heads,)
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in norms:
        shapes |= {f"{name}.weight": (d,), f"{name}.bias": (d,)}
    return shapes


class LocalPrior(nn.Module):
    """Log p(meta cell) by kernel-smoothing the content's meta cells around a query.

    The decoder's logits are added to it. An untrained model is therefore a kernel smoother, and
    training only has to learn the difference. Gaussian kernels of fixed widths, each twice the
    one before, and the training frequency are mixed by weights that depend on the query's hidden
    state. The same kernels, with other weights, smooth the residuals of the content: the
    difference between a cell's expression and its meta cell's.
    """

    N_KERNELS = 5
    NARROWEST = 1.0  # in mean distances between neighbouring cells of a window

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.weigh = nn.Linear(config.d_model, 2 * (self.N_KERNELS + 1))
        spacing = 2 / math.sqrt(config.window_cells)
        self.widest = self.NARROWEST * 2 ** (self.N_KERNELS - 1) * spacing

    def forward(
        self,
        hidden: Tensor,
        context: Context,
        xy: Tensor,
        log_prior: Tensor,
        causal: bool,
        mask: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return (B, Q, K) log of the smoothed meta cells and (B, Q, L) weights of residuals.

        The arguments are those of ``Decoder.predict``.
        """
        share, inherit = self.weigh(hidden).unflatten(-1, (2, -1)).softmax(-1).unbind(-2)
        distance = torch.cdist(xy, context.xy).square()
        if causal:
            mask = _after(0, distance.shape[1], distance)
        if mask is not None:
            distance = distance - (mask[:, 0] if mask.ndim == 4 else mask)  # + inf where hidden
        # The nearest visible cell always has weight 1, so no kernel vanishes far from all cells.
        distance = distance - distance.amin(-1, keepdim=True)
        kernel = torch.exp(distance * (-0.5 / self.widest**2))
        weight, inherited = torch.zeros_like(kernel), torch.zeros_like(kernel)
        for i in reversed(range(self.N_KERNELS)):
            normal = kernel / (kernel @ context.mass.unsqueeze(-1)).clamp_min(1e-12)
            weight = weight + share[..., i : i + 1] * normal
            inherited = inherited + inherit[..., i : i + 1] * normal
            kernel = kernel.square().square()  # half the width
        mass = context.mass.unsqueeze(1)
        smoothed = (weight * mass) @ context.mixture + share[..., -1:] * log_prior.exp()
        return smoothed.clamp_min(1e-12).log(), inherited * mass


class Block(nn.Module):
    """One pre-norm transformer layer, split in two so that both streams can use it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.d_model
        self.n_heads = config.n_heads
        self.scale = 1.0 / math.sqrt(d // config.n_heads)
        self.norm_attention, self.norm_mlp = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
        self.dropout = nn.Dropout(config.dropout)
        widths = torch.logspace(math.log10(_NARROW), math.log10(_WIDE), config.n_heads)
        self.log_width = nn.Parameter(widths.log()) if config.distance_bias else None

    def project(self, h: Tensor, xy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, (B, H, n, E + 4) float32.

        Four further columns carry the distance Gaussian: with ``a = 1 / (2 width^2)`` the products
        ``2a x x' + 2a y y' - a |x'|^2`` equal ``-a |x - x'|^2`` up to a constant of the row.
        """
        b, n, d = h.shape
        qkv = self.qkv(self.norm_attention(h)).float()
        q, k, v = qkv.view(b, n, 3, self.n_heads, d // self.n_heads).permute(2, 0, 3, 1, 4)
        if self.log_width is None:
            return q, k, v
        a = 0.5 * torch.exp(-2 * self.log_width) / self.scale
        a = a.view(1, -1, 1, 1).expand(b, -1, n, 1)
        xy = xy.unsqueeze(1).expand(-1, self.n_heads, -1, -1)
        norm = xy.square().sum(-1, keepdim=True)
        zero = torch.zeros_like(norm)
        q = torch.cat([q, 2 * a * xy, -a, zero], -1)
        k = torch.cat([k, xy, norm, zero], -1)
        return q, k, F.pad(v, (0, 4))

    def finish(self, h: Tensor, attended: Tensor) -> Tensor:
        """Return h (B, n, D) after the attention output (B, H, n, E + 4) and the MLP."""
        b, n, d = h.shape
        attended = attended[..., : d // self.n_heads].transpose(1, 2).reshape(b, n, d)
        h = h + self.dropout(self.out(attended))
        return h + self.dropout(self.mlp(self.norm_mlp(h)))


def _after(past: int, new: int, like: Tensor) -> Tensor:
    """Additive (new, past + new) mask: new rows see all of the past and themselves causally."""
    hidden = torch.ones(new, past + new, dtype=torch.bool, device=like.device).triu(past + 1)
    return torch.zeros(new, past + new, device=like.device).masked_fill(hidden, float("-inf"))
