"""Niche embeddings: one vector per cell, of the cell and the tissue around it (Sec. 4.5)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree
from torch import Tensor

import napari_gest
from napari_gest import keys
from napari_gest.files import Scratch
from napari_gest.limits import check_choice, check_number
from napari_gest.memory import give_back
from napari_gest.model.devices import AtOnce, Device, check_device
from napari_gest.model.gest import GeST
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.tasks.finite import require_finite
from napari_gest.tasks.progress import Clock, Progress, finish, relay
from napari_gest.tasks.workers import HERE, Workers
from napari_gest.tissue.expression import log_normalize_sparse
from napari_gest.tissue.pool import Pool
from napari_gest.tissue.rows import StoredRows
from napari_gest.tissue.section import Section
from napari_gest.tissue.window import compact_groups, reach

if TYPE_CHECKING:
    from anndata import AnnData

Form = Literal["shared", "exact"]
Read = Literal["content", "hidden", "expression"]

# Cells N of a niche, the cell itself among them. Where their content is averaged, the mean is
# weighted by a Gaussian of the distance, as wide as it is to the sixth part of them.
NICHE_CELLS, _WIDTH = 37, 6
# Niches that share one encoded window in the form "shared".
SHARED_TARGETS = 32
# Content cells encoded between two yields.
_CONTENT_PER_STEP = 1024
_CHUNK = 4096
# Of more cells that stay on disk, embeddings are in files, too; cells that are taken at a time.
_IN_MEMORY, _AT_ONCE = 100_000, 16_384


@dataclass(frozen=True, eq=False)
class EmbedRequest:
    """One run of embedding and all it needs.

    Attributes
    ----------
    section
        The section; every cell of it is embedded.
    model
        The model.
    read
        ``"content"`` is the mean over the niche of what was measured, near cells counting for
        more, in the principal components of the model's vocabulary (D = n_pcs); it separates
        niches best.
        ``"hidden"`` is the paper's: the hidden state h of the last output (D = d_model).
        ``"expression"`` is what the model expects to be measured at the cell, in the same
        components (D = n_pcs).
    form
        Of ``"hidden"`` and ``"expression"``: ``"exact"`` is the paper's, each niche encoded by
        itself, its cell in the centre; ``"shared"`` encodes a window once for all the niches
        inside it, some twenty times as fast. By default exact for ``"hidden"``, which in a shared
        window also tells where in the window a cell is, and shared for ``"expression"``, which
        does not.
    niche_cells
        Cells N of a niche, the cell itself among them, or of a shared window. By default 37, and
        the model's window for shared ones.
    device
        Where the network computes, as in ``GenerateRequest``; ``"content"`` needs none.
    workers
        What reads cells and looks up what they hold; the result does not depend on it.
    """

    section: Section
    model: GeST
    read: Read = "content"
    form: Form | None = None
    niche_cells: int | None = None
    device: Device = "auto"
    workers: Workers = HERE

    @property
    def _form(self) -> Form:
        return self.form or ("exact" if self.read == "hidden" else "shared")

    def check(self) -> None:
        """Raise InputError if the run cannot be done as asked; costs next to nothing."""
        for name, value, known in (
            ("form", self._form, get_args(Form)),
            ("read", self.read, get_args(Read)),
        ):
            check_choice(name, value, known)
        lowest = 1 if self.read == "content" else 2
        if self.read != "content" and self._form == "shared":
            lowest = 2 * SHARED_TARGETS
        if self.niche_cells is not None:
            check_number("niche_cells", self.niche_cells, lowest, whole=True)
        check_device(self.device)
        self.section.measured(self.model.genes)

    def run(self) -> Generator[Progress, None, Embedded]:
        """Embed; yields after every few windows, returns the result."""
        self.check()
        covariance, section, files = None, self.section, None
        if section.on_disk and section.n_obs > _IN_MEMORY and self.read == "content":
            files = Scratch(secrets.token_hex(8))
        made = _Arrays(files)
        if self.read == "content":
            embedding, covariance = yield from _content(self, made)
        else:
            embedding = yield from _decoded(self)
        for part in made.parts(len(embedding)):
            require_finite("The niche embedding", embedding=embedding[part])
        require_finite("The niche embedding", covariance=covariance)
        embedding = made.taken("embedding", embedding, section.rank)
        return Embedded(section, section.rows, embedding, self.settings, covariance, files)

    def stored(self, adata: AnnData) -> Embedded | None:
        """Return what ``run`` would, where it was written to ``adata`` before; else None.

        Model, settings, cells and embedding must all be as they were then.
        """
        about, whole = adata.uns.get(keys.NICHE_EMBEDDED), adata.obsm.get(keys.NICHE_EMBEDDING)
        if about is None or whole is None or dict(about["settings"]) != self.settings:
            return None
        section = self.section
        embedding = np.asarray(whole, np.float32)[section.rows]
        known = dict(zip(map(str, about["sections"]), range(len(about["sections"])), strict=True))
        place = known.get(section.name)
        if place is None or about["digests"][place] != _digest(section, embedding):
            return None
        covariance = about["covariance"][place] if self.read == "content" else None
        return Embedded(section, section.rows, embedding, self.settings, covariance)

    @property
    def settings(self) -> dict[str, Any]:
        """What makes the embedding, apart from the section; see ``Embedded``."""
        settings = {
            "model": self.model.name,
            "model_digest": self.model.digest,
            "version": napari_gest.__version__,
            "read": self.read,
            "niche_cells": self._wanted_cells,  # of a smaller section all are taken
        }
        return settings if self.read == "content" else settings | {"form": self._form}

    @property
    def _wanted_cells(self) -> int:
        usual, window = NICHE_CELLS, self.model.config.window_cells
        if self.read != "content":
            usual = window if self._form == "shared" else min(NICHE_CELLS, window)
        return self.niche_cells or usual

    @property
    def _niche_cells(self) -> int:
        return min(self._wanted_cells, self.section.n_obs)


@dataclass(frozen=True, eq=False)
class Embedded:
    """Niche embeddings of the cells of a section.

    Attributes
    ----------
    section
        The section.
    rows
        (n,) row of each cell in the AnnData.
    embedding
        (n, D) float32.
    settings
        What made them: model, model_digest, version, read, niche_cells and, where it matters,
        form.
    covariance
        Of ``"content"``, else None: (2, D, D) the covariance of single cells, in the components
        of the embedding, with the mean of the cells around each, and with themselves.
    files
        The files that ``embedding`` is in, which last as long as this does; None in memory.
    """

    section: Section
    rows: NDArray[np.int64]
    embedding: NDArray[np.float32]
    settings: dict[str, Any]
    covariance: NDArray[np.float64] | None = None
    files: Scratch | None = None

    def ordered_parts(self) -> Iterator[NDArray[np.float32]]:
        """Yield (m, D) embeddings of the cells in the section's order, some at a time."""
        order = self.section.order
        for part in _Arrays(self.files).parts(len(order)):
            yield self.embedding[order[part]]

    @property
    def section_name(self) -> str:
        return self.section.name

    def write(self, adata: AnnData) -> frozenset[str]:
        """Write ``obsm["X_gest_niche"]`` and, in ``uns``, what made it.

        Cells of other sections keep what they had, unless that is known to be of another model or
        of other settings.

        Returns
        -------
        The names of the keys that changed.
        """
        shape = (adata.n_obs, self.embedding.shape[1])
        old = adata.obsm.get(keys.NICHE_EMBEDDING)
        if self.files is not None and np.array_equal(self.rows, np.arange(adata.n_obs)):
            whole = self.embedding  # not copied through memory
        else:
            whole = np.full(shape, np.nan, np.float32)
        about = adata.uns.get(keys.NICHE_EMBEDDED)
        others: list[int] = []
        if about is not None and dict(about["settings"]) == self.settings:
            names = map(str, about["sections"])
            others = [i for i, name in enumerate(names) if name != self.section_name]
        if whole is not self.embedding:
            if old is not None and old.shape == shape and (others or about is None):
                whole[:] = old
            whole[self.rows] = self.embedding
        adata.obsm[keys.NICHE_EMBEDDING] = whole
        made = {
            "sections": np.array([self.section_name]),
            "digests": np.array([_digest(self.section, self.embedding)]),
            "generated_from": np.array([self.section.generated_from]),
        }
        if self.covariance is not None:
            made["covariance"] = self.covariance[None]
        if others:
            told = {"generated_from": np.full(len(about["sections"]), "")} | dict(about)
            made = {k: np.concatenate([np.asarray(told[k])[others], v]) for k, v in made.items()}
        adata.uns[keys.NICHE_EMBEDDED] = {"settings": dict(self.settings), **made}
        return frozenset({keys.NICHE_EMBEDDING, keys.NICHE_EMBEDDED})


def embed_niches(
    section: Section,
    model: GeST,
    *,
    read: Read = "content",
    form: Form | None = None,
    niche_cells: int | None = None,
    device: Device = "auto",
    workers: Workers = HERE,
    on_progress: Callable[[Progress], None] | None = None,
) -> Embedded:
    """Embed the niche of every cell of a section.

    Parameters
    ----------
    section, model, read, form, niche_cells, device, workers
        As in ``EmbedRequest``.
    on_progress
        Called after every few windows.

    Raises
    ------
    InputError
        If the run cannot be done as asked.
    """
    request = EmbedRequest(section, model, read, form, niche_cells, device, workers)
    return finish(request.run(), on_progress)


def _digest(section: Section, embedding: NDArray[np.float32]) -> str:
    hashed = blake2b(section.digest.encode(), digest_size=16)
    hashed.update(np.ascontiguousarray(embedding).data)
    return hashed.hexdigest()


@dataclass(frozen=True, eq=False)
class _Arrays:
    """Arrays of all cells, in memory or in files; of those in files little is in memory."""

    files: Scratch | None

    def make(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return (
            np.empty(shape, np.float32)
            if self.files is None
            else self.files.make(name, shape, np.float32)
        )

    def parts(self, n: int) -> Iterator[slice]:
        """Yield slices of n cells, all at once in memory; files are let go of after each."""
        step = n if self.files is None else _AT_ONCE
        for start in range(0, n, max(step, 1)):
            yield slice(start, min(start + step, n))
            self.release()

    def taken(
        self, name: str, values: NDArray[np.float32], cells: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return (n, D) the values of cells (n,)."""
        if self.files is None:
            return values[cells]
        out = self.make(name, values.shape)
        for part in self.parts(len(cells)):
            out[part] = values[cells[part]]
        return self.files.read(name)

    def release(self, *, freed: bool = False) -> None:
        """Let go of files, and of memory that was freed."""
        if self.files is not None:
            self.files.release()
            if freed:
                give_back()


def _content(
    request: EmbedRequest, made: _Arrays
) -> Generator[Progress, None, tuple[NDArray[np.float32], NDArray[np.float64]]]:
    """Return (n, p) mean principal components over each niche, and `Embedded.covariance`.

    Cells are in the section's order.
    """
    section, model = request.section, request.model
    measured = section.measured(model.genes)
    made.release(freed=True)
    own = made.make("read", (section.n_obs, len(model.tokenizer.components)))
    clock = Clock("Embedding niches", 2 * section.n_obs)
    # Read as they are in the file: what a cell holds does not depend on those beside it.
    spans, parts = section.parts(model.genes)
    work = _Projection(model.tokenizer, model.target_sum, measured)
    for span, values in zip(spans, request.workers.map(work, parts), strict=True):
        own[span] = values
        made.release()
        yield clock.tick(span.stop)
    made.release(freed=True)
    own = made.taken("own", own, section.order)
    made.release(freed=True)
    coords = section.coords_um[section.order]
    means = niche_means(own, coords, request._niche_cells, made.make("means", own.shape), made)
    return (yield from relay(means, lambda n: clock.tick(section.n_obs + n)))


def niche_means(
    values: NDArray[np.float32],
    coords_um: NDArray[np.float64],
    n_cells: int,
    out: NDArray[np.float32] | None = None,
    made: _Arrays | None = None,
) -> Generator[int, None, tuple[NDArray[np.float32], NDArray[np.float64]]]:
    """Return weighted means over each cell's niche, and what cells share with their niches.

    Parameters
    ----------
    values
        (n, D) of single cells.
    coords_um
        (n, 2) their positions.
    n_cells
        Cells of a niche, the cell itself among them.
    out, made
        (n, D) where the means are to be, and what ``values`` and they were made by, if by files.

    Yields
    ------
    How many cells are done.

    Returns
    -------
    (n, D) the means and (2, D, D) as in ``Embedded.covariance``.
    """
    embedding, made = np.empty_like(values) if out is None else out, made or _Arrays(None)
    if made.files is None:
        mean = values.mean(0, dtype=np.float64)
    else:
        mean = np.zeros(values.shape[1])
        for part in made.parts(len(values)):  # cell by cell, as NumPy adds up all of them
            mean = np.concatenate([mean[None], values[part]]).sum(0)
        mean /= len(values)
    shared, total = np.zeros((2, len(mean), len(mean)))
    tree = cKDTree(coords_um)
    for start in range(0, len(values), _CHUNK):
        part = slice(start, start + _CHUNK)
        far, near = tree.query(coords_um[part], k=[*range(1, n_cells + 1)])
        embedding[part], around = _weighted_means(values, near, far)
        single = values[part] - mean
        shared += single.T @ around
        total += single.T @ single
        made.release()
        yield min(start + _CHUNK, len(values))
    return embedding, np.stack([(shared + shared.T) / 2, total]) / len(values)


def _weighted_means(
    values: NDArray[np.float32], near: NDArray[np.intp], far: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (m, D) means over cells ``near`` (m, N) at distances ``far`` (m, N), nearest first.

    The second without the first cell, which is the cell itself.
    """
    n_cells = near.shape[1]
    if n_cells == 1:
        return values[near[:, 0]], values[near[:, 0]]
    width = np.maximum(far[:, max(n_cells // _WIDTH, 1), None], 1e-6)
    weight = np.exp(-0.5 * np.square(far / width)).astype(np.float32)
    others = np.zeros((len(near), values.shape[1]), np.float32)
    for column in range(1, n_cells):
        others += weight[:, column, None] * values[near[:, column]]
    rest = weight[:, 1:].sum(1, keepdims=True)
    own = weight[:, :1] * values[near[:, 0]]
    return (own + others) / (weight[:, :1] + rest), others / np.maximum(rest, 1e-6)


@torch.inference_mode()
def _decoded(request: EmbedRequest) -> Generator[Progress, None, NDArray[np.float32]]:
    """Return (n, D) hidden states or expectations, cells in the section's order."""
    model = request.model.on(request.device)
    expected = request.read == "expression"
    token, beyond = yield from _tokens(request, expected)
    token, section = token[request.section.order], request.section.ordered()
    if expected:
        beyond = beyond[request.section.order]
    n, network, device = section.n_obs, model.network, model.device
    exact = request._form == "exact"
    n_content = request._niche_cells
    groups = compact_groups(section.coords_um, 1 if exact else SHARED_TARGETS)
    width = model.tokenizer.c_pca.shape[1] if expected else model.config.d_model
    embedding = np.empty((n, width), np.float32)
    tree, of_cell = cKDTree(section.coords_um), section.geometry
    parts = [of_cell(np.arange(a, min(a + _CHUNK, n))) for a in range(0, n, _CHUNK)]
    geometry = np.concatenate(parts)
    table, c_pca = network.table(), torch.from_numpy(model.tokenizer.c_pca).to(device)
    together = max(1, _CONTENT_PER_STEP // n_content)

    def of_groups(batch: list[NDArray[np.int64]]) -> Tensor:
        centre = np.stack([section.coords_um[group].mean(0) for group in batch])
        # A niche is its cells; a shared window sees as far as generation does.
        seen = n_content if exact else min(reach(n_content, model.config.pooled_context), n)
        near = tree.query(centre, k=[*range(1, seen + 1)])[1]
        offset = section.coords_um[near] - centre[:, None]
        content = _Content(offset, n_content)
        # Queries do not see each other, so short groups are filled up and cut again.
        target = np.stack([np.resize(group, max(map(len, batch))) for group in batch])
        at = model.positions(section.coords_um[target], centre[:, None]).to(device)
        context = network.encode(
            table,
            torch.from_numpy(content.shares(token[near], len(table))).to(device),
            model.positions(content.mean(offset).astype(np.float64), np.zeros(2)).to(device),
            mass=torch.from_numpy(content.mass).to(device),
            geometry=torch.from_numpy(content.mean(geometry[near])).to(device),
        )
        out = network.ask(context, at, geometry=torch.from_numpy(geometry[target]).to(device))
        if expected:
            logits, inherited = network.predict(out, context, at)
            out = logits.softmax(-1) @ c_pca
            if inherited is not None:
                out = out + inherited @ torch.from_numpy(content.mean(beyond[near])).to(device)
        return out.cpu()

    clock, done, at_once = Clock("Embedding niches", n), 0, AtOnce(together)
    for start in range(0, len(groups), together):
        batch = groups[start : start + together]

        def some(part: slice, batch: list[NDArray[np.int64]] = batch) -> Tensor:
            return of_groups(batch[part])

        made = at_once.each(len(batch), some)
        rows = (row for part in made for row in part.numpy())
        for group, row in zip(batch, rows, strict=True):
            embedding[group] = row[: len(group)]
            done += len(group)
        yield clock.tick(done)
        if news := at_once.news():
            yield Progress(news, done, n)
    return embedding


class _Content:
    """Contents of a batch of B windows: of their n cells, nearest first, L items, farthest first.

    Parameters
    ----------
    offset
        (B, n, 2) from the middle of each window.
    n_items
        Items L; fewer cells are an item each.
    """

    def __init__(self, offset: NDArray[np.float64], n_items: int) -> None:
        self._pools = None
        self.mass = np.ones(offset.shape[:2], np.float32)  # (B, L) cells in each item
        if offset.shape[1] > n_items:
            self._pools = [Pool.around(one, n_items) for one in offset]
            self.mass = np.stack([pool.mass for pool in self._pools])

    def mean(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return (B, L, D) means of the cells' values (B, n, D)."""
        if self._pools is None:
            return values[:, ::-1].copy()
        return np.stack([pool.mean(v) for pool, v in zip(self._pools, values, strict=True)])

    def shares(self, token: NDArray[np.int64], n_kinds: int) -> NDArray[np.float32]:
        """Return (B, L, K) shares of meta cells among the cells (B, n) of each item."""
        if self._pools is None:
            return np.eye(n_kinds, dtype=np.float32)[token[:, ::-1]]
        pairs = zip(self._pools, token, strict=True)
        return np.stack([pool.shares(cells, n_kinds) for pool, cells in pairs])


def _tokens(
    request: EmbedRequest, expected: bool
) -> Generator[Progress, None, tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Return the meta cell of each cell (n,), and what the cell has beyond it (n, p) if asked."""
    section, model = request.section, request.model
    tokenizer, n = model.tokenizer, section.n_obs
    token = np.empty(n, np.int64)
    beyond = np.empty((n if expected else 0, tokenizer.c_pca.shape[1]), np.float32)
    spans, parts = section.parts(model.genes)
    work = _Projection(tokenizer, model.target_sum, section.measured(model.genes))
    for span, own in zip(spans, request.workers.map(work, parts), strict=True):
        token[span] = tokenizer.nearest(own)
        if expected:
            beyond[span] = own - tokenizer.c_pca[token[span]]
        yield Progress("Reading cells", span.stop, n)
    return token, beyond


@dataclass(frozen=True, eq=False)
class _Projection:
    """Makes (m, p) principal components of a part of a section, wherever it is read."""

    tokenizer: MetaCellTokenizer
    target_sum: float
    measured: NDArray[np.bool_]

    def __call__(self, part: sparse.csr_matrix | StoredRows) -> NDArray[np.float32]:
        values = log_normalize_sparse(part[:], self.target_sum)
        return self.tokenizer.project(values, self.measured)
