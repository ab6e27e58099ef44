"""Methods of the perturbation benchmark: GeST in its forms, and simple rivals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import NearestNeighbors

from benchmarks.perturbation.planted import Planted
from napari_gest.model.gest import GeST
from napari_gest.tasks.perturbation.counterfactual import Edited, model_space
from napari_gest.tasks.perturbation.perturb import Perturbed, PerturbRequest
from napari_gest.tasks.progress import finish
from napari_gest.tissue.section import Section

RESPONSE = "GeST response, continuous"
RESPONSE_TOKEN = "GeST response, token"
PAPER = "GeST generation, token (paper)"
PAPER_CONTINUOUS = "GeST generation, continuous"
NAIVE = "same change as in the ROI"
LINEAR = "ridge on neighbour means"
KNN = "kNN counterfactual"
OURS = (RESPONSE, RESPONSE_TOKEN, PAPER, PAPER_CONTINUOUS)
RIVALS = (NAIVE, LINEAR, KNN)

RADIUS_UM = 60.0
ALPHAS = (1.0, 10.0, 100.0, 1000.0, 10_000.0)
_NEIGHBOURS = 50


@dataclass(frozen=True, eq=False)
class Prediction:
    """A method's prediction for the surroundings in one section, (n, G) model space."""

    control: NDArray
    perturbed: NDArray

    @property
    def effect(self) -> NDArray:
        return self.perturbed - self.control


def request(planted: Planted, section: Section, model: GeST, **settings: object) -> PerturbRequest:
    """Return the request for all methods."""
    reach = planted.setting.reach_um
    given = {
        "edits": planted.edits,
        "reach_um": reach,
        "bands_um": tuple(np.linspace(0, reach, 5)),
        **settings,
    }
    return PerturbRequest(section, model, planted.roi(section), **given)  # type: ignore[arg-type]


def predictions(
    planted: Planted, model: GeST, step: Callable[[str], None]
) -> Iterator[tuple[str, list[Prediction], list[Perturbed]]]:
    """Yield a method, its prediction for each section, and for GeST the results themselves."""
    for method, readout, entry in (
        (RESPONSE, "response", "continuous"),
        (RESPONSE_TOKEN, "response", "token"),
        (PAPER, "generation", "token"),
        (PAPER_CONTINUOUS, "generation", "continuous"),
    ):
        step(method)
        results = [
            _answered(request(planted, s, model, readout=readout, input=entry))
            for s in planted.sections
        ]
        yield method, [Prediction(r.control, r.perturbed) for r in results], results
    step("rivals")
    edited = [request(planted, s, model).edited() for s in planted.sections]
    index = [request(planted, s, model).index for s in planted.sections]
    rivals = _Rivals(planted, model, edited, index)
    yield NAIVE, rivals.naive(), []
    yield LINEAR, rivals.linear(), []
    yield KNN, rivals.knn(), []


def _answered(asked: PerturbRequest) -> Perturbed:
    """Return the result, even for an edit that changes no token, which users get an error for."""
    predictor, edited = finish(asked.predictor()), asked.edited()
    control = finish(predictor.expression(None, "Control"))
    perturbed = finish(predictor.expression(edited, "Edit"))
    return Perturbed(asked, predictor, edited, control, perturbed)


class _Rivals:
    """Rivals get the same input as GeST: control sections, the edited cells, and positions."""

    def __init__(
        self,
        planted: Planted,
        model: GeST,
        edited: list[Edited],
        index: list[NDArray[np.int64]],
    ) -> None:
        self.index, self.edited = index, edited
        self.values = [model_space(s, model)[0] for s in planted.sections]
        self.before, self.after = [], []
        for section, values, edit in zip(planted.sections, self.values, edited, strict=True):
            means = neighbour_means(section.coords_um, RADIUS_UM)
            changed = values.copy()
            changed[edit.cells] = edit.after
            self.before.append(means @ values)
            self.after.append(means @ changed)

    def naive(self) -> list[Prediction]:
        """Add the region's mean change to every cell around it."""
        return [
            Prediction(v[i], v[i] + (e.after - e.before).mean(0))
            for v, i, e in zip(self.values, self.index, self.edited, strict=True)
        ]

    def linear(self) -> list[Prediction]:
        """Ridge regression of a cell on the mean of its neighbours, penalty by leave-one-out."""
        x, y = np.concatenate(self.before), np.concatenate(self.values)
        mean, spread = x.mean(0), np.maximum(x.std(0), 1e-6)
        fitted = RidgeCV(ALPHAS).fit((x - mean) / spread, y)
        return [
            Prediction(*(fitted.predict((part[i] - mean) / spread) for part in (before, after)))
            for before, after, i in zip(self.before, self.after, self.index, strict=True)
        ]

    def knn(self) -> list[Prediction]:
        """Mean of the measured cells whose neighbours are most similar to a cell's."""
        x, y = np.concatenate(self.before), np.concatenate(self.values)
        mean, spread = x.mean(0), np.maximum(x.std(0), 1e-6)
        search = NearestNeighbors(n_neighbors=_NEIGHBOURS).fit((x - mean) / spread)
        return [
            Prediction(
                *(
                    y[search.kneighbors((part[i] - mean) / spread, return_distance=False)].mean(1)
                    for part in (before, after)
                )
            )
            for before, after, i in zip(self.before, self.after, self.index, strict=True)
        ]


def neighbour_means(coords: NDArray[np.float64], radius_um: float) -> sparse.csr_matrix:
    """Return (n, n) what averages the cells up to a distance around each, without itself."""
    tree = cKDTree(coords)
    near = tree.sparse_distance_matrix(tree, radius_um, output_type="coo_matrix")
    apart = near.row != near.col
    ones = np.ones(apart.sum())
    mean = sparse.csr_matrix((ones, (near.row[apart], near.col[apart])), shape=near.shape)
    count = np.maximum(np.asarray(mean.sum(1)).ravel(), 1)
    return sparse.csr_matrix(sparse.diags(1 / count) @ mean)
