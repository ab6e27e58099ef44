"""What methods say of edits of real tissue: GeST's response and simple rivals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree
from sklearn.linear_model import RidgeCV

from benchmarks.common.datasets import Source, Split, load
from benchmarks.common.training import trained
from benchmarks.perturbation.counterfactuals import ALPHAS, RADIUS_UM, neighbour_means
from benchmarks.perturbation.keys import FOOTPRINT, KeyedEdit, Species
from napari_gest.model.gest import GeST
from napari_gest.tasks.perturbation.counterfactual import Edited, model_space
from napari_gest.tasks.perturbation.false_signs import SIGN_LEVEL, s_values
from napari_gest.tasks.perturbation.perturb import PerturbRequest
from napari_gest.tasks.perturbation.respond import (
    Residuals,
    ResponsePredictor,
    ResponseRequest,
    with_response,
)
from napari_gest.tasks.perturbation.significance import signs_of
from napari_gest.tasks.progress import finish
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.section import Section

OURS, SIGNS = "GeST response", "GeST, probability of signs"
NAIVE, LINEAR = "same change as in the ROI", "ridge on neighbour means"
AROUND, WITHIN = "correlation with neighbours", "correlation within cells"
METHODS = (OURS, SIGNS, NAIVE, LINEAR, AROUND, WITHIN)

N_REGIONS = 5
_HIGH = 0.95  # a raised gene is set to this quantile of the cells that have it
_FOLD = 1.0  # log2 fold change of each gene of a footprint
_FEWEST = 10  # cells in a region


@dataclass(frozen=True)
class Tissue:
    """Tissue that is edited.

    Attributes
    ----------
    name, species
        For the table, and for the keys.
    source
        Its sections; each region lies in one of them, in turn.
    model
        A bundled model; without one, a small model is trained on the tissue.
    n_steps
        Steps of that training.
    spots
        Whether a cell is a spot of many cells. Rates of wrong signs are not made for them: their
        local means and squares are of distances between cells.
    """

    name: str
    species: Species
    source: Source
    model: str | None = None
    n_steps: int = 200
    spots: bool = False


TISSUES = (
    Tissue("Xenium brain", "mouse", Source("xenium_mouse_brain_248g.h5ad")),
    Tissue(
        "Xenium breast",
        "human",
        Source("xenium_breast_secB_313g.h5ad"),
        "human-breast-xenium",
    ),
    Tissue("her2st", "human", Source("her2st_patients_AtoF.h5ad"), n_steps=60, spots=True),
)
# Only shows that everything runs: no result of it is looked at.
QUICK = Tissue(
    "MERFISH mPOA", "mouse", Source("merfish_mpoa_x_135g.h5ad"), "mouse-preoptic-merfish"
)


@dataclass(frozen=True)
class Said:
    """What a method says of one edit in one region.

    Attributes
    ----------
    method
        The method.
    effect
        (G,) mean change of the cells around, in spreads of each gene; for `SIGNS` the probability
        that a gene rises less the probability that it falls.
    reported
        (G,) bool, directions that are reported; none but for `SIGNS`.
    """

    method: str
    effect: NDArray[np.float64]
    reported: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Ready:
    """A tissue, read and with all that methods need of it."""

    tissue: Tissue
    sections: list[Section]
    model: GeST
    residuals: Residuals

    @classmethod
    def make(cls, tissue: Tissue, step: Callable[[str], None]) -> Ready:
        """Read the tissue, take or train its model, and fit the response on the tissue."""
        step(f"{tissue.name}: model")
        sections = tissue.source.read()
        if tissue.model is not None:
            model = GeST.load(tissue.model)
        else:
            split = Split(f"keys-{tissue.name.replace(' ', '-').lower()}", (), tissue.source)
            loaded = load(split)
            loaded.train[:] = loaded.test  # nothing is held out: the key is of other experiments
            model = trained(
                split,
                loaded,
                0,
                lambda p: step(f"{tissue.name}: {p.stage} {p.done}/{p.total}"),
                model_settings={"n_layers": 3, "n_heads": 4, "d_model": 64, "dropout": 0.15},
                train_settings={"n_steps": tissue.n_steps, "validate_every": 50},
            ).model
        step(f"{tissue.name}: response")
        residuals = finish(ResponseRequest(sections, model).run())
        return cls(tissue, sections, with_response(model, residuals), residuals)

    @property
    def genes(self) -> tuple[str, ...]:
        return self.model.genes

    @cached_property
    def linear(self) -> list[sparse.csr_matrix]:
        """Expression (n, G) of each section on the model's genes."""
        return [s.align(self.genes)[0] for s in self.sections]

    @cached_property
    def share(self) -> NDArray[np.float64]:
        """(G,) share of cells that express each gene."""
        n = sum(s.n_obs for s in self.sections)
        return np.asarray(sum((m > 0).sum(0) for m in self.linear)).ravel() / n

    @cached_property
    def spacing_um(self) -> float:
        """Median distance to the nearest cell."""
        near = [cKDTree(s.coords_um).query(s.coords_um, 2)[0][:, 1] for s in self.sections]
        return float(np.median(np.concatenate(near)))

    @property
    def radius_um(self) -> float:
        """Radius of regions, and how far around them the effect is read: 100 um, or two spots."""
        return max(100.0, 2.1 * self.spacing_um)

    @cached_property
    def values(self) -> list[NDArray[np.float64]]:
        """Model space (n, G) of each section, in spreads."""
        spread = self.residuals.spread.astype(np.float64)
        return [model_space(s, self.model)[0] / spread for s in self.sections]

    @cached_property
    def means(self) -> list[sparse.csr_matrix]:
        """Means (n, n) over the neighbours of each cell: 60 um, or the next spots."""
        radius = max(RADIUS_UM, 1.6 * self.spacing_um)
        return [neighbour_means(s.coords_um, radius) for s in self.sections]

    @cached_property
    def centred(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Cells of all sections and the means of their neighbours (n, G), less section means."""
        own = [v - v.mean(0) for v in self.values]
        near = [m @ v for m, v in zip(self.means, own, strict=True)]
        return np.concatenate(own), np.concatenate([v - v.mean(0) for v in near])

    @cached_property
    def coefficients(self) -> NDArray[np.float64]:
        """(G, G) of a ridge regression of cells on the means of their neighbours."""
        own, near = self.centred
        return np.asarray(RidgeCV(ALPHAS).fit(near, own).coef_.T)

    def region(self, seed: int, edit: KeyedEdit) -> tuple[int, NDArray[np.bool_]]:
        """Return the number of a section and a disc in it, around a cell with an edited gene.

        Sections are spread over the tissue. A disc has at least ten cells, or three spots.
        """
        number = seed * len(self.sections) // N_REGIONS
        section, rng = self.sections[number], np.random.default_rng(seed)
        has = np.asarray(self.linear[number][:, edit.edited].sum(1)).ravel() > 0
        centres = np.flatnonzero(has) if has.any() else np.arange(section.n_obs)
        least = 3 if self.tissue.spots else _FEWEST
        for centre in rng.permutation(centres):
            away = np.linalg.norm(section.coords_um - section.coords_um[centre], axis=1)
            roi = away < self.radius_um
            if roi.sum() >= least and (~roi & (away < 2 * self.radius_um)).any():
                return number, roi
        raise ValueError(f"{section.name} has no place for a region")

    def edits(self, edit: KeyedEdit) -> tuple[Edit, ...]:
        """Return the edits: a single gene is set high, genes of a footprint are folded."""
        if edit.key == FOOTPRINT:
            pairs = zip(edit.edited, edit.sign, strict=True)
            return tuple(Edit.fold(self.genes[g], float(s) * _FOLD) for g, s in pairs)
        made = []
        for g in edit.edited:
            level = np.concatenate([m[:, [g]].toarray().ravel() for m in self.linear])
            made.append(Edit(self.genes[g], "set", float(np.quantile(level[level > 0], _HIGH))))
        return tuple(made)


def said(ready: Ready, edit: KeyedEdit, step: Callable[[str], None]) -> Iterator[Said]:
    """Yield what each method says of an edit, for each region."""
    edits = ready.edits(edit)
    for seed in range(N_REGIONS):
        step(f"{ready.tissue.name}: {edit.key}, {edit.name}, region {seed + 1}")
        number, roi = ready.region(seed, edit)
        result = finish(
            PerturbRequest(
                ready.sections[number], ready.model, roi, edits, reach_um=ready.radius_um
            ).run()
        )
        spread = ready.residuals.spread.astype(np.float64)
        assert isinstance(result.predictor, ResponsePredictor)
        # Not `effect`: that is cut off where expression would be negative.
        effect = result.predictor.effect(result.edited).mean(0) / spread
        yield Said(OURS, effect)
        if not ready.tissue.spots and seed == 0:
            signs = signs_of(result, ready.residuals)[0]
            rate = signs.false_rate(np.sign(effect))
            rate[edit.edited] = np.nan
            yield Said(SIGNS, signs.rises - signs.falls, s_values(rate) <= SIGN_LEVEL)
        yield from _rivals(ready, number, result.edited, result.index)


def _rivals(ready: Ready, number: int, edited: Edited, index: NDArray[np.int64]) -> Iterator[Said]:
    spread = ready.residuals.spread.astype(np.float64)
    change = (edited.after.astype(np.float64) - edited.before) / spread
    yield Said(NAIVE, change.mean(0))
    own, near = ready.centred
    dose = ready.means[number][index][:, edited.cells] @ change
    yield Said(LINEAR, dose.mean(0) @ ready.coefficients)
    direction = change.sum(0)
    # Both are centred; dividing by the edit's own length would change no rank and no sign.
    length = np.maximum(np.linalg.norm(own, axis=0), 1e-12)
    yield Said(AROUND, (near @ direction) @ own / length)
    yield Said(WITHIN, (own @ direction) @ own / length)
