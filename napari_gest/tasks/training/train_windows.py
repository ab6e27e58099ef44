"""What training reads: windows of tissue, pooled as generation pools them, in batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.model.tokenizer import MetaCellTokenizer, floored
from napari_gest.tasks.training.train_config import TrainConfig
from napari_gest.tissue.expression import log_normalize
from napari_gest.tissue.order import serialize
from napari_gest.tissue.pool import Pool
from napari_gest.tissue.section import Section
from napari_gest.tissue.window import crop, hole_window, reach, reflect_rotate

_SCORED_GENES = 500  # the most variable ones, so that the cost does not grow with the panel
_CHUNK = 8192  # cells read at a time
_VALIDATION_CELLS = 2000  # at most, so that validating stays cheap


@dataclass(frozen=True, eq=False)
class Score:
    """The genes in which the weighted read-out is scored, each over its spread."""

    genes: NDArray[np.int64]
    spread: NDArray[np.float32]

    @classmethod
    def of(cls, tokenizer: MetaCellTokenizer) -> Score:
        between = tokenizer.v_expr + np.square(tokenizer.c_expr - tokenizer.mean)
        spread = np.sqrt(tokenizer.frequency @ between)
        genes = np.sort(np.argsort(-spread, kind="stable")[:_SCORED_GENES])
        return cls(genes, floored(spread)[genes])

    def scale(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, S) of values (n, G)."""
        return values[:, self.genes] / self.spread


@dataclass(frozen=True, eq=False)
class Tissue:
    """A section as training reads it: hidden cells are out of ``tree`` and in ``targets``."""

    coords: NDArray[np.float64]
    token: NDArray[np.int64]
    values: NDArray[np.float32]  # (n_obs, S) the scored genes, each over its spread
    geometry: NDArray[np.float32]  # (n_obs, n_geometry) among all cells, hidden ones too
    tree: cKDTree
    profiles: NDArray[np.float32]  # (K, S) the meta cells as ``values`` has cells

    @classmethod
    def of(cls, read: Callable[[str], NDArray[Any]], profiles: NDArray[np.float32]) -> Tissue:
        """Return the tissue whose arrays ``read`` returns by name."""
        arrays = {name: read(name) for name in ARRAYS}
        return cls(**arrays, tree=cKDTree(arrays["coords"]), profiles=profiles)

    @property
    def n_meta_cells(self) -> int:
        """Of the vocabulary, which may be smaller than was asked for."""
        return len(self.profiles)

    def residual(self, cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (m, S) what their meta cells leave of the values of cells (m,)."""
        return self.values[cells] - self.profiles[self.token[cells]]


ARRAYS = ("coords", "token", "values", "geometry")


@dataclass(frozen=True, eq=False)
class Batch:
    """Windows of one size side by side: what the network sees, and what it should say."""

    mixture: Tensor  # (B, L, K) meta cells of the content
    content_xy: Tensor  # (B, L, 2)
    mass: Tensor  # (B, L)
    residual: Tensor  # (B, L, S): measured minus meta cell, scored genes
    content_geometry: Tensor  # (B, L, n_geometry)
    query_xy: Tensor  # (B, Q, 2)
    query_geometry: Tensor  # (B, Q, n_geometry)
    target: Tensor  # (B * Q,)
    values: Tensor  # (B * Q, S)
    causal: bool

    def to(self, device: torch.device) -> Batch:
        tensors = {f.name: getattr(self, f.name).to(device) for f in fields(self)[:-1]}
        return Batch(**tensors, causal=self.causal)

    def stored(self, make: Callable[[str, tuple[int, ...], DTypeLike], NDArray[Any]]) -> Batch:
        """Return the batch in arrays made by name, shape and type, such as files."""
        tensors = {}
        for name in (f.name for f in fields(self)[:-1]):
            values = getattr(self, name).numpy()
            array = make(name, values.shape, values.dtype)
            array[...] = values
            tensors[name] = torch.from_numpy(array)
        return Batch(**tensors, causal=self.causal)

    @property
    def n_windows(self) -> int:
        return len(self.mixture)

    def windows(self, part: slice) -> Batch:
        """Return some of the B windows, one after another."""
        n_queries = self.query_xy.shape[1]
        queries = slice(part.start * n_queries, part.stop * n_queries)
        parts = {
            f.name: getattr(self, f.name)[queries if f.name in ("target", "values") else part]
            for f in fields(self)[:-1]
        }
        return Batch(**parts, causal=self.causal)

    def turned(self, turn: Tensor) -> Batch:
        """Return the batch with its positions turned or reflected by ``turn`` (2, 2)."""
        content, query = self.content_xy @ turn, self.query_xy @ turn
        return replace(self, content_xy=content, query_xy=query)


@dataclass(frozen=True, eq=False)
class Window:
    """Some cells of a tissue to predict, and those that are known, pooled."""

    tissue: Tissue
    context: NDArray[np.int64]  # (n,)
    pool: Pool
    targets: NDArray[np.int64]  # (Q,)
    origin: NDArray[np.float64]  # (2,) um
    turn: NDArray[np.float64]  # (2, 2) from um to half windows

    def read(self, n_items: int, n_targets: int) -> tuple[NDArray[Any], ...]:
        """Return the fields of a ``Batch`` for the last items and the first targets."""
        t, pool, targets = self.tissue, self.pool, self.targets[:n_targets]
        return (
            pool.shares(t.token[self.context], t.n_meta_cells)[-n_items:],
            pool.mean(self._place(self.context))[-n_items:],
            pool.mass[-n_items:],
            pool.mean(t.residual(self.context))[-n_items:],
            pool.mean(t.geometry[self.context])[-n_items:],
            self._place(targets),
            t.geometry[targets],
            t.token[targets],
            t.values[targets],
        )

    def _place(self, cells: NDArray[np.int64]) -> NDArray[np.float32]:
        return ((self.tissue.coords[cells] - self.origin) @ self.turn).astype(np.float32)


def stack(windows: Sequence[tuple[NDArray[Any], ...]], causal: bool) -> Batch:
    """Return windows, each as ``Window.read`` gives it, as one batch."""
    *parts, target, values = (np.stack(part) for part in zip(*windows, strict=True))
    flat = [target.reshape(-1), values.reshape(-1, values.shape[-1])]
    tensors = [torch.from_numpy(part) for part in [*parts, *flat]]
    names = [f.name for f in fields(Batch)[:-1]]
    return Batch(**dict(zip(names, tensors, strict=True)), causal=causal)


def tissue_of(
    section: Section,
    seen: NDArray[np.bool_],
    target_sum: float,
    tokenizer: MetaCellTokenizer,
    score: Score,
) -> Tissue:
    """Return the cells ``seen`` (n_obs,) of a section as training reads them."""
    arrays = fill(section, seen, target_sum, tokenizer, score, lambda _, *made: np.empty(*made))
    return Tissue.of(arrays.__getitem__, score.scale(tokenizer.c_expr))


def fill(
    section: Section,
    seen: NDArray[np.bool_],
    target_sum: float,
    tokenizer: MetaCellTokenizer,
    score: Score,
    make: Callable[[str, tuple[int, ...], DTypeLike], NDArray[Any]],
    *,
    wanted: NDArray[np.int64] | None = None,
    after: Callable[[], None] = lambda: None,
) -> dict[str, NDArray[Any]]:
    """Fill the arrays of a ``Tissue``, each made by name, shape and type; some cells at a time.

    Of the cells that are ``seen``, only those at the ascending indices ``wanted`` (m,) among them
    are kept; all by default. They are the same numbers: whole chunks are made. ``after`` is called
    after each.
    """
    cells = np.flatnonzero(seen)
    kept = np.arange(len(cells)) if wanted is None else wanted
    n, n_genes = len(kept), len(score.genes)
    n_geometry = section.geometry(cells[:1]).shape[1]
    shapes: dict[str, tuple[tuple[int, ...], DTypeLike]] = {
        "coords": ((n, 2), np.float64),
        "token": ((n,), np.int64),
        "values": ((n, n_genes), np.float32),
        "geometry": ((n, n_geometry), np.float32),
    }
    arrays = {name: make(name, *shape) for name, shape in shapes.items()}
    for start in range(0, len(cells), _CHUNK):
        part = slice(*np.searchsorted(kept, [start, start + _CHUNK]))
        if part.start == part.stop:
            continue
        chunk = cells[start : start + _CHUNK]
        here = slice(None) if wanted is None else kept[part] - start
        values = log_normalize(section.expression[chunk], target_sum)
        arrays["values"][part] = score.scale(values)[here]
        arrays["token"][part] = tokenizer.tokens(values)[here]
        geometry = section.geometry.once if section.on_disk else section.geometry
        arrays["geometry"][part] = geometry(chunk[here])
        after()
    arrays["coords"][:] = section.coords_um[cells[kept]]
    after()
    return arrays


def draw_window(
    tissue: Tissue, model: ModelConfig, config: TrainConfig, rng: np.random.Generator
) -> Window:
    """Draw a window of a training tissue, as ``config.order`` wants it."""
    n, pooled = model.window_cells, model.pooled_context
    centre = tissue.coords[rng.integers(len(tissue.coords))]
    dropped = config.cell_dropout * rng.uniform()
    if config.order == "hole":
        spacing = model.window_um / math.sqrt(n)
        radius = config.hole_radius * spacing * rng.uniform()
        # A small section must keep more cells than it hides.
        radius = min(radius, 0.3 * float(np.ptp(tissue.coords, axis=0).min()))
        n_targets = min(config.targets, len(tissue.coords) // 4)
        context, targets = hole_window(
            tissue.tree, centre, radius, reach(n, pooled), n_targets, dropped, rng
        )
        origin = tissue.coords[targets].mean(0)
        pool = Pool.around(tissue.coords[context] - origin, n)
    else:
        inside = crop(tissue.tree, centre, n, dropped, rng)
        order = serialize(tissue.coords[inside] - centre, config.order, model.window_um, rng)
        cells, origin = inside[order], centre
        context, targets = cells[:-1], cells[1:]
        pool = Pool(np.arange(len(context)), np.ones(len(context), np.float32))
    turn = reflect_rotate(np.eye(2), rng) * (2 / model.window_um)
    return Window(tissue, context, pool, targets, origin, turn)


def discs(
    section: Section, share: float, config: ModelConfig, seed: int, *, at_least: int = 1
) -> NDArray[np.int64]:
    """Return (n_obs,) the number of the disc that a cell lies in, -1 outside all.

    Discs have a window's cells at most, and together ``share`` of all cells in ``at_least``
    discs.
    """
    rng = np.random.default_rng([seed, section.n_obs])
    tree = cKDTree(section.coords_um)
    wanted = max(8, round(share * section.n_obs))
    size = min(-(-wanted // at_least), section.n_obs // 4, config.window_cells)
    disc, number = np.full(section.n_obs, -1), 0
    while (disc >= 0).sum() < wanted:
        centre = section.coords_um[rng.integers(section.n_obs)]
        cells = tree.query(centre, k=size)[1]
        disc[cells[disc[cells] < 0]] = number
        number += 1
    return disc


def validation_batches(
    section: Section,
    hidden: NDArray[np.bool_],
    asked: NDArray[np.bool_],
    model: GeST,
    score: Score,
) -> Iterator[Batch]:
    """Yield those hidden cells that are asked for, in groups with the nearest known cells.

    Parameters
    ----------
    section
        The section.
    hidden, asked
        (n_obs,) bool: cells that are not known, and those among them to predict.
    model, score
        The model in training, and the genes it is scored in.
    """
    known, todo = np.flatnonzero(~hidden), np.flatnonzero(asked)
    tree, n = cKDTree(section.coords_um[known]), model.config.window_cells
    n_near = min(len(known), reach(n, model.config.pooled_context))
    turn = np.eye(2) * (2 / model.config.window_um)
    groups: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    while len(todo) and len(groups) * 32 < _VALIDATION_CELLS:
        distance = np.linalg.norm(section.coords_um[todo] - section.coords_um[todo[0]], axis=1)
        order = np.argsort(distance, kind="stable")
        group, todo = todo[order[:32]], todo[order[32:]]
        centre = section.coords_um[group].mean(0)
        context = known[tree.query(centre, k=n_near)[1]]
        groups.append((context, group, centre))
    if not groups:
        return
    used = np.unique(np.concatenate([cells for *both, _ in groups for cells in both]))
    everything = np.ones(section.n_obs, bool)
    given = (model.target_sum, model.tokenizer, score)
    arrays = fill(section, everything, *given, lambda _, *made: np.empty(*made), wanted=used)
    tissue = Tissue.of(arrays.__getitem__, score.scale(model.tokenizer.c_expr))
    for context, group, centre in groups:
        pool = Pool.around(section.coords_um[context] - centre, n)
        context, group = np.searchsorted(used, context), np.searchsorted(used, group)
        window = Window(tissue, context, pool, group, centre, turn)
        yield stack([window.read(len(pool.mass), len(group))], causal=False)
