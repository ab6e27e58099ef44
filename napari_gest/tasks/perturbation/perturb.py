"""Perturbation: edit cells in a region and see their surroundings respond (Sec. 5.4)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

import napari_gest
from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.limits import check_choice, check_number, shown
from napari_gest.model.devices import Device, check_device
from napari_gest.model.gest import GeST
from napari_gest.model.response import ResponseHead
from napari_gest.seeds import check_seed
from napari_gest.tasks.finite import require_finite
from napari_gest.tasks.generation.filled_layers import measured_layer, replace_rows
from napari_gest.tasks.generation.generation import WINDOW_TARGETS
from napari_gest.tasks.perturbation.counterfactual import (
    Edited,
    Input,
    Predictor,
    RegenerationPredictor,
    model_space,
)
from napari_gest.tasks.perturbation.respond import ResponsePredictor
from napari_gest.tasks.progress import Progress, finish
from napari_gest.tissue.edits import MAX_STRENGTH, Edit, apply_edits, check_edits
from napari_gest.tissue.section import Section

if TYPE_CHECKING:
    from anndata import AnnData

Readout = Literal["response", "generation"]
BANDS_UM = (0.0, 30.0, 60.0, 100.0, 150.0)
ALL = "all"


@dataclass(frozen=True, eq=False)
class PerturbRequest:
    """One perturbation and all it needs.

    Attributes
    ----------
    section, model
        The tissue, and the model that predicts.
    roi
        (n_obs,) bool: cells of the region or regions.
    edits
        Edits of genes, applied to the cells of the region.
    strength
        1 is the edits as they stand, 0 none, above 1 more than asked for.
    only
        (n_obs,) bool: only these cells of the region are edited; all by default.
    replace_by
        (n_obs,) bool: cells of the region become copies of these, drawn with ``seed``; gene edits
        come on top.
    remove
        Take the cells of the region out instead of editing them.
    readout
        ``response``: each surrounding cell keeps its identity, and what its neighbours add to its
        state is predicted before and after. ``generation``: the surroundings are hidden and
        generated before and after (the paper's form).
    input
        ``continuous``: edited expression enters as it is. ``token``: as the nearest meta cell, so
        small edits can be lost.
    reach_um
        Cells up to this far from the nearest cell of the region are the surroundings.
    bands_um
        Ascending borders of bands of that distance.
    seed, frontier, passes
        Of ``generation``, as in ``GenerateRequest``; the seed also draws what replaces cells. Its
        draws do not follow the order of rows (decision 25).
    response
        A fitted head for the read-out ``response``, such as that of an earlier result; by default
        the model's own, or one that is fitted on the section.
    device
        As in ``GenerateRequest``.
    """

    section: Section
    model: GeST
    roi: NDArray[np.bool_]
    edits: tuple[Edit, ...] = ()
    strength: float = 1.0
    only: NDArray[np.bool_] | None = None
    replace_by: NDArray[np.bool_] | None = None
    remove: bool = False
    readout: Readout = "response"
    input: Input = "continuous"
    reach_um: float = BANDS_UM[-1]
    bands_um: tuple[float, ...] = BANDS_UM
    seed: int = 0
    frontier: int = WINDOW_TARGETS
    passes: int = 4
    response: ResponseHead | None = None
    device: Device = "auto"

    def check(self) -> None:
        """Raise InputError if the run cannot be done as asked, or would show nothing."""
        n = self.section.n_obs
        for name, mask in (("roi", self.roi), ("only", self.only), ("replace_by", self.replace_by)):
            if mask is not None and (mask.shape != (n,) or mask.dtype != bool):
                raise InputError(
                    f"{name} has shape {mask.shape} and type {mask.dtype}.",
                    f"Give one boolean for each of the section's {n} cells.",
                )
        check_choice("readout", self.readout, get_args(Readout))
        check_choice("input", self.input, get_args(Input))
        check_seed(self.seed)
        check_device(self.device)
        check_number("strength", self.strength, 0, MAX_STRENGTH)
        check_number("reach_um", self.reach_um, 0, above=True)
        check_number("frontier", self.frontier, 1, whole=True)
        check_number("passes", self.passes, 1, whole=True)
        bands = np.atleast_1d(np.asarray(self.bands_um, object)).ravel()
        for border in bands:
            check_number("a border in bands_um", border, 0)
        if len(bands) < 2 or not (np.diff(bands.astype(float)) > 0).all():
            raise InputError(
                f"bands_um is {shown(self.bands_um)}.",
                "Give two ascending distances in um at least.",
            )
        self._check_cells()
        self._check_change()

    def _check_cells(self) -> None:
        if not self.roi.any():
            raise InputError(
                "There is no cell in the region.", "Draw it over cells; coordinates are in um."
            )
        if self.roi.all():
            raise InputError(
                "The region covers every cell of the section.",
                "Leave some around it: the surroundings are what responds.",
            )
        if not self.target.any():
            raise InputError(
                "No cell of the region carries the labels that are to be edited.",
                "Choose other labels, or draw the region elsewhere.",
            )
        if not len(self.index):
            raise InputError(
                f"No cell lies within {self.reach_um:g} um around the region.",
                "Raise the reach, or draw the region elsewhere.",
            )
        if self.roi.sum() + len(self.index) == self.section.n_obs and self.readout == "generation":
            raise InputError(
                "The region and its surroundings are the whole section.",
                "Lower the reach: generation needs known tissue beyond the surroundings.",
            )
        if self.replace_by is not None and not self.replace_by.any():
            raise InputError(
                "There is no cell to replace those of the region by.", "Choose another label."
            )
        if self.remove and (self.edits or self.replace_by is not None):
            raise InputError(
                "Cells of the region cannot be both removed and edited.", "Ask for one of them."
            )
        if self.remove and self.readout == "response":
            raise InputError(
                "The read-out 'response' cannot tell what happens when cells are taken out.",
                "Choose the read-out 'generation'.",
            )

    def _check_change(self) -> None:
        genes = self.model.genes
        self.section.align(genes)
        if not self.edits and self.replace_by is None and not self.remove:
            raise InputError("There is no edit.", "Give edits, cells to replace by, or removal.")
        check_edits(self.edits, [g for g in genes if g in set(self.section.genes)])
        if self.remove:
            return
        edited = self.edited()
        if np.array_equal(edited.before, edited.after):
            raise InputError(
                f"The edits change none of the {len(edited.cells)} cells.",
                "Raise the strength; a gene that is 0 everywhere can be set or shifted, not"
                " multiplied.",
            )
        if self.input == "token" and not edited.changed_tokens(self.model, self.measured):
            raise InputError(
                f"The edits change the token of none of the {len(edited.cells)} cells, so the"
                " model would see no difference.",
                "Raise the strength, edit more genes, or choose continuous input.",
            )

    def run(self) -> Generator[Progress, None, Perturbed]:
        """Predict the surroundings before and after the edit; yields often, returns both."""
        self.check()
        predictor = yield from self.predictor()
        control = yield from predictor.expression(None, "Control")
        edited = self.edited()
        perturbed = yield from predictor.expression(edited, "Perturbed")
        require_finite(
            "The effect", control=control, perturbed=perturbed, effect=perturbed - control
        )
        return Perturbed(self, predictor, edited, control, perturbed)

    def predictor(self) -> Generator[Progress, None, Predictor]:
        """Return what answers for the surroundings; a response is fitted here if need be."""
        if self.readout == "generation":
            return RegenerationPredictor(
                self.section,
                self.model,
                self.index,
                self.input,
                self.seed,
                self.frontier,
                self.passes,
                self.device,
            )
        return (
            yield from ResponsePredictor.prepare(
                self.section, self.model, self.index, self.input, self.response, self.device
            )
        )

    @cached_property
    def distance_um(self) -> NDArray[np.float64]:
        """(n_obs,) distance of each cell to the nearest cell of the region, 0 inside."""
        coords = self.section.coords_um
        return np.asarray(cKDTree(coords[self.roi]).query(coords)[0], np.float64)

    @cached_property
    def index(self) -> NDArray[np.int64]:
        """(n,) ascending index of the surroundings in the section."""
        return np.flatnonzero(~self.roi & (self.distance_um <= self.reach_um))

    @property
    def target(self) -> NDArray[np.bool_]:
        """(n_obs,) cells that are edited."""
        return self.roi if self.only is None else self.roi & self.only

    @cached_property
    def measured(self) -> NDArray[np.bool_]:
        """(G,) which of the model's genes were measured in the section."""
        return self.section.align(self.model.genes)[1]

    def edited(self, strength: float | None = None) -> Edited:
        """Return the edited cells, at another strength where one is given."""
        strength = self.strength if strength is None else strength
        cells = np.flatnonzero(self.target)
        if self.remove:
            nothing = Edited.nothing(len(self.model.genes))
            return Edited(nothing.cells, nothing.before, nothing.after, cells)
        genes, target_sum = self.model.genes, self.model.target_sum
        expression = self.section.align(genes)[0]
        before, _ = model_space(self.section, self.model, cells)
        source = cells
        if self.replace_by is not None:
            rng = np.random.default_rng(self.seed)
            source = np.empty_like(cells)
            place = np.argsort(self.section.rank[cells])  # drawn for the cells in their order
            source[place] = rng.choice(self.section.where(self.replace_by), len(cells))
        linear = expression[source].toarray().astype(np.float64)
        total = linear.sum(1, keepdims=True)
        changed = apply_edits(linear, genes, self.edits, strength)
        scale = np.divide(target_sum, total, out=np.zeros_like(total), where=total > 0)
        after = np.log1p(changed * scale).astype(np.float32)
        if source is cells:
            # Where nothing was edited not even rounding may differ.
            after = np.where(changed == linear, before, after)
        return Edited(cells, before, after, np.empty(0, np.int64))


@dataclass(frozen=True, eq=False)
class Perturbed:
    """The surroundings before and after an edit.

    Attributes
    ----------
    request
        What was asked.
    predictor
        What answered, ready to answer for other edits.
    edited
        The edited cells.
    control, perturbed
        (n, G) float32, model space, of the surrounding cells ``index``.
    """

    request: PerturbRequest
    predictor: Predictor
    edited: Edited
    control: NDArray[np.float32]
    perturbed: NDArray[np.float32]

    @property
    def section(self) -> Section:
        return self.request.section

    @property
    def section_name(self) -> str:
        return self.section.name

    @property
    def genes(self) -> tuple[str, ...]:
        """G gene names."""
        return self.request.model.genes

    @property
    def index(self) -> NDArray[np.int64]:
        """(n,) index of the surrounding cells in the section."""
        return self.request.index

    @property
    def rows(self) -> NDArray[np.int64]:
        """(n,) their row in the AnnData."""
        return self.section.rows[self.index]

    @property
    def distance_um(self) -> NDArray[np.float64]:
        """(n,) their distance to the nearest cell of the region."""
        return self.request.distance_um[self.index]

    @property
    def effect(self) -> NDArray[np.float32]:
        """(n, G) perturbed minus control."""
        return self.perturbed - self.control

    @property
    def n_edited(self) -> int:
        """Cells edited or removed."""
        return len(self.edited.cells) + len(self.edited.removed)

    @cached_property
    def n_changed_tokens(self) -> int:
        """Edited cells whose token changed; removed ones count."""
        changed = self.edited.changed_tokens(self.request.model, self.request.measured)
        return changed + len(self.edited.removed)

    @property
    def settings(self) -> dict[str, Any]:
        """What made the result, as plain values."""
        request = self.request
        return {
            "model": request.model.name,
            "model_digest": request.model.digest,
            "version": napari_gest.__version__,
            "target_sum": request.model.target_sum,
            "section": request.section.name,
            "generated_from": request.section.generated_from,
            "edits": [asdict(e) for e in request.edits],
            "strength": request.strength,
            "remove": request.remove,
            "replaced": request.replace_by is not None,
            "readout": request.readout,
            "input": request.input,
            "reach_um": request.reach_um,
            "bands_um": list(request.bands_um),
            "seed": request.seed,
            "n_edited": self.n_edited,
            "n_changed_tokens": self.n_changed_tokens,
        }

    def bands(self) -> dict[str, NDArray[np.bool_]]:
        """Return which of the n cells are in each band of distance; ``all`` is the first."""
        out = {ALL: np.ones(len(self.index), bool)}
        for low, high in pairwise(self.request.bands_um):
            inside = (self.distance_um > low) & (self.distance_um <= high)
            if inside.any():
                out[f"{low:g}-{high:g} um"] = inside
        return out

    def effects(self) -> pd.DataFrame:
        """Return one row a band and gene: gene, band, n_cells, control, perturbed, effect, ...

        ``effect`` is the mean of perturbed minus control over the band's cells, model space, and
        ``direction`` is up, down or none. Genes that were not measured are left out.
        """
        tables = []
        measured = self.request.measured
        genes = np.asarray(self.genes)[measured]
        for band, inside in self.bands().items():
            control = self.control[inside][:, measured].mean(0, dtype=np.float64)
            perturbed = self.perturbed[inside][:, measured].mean(0, dtype=np.float64)
            effect = self.effect[inside][:, measured].mean(0, dtype=np.float64)
            tables.append(
                pd.DataFrame(
                    {
                        "gene": genes,
                        "band": band,
                        "n_cells": int(inside.sum()),
                        "control": control,
                        "perturbed": perturbed,
                        "effect": effect,
                        "direction": direction(effect),
                    }
                )
            )
        return pd.concat(tables, ignore_index=True)

    def write(self, adata: AnnData) -> frozenset[str]:
        """Write both layers, the distance and the settings into ``adata``; never ``X``.

        Cells beyond the reach and of other sections are as measured in both layers; edited cells
        are as measured in the control and as edited in the perturbed layer.

        Returns
        -------
        The names of the keys that changed.
        """
        request = self.request
        distance = np.full(adata.n_obs, np.nan, np.float32)
        distance[self.section.rows] = request.distance_um
        adata.obs[keys.DISTANCE] = distance
        base = measured_layer(adata, self.section, self.genes, request.model.target_sum)
        inside = self.section.rows[self.edited.cells]
        rows = np.concatenate([self.rows, inside])
        place = pd.Index(adata.var_names.astype(str)).get_indexer(list(self.genes))
        known = place >= 0
        for key, around, edited in (
            (keys.CONTROL, self.control, self.edited.before),
            (keys.PERTURBED, self.perturbed, self.edited.after),
        ):
            full = base[rows].toarray()
            full[:, place[known]] = np.concatenate([around, edited])[:, known]
            adata.layers[key] = replace_rows(base, rows, full)
        settings = {**self.settings, "edits": [str(e) for e in request.edits]}
        adata.uns[keys.PERTURBATION] = settings
        return frozenset({keys.CONTROL, keys.PERTURBED, keys.DISTANCE, keys.PERTURBATION})


def perturb(
    section: Section,
    model: GeST,
    roi: NDArray[np.bool_],
    edits: Sequence[Edit] = (),
    *,
    strength: float = 1.0,
    only: NDArray[np.bool_] | None = None,
    replace_by: NDArray[np.bool_] | None = None,
    remove: bool = False,
    readout: Readout = "response",
    input: Input = "continuous",
    reach_um: float = BANDS_UM[-1],
    bands_um: tuple[float, ...] = BANDS_UM,
    seed: int = 0,
    frontier: int = WINDOW_TARGETS,
    passes: int = 4,
    response: ResponseHead | None = None,
    device: Device = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> Perturbed:
    """Predict how the surroundings of a region respond to an edit of its cells.

    Parameters
    ----------
    section, model, roi, edits
        As in ``PerturbRequest``, as are all that follow but the last.
    strength, only, replace_by, remove
        What becomes of the cells of the region.
    readout, input, response
        Who answers for the surroundings, and how edited expression enters.
    reach_um, bands_um
        How far around the region to look, in um.
    seed, frontier, passes
        Of the read-out ``generation``; the seed also draws what replaces cells.
    device
        Where the network computes.
    on_progress
        Called with every tick.

    Raises
    ------
    InputError
        If the run cannot be done as asked, or would show nothing; before any work.
    """
    request = PerturbRequest(
        section,
        model,
        roi,
        tuple(edits),
        strength=strength,
        only=only,
        replace_by=replace_by,
        remove=remove,
        readout=readout,
        input=input,
        reach_um=reach_um,
        bands_um=bands_um,
        seed=seed,
        frontier=frontier,
        passes=passes,
        response=response,
        device=device,
    )
    return finish(request.run(), on_progress)


def direction(effect: NDArray[np.float64]) -> NDArray[np.object_]:
    """Return up, down or none for each effect."""
    return np.array(["down", "none", "up"], object)[np.sign(effect).astype(int) + 1]
