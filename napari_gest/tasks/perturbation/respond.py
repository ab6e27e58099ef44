"""Cells that keep their identity and respond to an edit of their neighbours."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from napari_gest.errors import InputError
from napari_gest.model.devices import Device, check_device
from napari_gest.model.gest import GeST
from napari_gest.model.response import IDENTITY, ResponseHead
from napari_gest.model.tokenizer import floored
from napari_gest.tasks.finite import require_finite
from napari_gest.tasks.perturbation.counterfactual import Answer, Edited, Input, model_space
from napari_gest.tasks.perturbation.neighborhood_context import Around
from napari_gest.tasks.progress import Clock, Progress, finish
from napari_gest.tissue.section import Section, name_order
from napari_gest.tissue.window import compact_groups

# Chosen on simulated tissue of other seeds than the benchmark's (docs/decisions/0015).
_GROUP = 64  # cells that share one context
_WIDTH = 1.5  # of the Gaussian of neighbours, in mean distances between neighbouring cells
_AXES = 20  # principal components of GeST's predictions that are regressed out
_RIDGE = 10.0
_TAIL = 3.0  # widths beyond which a neighbour counts for nothing


@dataclass(frozen=True, eq=False)
class ResponseRequest:
    """One fit of a response on measured tissue.

    GeST predicts each cell from its surroundings, compact groups of cells hidden at a time. What
    these predictions explain is regressed out of the cells and of their neighbourhoods, identity
    by identity; what the rest of one says about the rest of the other is the response.

    Attributes
    ----------
    sections
        Measured tissue that the edit is not part of, such as the model's training sections.
    model
        The model whose predictions are regressed out.
    device
        As in ``GenerateRequest``.
    """

    sections: Sequence[Section]
    model: GeST
    device: Device = "auto"

    def check(self) -> None:
        """Raise InputError if there is no section, or one on another panel."""
        if not self.sections:
            raise InputError("There is no section to fit a response on.", "Give one at least.")
        check_device(self.device)
        for section in self.sections:
            section.align(self.model.genes)

    def run(self) -> Generator[Progress, None, Residuals]:
        """Read the tissue; yields after every window."""
        self.check()
        return (yield from _residuals(self.sections, self.model, self.device))


def fit_response(
    model: GeST,
    sections: Sequence[Section],
    *,
    device: Device = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> GeST:
    """Return the model with a response head fitted on measured sections; it is saved with it.

    Parameters
    ----------
    model, sections, device
        As in ``ResponseRequest``.
    on_progress
        Called after every window.

    Raises
    ------
    InputError
        If there is no section, or one on another panel.
    """
    request = ResponseRequest(sections, model, device)
    return with_response(model, finish(request.run(), on_progress))


def with_response(model: GeST, residuals: Residuals) -> GeST:
    """Return the model with the response head that was fitted on what it leaves of sections."""
    about = [{"name": name, "cells": n} for name, n in residuals.sections.items()]
    return replace(model, response=residuals.head, card={**model.card, "response": about})


@dataclass(frozen=True, eq=False)
class Residuals:
    """Measured cells of sections, and what GeST's predictions leave of them.

    Attributes
    ----------
    sections
        Cells of each section, by its name; cells are in this order, those of a section in its own.
    values
        (n, G) float32, model space in spreads; 0 where a gene was not measured everywhere.
    own
        (n, G) float64, what is left of them within an identity.
    explained
        (n, p) scores of GeST's predictions, which were regressed out.
    identity, n_identities
        (n,) coarse label of each cell, and how many labels there are.
    near
        (n, n) Gaussian weights of the cells around each.
    spread, measured
        (G,) what a gene is divided by, and whether it was measured everywhere.
    width_um
        Of the Gaussian.
    coords_um
        (n, 2) um, x y, of each cell in its section.
    depth
        (n,) logarithm of one more than a cell's total on the model's genes.
    """

    sections: dict[str, int]
    values: NDArray[np.float32]
    own: NDArray[np.float64]
    explained: NDArray[np.float64]
    identity: NDArray[np.int64]
    n_identities: int
    near: sparse.csr_matrix
    spread: NDArray[np.float32]
    measured: NDArray[np.bool_]
    width_um: float
    coords_um: NDArray[np.float64]
    depth: NDArray[np.float64]

    @property
    def section(self) -> NDArray[np.int64]:
        """(n,) number of the section of each cell."""
        return np.repeat(np.arange(len(self.sections)), list(self.sections.values()))

    @cached_property
    def head(self) -> ResponseHead:
        """The response in closed form."""
        n_identities, n_genes = self.n_identities, len(self.spread)
        gram = np.zeros((n_identities, n_genes, n_genes), np.float32)
        cross, square = gram.copy(), np.zeros((n_identities, n_genes), np.float32)
        freedom = np.zeros(n_identities, np.float32)
        around = self.near @ (self.values - self.values.mean(0))
        n_axes = self.explained.shape[1]
        for c in range(n_identities):
            inside = self.identity == c
            freedom[c] = max(inside.sum() - n_axes - 2, 0)
            if freedom[c] > n_axes:
                x = _without(around[inside], self.explained[inside])
                y = self.own[inside]
                gram[c], cross[c], square[c] = x.T @ x, x.T @ y, np.square(y).sum(0)
            else:
                freedom[c] = 0
        require_finite("The response", gram=gram, cross=cross, square=square, spread=self.spread)
        width = np.array([self.width_um], np.float32)
        return ResponseHead(gram, cross, square, freedom, self.spread, width)


def _residuals(
    sections: Sequence[Section], model: GeST, device: Device
) -> Generator[Progress, None, Residuals]:
    sections = [sections[i].ordered() for i in name_order(sections)]
    clock = Clock("Fitting the response", sum(s.n_obs for s in sections))
    predictions, done = [], 0
    read = [_read(section, model) for section in sections]
    for section, cells in zip(sections, read, strict=True):
        predicted = np.empty_like(cells.values)
        for group, values in _predictions(section, model, device):
            require_finite("The predictions", expression=values)
            predicted[group] = values
            done += len(group)
            yield clock.tick(done)
        predictions.append(predicted)
    values = np.concatenate([cells.values for cells in read])
    spread = floored(values.std(0))
    measured = np.logical_and.reduce([cells.measured for cells in read])
    scaled = np.where(measured, values / spread, 0)
    explained = _axes(np.concatenate(predictions) / spread)
    identity = np.concatenate([cells.identity for cells in read])
    own = np.empty(scaled.shape)
    for c in np.unique(identity):
        inside = identity == c
        own[inside] = _without(scaled[inside], explained[inside])
        yield clock.tick(done)
    width = float(_WIDTH * model.config.window_um / np.sqrt(model.config.window_cells))
    near = [_neighbours(s.coords_um, s.coords_um, width, model) for s in sections]
    return Residuals(
        {s.name: s.n_obs for s in sections},
        scaled,
        own,
        explained,
        identity,
        int(model.tokenizer.levels[:, IDENTITY].max()) + 1,
        sparse.block_diag(near, format="csr"),
        spread,
        measured,
        width,
        np.concatenate([s.coords_um for s in sections]),
        np.concatenate([_depth(s, model) for s in sections]),
    )


@dataclass(frozen=True, eq=False)
class ResponsePredictor:
    """Each surrounding cell as its own meta cell, and how it responds to an edit around it.

    Before an edit a cell is the profile of its meta cell. An edit of its neighbours adds the dose
    that reaches the cell times the slope of its identity (``ResponseHead``); a cell beyond the
    reach of the head's Gaussian does not change at all.
    """

    section: Section
    model: GeST
    index: NDArray[np.int64]
    input: Input
    head: ResponseHead
    token: NDArray[np.int64]
    tissue: Residuals | None = None  # of the section, where the head was fitted on it

    @classmethod
    def prepare(
        cls,
        section: Section,
        model: GeST,
        index: NDArray[np.int64],
        input: Input,
        head: ResponseHead | None,
        device: Device = "auto",
    ) -> Generator[Progress, None, ResponsePredictor]:
        """Return what answers for cells ``index``; without a head one is fitted on the section."""
        head, tissue = head or model.response, None
        if head is None:
            tissue = yield from ResponseRequest([section], model, device).run()
            head = tissue.head
        return cls(section, model, index, input, head, _read(section, model, index).token, tissue)

    def expression(self, edited: Edited | None, stage: str) -> Answer:
        """Yield progress and return (n, G) float32, model space."""
        yield Progress(stage, 0, len(self.index))
        control: NDArray[np.float32] = self.model.tokenizer.c_expr[self.token]
        if edited is None:
            return control
        return np.maximum(control + self.effect(edited), 0).astype(np.float32)

    def effect(self, edited: Edited) -> NDArray[np.float64]:
        """Return (n, G) what the edit adds, model space."""
        dose, slope, _ = self._respond(edited)
        return dose[:, None] * slope[self.identity] * self.head.spread

    def evidence(
        self, edited: Edited, effect: NDArray[np.float32], inside: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Return (G,) mean effect on cells ``inside`` over its standard error."""
        dose, slope, error = self._respond(edited)
        total = np.bincount(self.identity[inside], dose[inside], minlength=len(slope))
        noise = np.sqrt(np.square(total[:, None] * error).sum(0))
        mean = (total[:, None] * slope).sum(0)
        return np.divide(mean, noise, out=np.zeros_like(mean), where=noise > 0)

    def doses(self, edited: Edited, inside: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return (C,) the dose that the cells ``inside`` of each identity get together."""
        dose = np.abs(self._respond(edited)[0][inside])
        doses = np.bincount(self.identity[inside], dose, len(self.head.gram))
        return np.asarray(doses, np.float64)

    @cached_property
    def identity(self) -> NDArray[np.int64]:
        """(n,) coarse label of each surrounding cell."""
        return self.model.tokenizer.levels[self.token, IDENTITY]

    def _respond(
        self, edited: Edited
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the dose (n,) that reaches each cell, and slopes and errors (C, G)."""
        change = self.change(edited)
        direction = change.sum(0, dtype=np.float64)
        length = float(np.linalg.norm(direction))
        if length < 1e-12:
            nothing = np.zeros((len(self.head.gram), len(direction)))
            return np.zeros(len(self.index)), nothing, nothing
        direction /= length
        slope, error = self.head.slopes(direction, np.abs(direction) > 1e-6)
        return self.weights(edited.cells) @ (change @ direction), slope, error

    def change(self, edited: Edited) -> NDArray[np.float64]:
        """Return (m, G) the edit in spreads, as the head sees it."""
        before, after = edited.before, edited.after
        if self.input == "token":
            measured = self.section.align(self.model.genes)[1]
            tokenizer = self.model.tokenizer
            before, after = (
                tokenizer.c_expr[tokenizer.tokens(v.copy(), measured)] for v in (before, after)
            )
        return (after.astype(np.float64) - before) / self.head.spread

    def weights(self, cells: NDArray[np.int64]) -> sparse.csr_matrix:
        """Return (n, m) weights of cells in the neighbourhoods of the surroundings."""
        coords = self.section.coords_um
        width = float(self.head.width_um[0])
        return _neighbours(coords[self.index], coords[cells], width, self.model)


class _Cells(NamedTuple):
    values: NDArray[np.float32]
    measured: NDArray[np.bool_]
    token: NDArray[np.int64]
    identity: NDArray[np.int64]


def _read(section: Section, model: GeST, cells: NDArray[np.int64] | None = None) -> _Cells:
    values, measured = model_space(section, model, cells)
    token = model.tokenizer.tokens(values.copy(), measured).astype(np.int64)
    return _Cells(values, measured, token, model.tokenizer.levels[token, IDENTITY])


def _depth(section: Section, model: GeST) -> NDArray[np.float64]:
    totals = [part[:].sum(1, dtype=np.float64) for part in section.parts(model.genes)[1]]
    return np.log1p(np.asarray(np.concatenate(totals)).ravel())


@torch.inference_mode()
def _predictions(
    section: Section, model: GeST, device: Device
) -> Generator[tuple[NDArray[np.int64], NDArray[np.float32]], None, None]:
    """Yield groups of cells and (n, G) what GeST predicts for them from all cells around."""
    around, coords = Around(section, model, device), section.coords_um
    network = around.model.network
    profiles = torch.from_numpy(model.tokenizer.c_expr)
    # A small section must keep more cells than it hides.
    size = min(_GROUP, max(1, section.n_obs // 4))
    for group in compact_groups(coords, size):
        centre = coords[group].mean(0)
        context = around.context(centre, group)[2]
        xy, geometry = around.query(group, centre)
        logits = network.logits(network.ask(context, xy, geometry=geometry), context, xy)[0]
        yield group, (logits.softmax(-1).cpu() @ profiles).numpy()


def _neighbours(
    at: NDArray[np.float64], of: NDArray[np.float64], width: float, model: GeST
) -> sparse.csr_matrix:
    """Return (len(at), len(of)) Gaussian weights; a cell is no neighbour of itself.

    Rows would sum to 1 at the density the model was trained at, so more neighbours are more dose.
    """
    pairs = cKDTree(at).sparse_distance_matrix(cKDTree(of), _TAIL * width, output_type="coo_matrix")
    density = model.config.window_cells / model.config.window_um**2
    weight = np.exp(-0.5 * np.square(pairs.data / width)) / (2 * np.pi * width**2 * density)
    apart = pairs.data > 0
    return sparse.csr_matrix(
        (weight[apart], (pairs.row[apart], pairs.col[apart])), shape=pairs.shape
    )


def _axes(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (n, p) scores of unit variance on the first principal components."""
    centred = (values - values.mean(0)).astype(np.float64)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :_AXES]
    scores = centred @ axes
    return np.asarray(scores / np.maximum(scores.std(0), 1e-9))


def _without(values: NDArray[np.floating], explained: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what a ridge regression of centred ``values`` on ``explained`` leaves."""
    explained = explained - explained.mean(0)
    centred = values.astype(np.float64) - values.mean(0, dtype=np.float64)
    gram = explained.T @ explained + _RIDGE * np.eye(explained.shape[1])
    return np.asarray(centred - explained @ np.linalg.solve(gram, explained.T @ centred))
