"""Transfer of labels to new sections: GeST and classifiers of neighbourhoods (Table 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.labels.labelled import Labelled
from benchmarks.niches.scored import Method, Scored, attempt
from napari_gest.model.gest import GeST
from napari_gest.tasks.labels.annotate import HeadConfig, annotate, train_head
from napari_gest.tissue.neighbours import Neighbours
from napari_gest.tissue.section import Section

SCORES = ("macro_f1", "balanced_accuracy")
RADII = (6, 18, 60)  # cells
HIDDEN = "GeST, pooled hidden state (the paper's)"  # the one method that reads the network
_RIVAL_PCS = 50


@dataclass
class Row(Scored):
    """One method on one test section with one seed.

    Attributes
    ----------
    macro_f1, balanced_accuracy
        Over labelled cells.
    confusion
        Cells by known label, then by predicted label.
    """

    macro_f1: float = np.nan
    balanced_accuracy: float = np.nan
    confusion: dict[str, dict[str, int]] = field(default_factory=dict)


Predict = Callable[[Sequence[Section], Sequence[NDArray[np.object_]], Section, int], NDArray]


def methods(model: GeST) -> list[Method]:
    """Return GeST with ``model`` and the classifiers it is compared with.

    Each takes training sections, their labels, a test section and a seed.
    """
    paper = HeadConfig(reads=("hidden",), pools=(37,), adapt=False, smoothing=0)
    return [
        Method("GeST", "GeST", _gest(model, HeadConfig())),
        Method("GeST, linear layer alone", "GeST", _gest(model, HeadConfig(adapt=False))),
        Method(HIDDEN, "GeST", _gest(model, paper)),
        *(
            Method(f"logistic regression, {name}", "simple rival", _logistic(radii))
            for name, radii in (
                ("own", ()),
                ("own + neighbour mean (12)", (12,)),
                ("own + neighbour means at three radii", RADII),
            )
        ),
        Method("kNN on own + neighbour mean (12)", "simple rival", _knn),
    ]


def score_split(
    labelled: Labelled,
    train: Sequence[int],
    test: int,
    seeds: Sequence[int],
    chosen: Sequence[Method],
    fit_s: float = 0.0,
    on_step: Callable[[str], None] = lambda _: None,
) -> Iterator[Row]:
    """Yield a row for every method and seed on one test section."""
    sections = [labelled.sections[i] for i in train]
    labels = [labelled.labels[i] for i in train]
    section, truth = labelled.sections[test], labelled.labels[test]
    known = np.array([x is not None for x in truth])
    for method in chosen:
        for seed in seeds:
            on_step(f"{labelled.name} {section.name}: {method.name}, seed {seed}")
            row = Row(labelled.name, section.name, method.name, method.kind, seed)
            made = attempt([row], partial(method.run, sections, labels, section, seed))
            if made is None:
                yield row
                continue
            a, b = truth[known].astype(str), made[known].astype(str)
            names = sorted(set(a))
            row.macro_f1 = float(f1_score(a, b, labels=names, average="macro", zero_division=0))
            row.balanced_accuracy = float(balanced_accuracy_score(a, b))
            row.confusion = pd.crosstab(a, b).T.to_dict()
            row.fit_s = fit_s if method.kind == "GeST" else 0.0
            yield row


def _gest(model: GeST, config: HeadConfig) -> Predict:
    def predict(
        sections: Sequence[Section],
        labels: Sequence[NDArray[np.object_]],
        test: Section,
        seed: int,
    ) -> NDArray[np.str_]:
        return annotate(test, train_head(model, sections, labels, config)).names

    return predict


class _Features:
    """Principal components of own expression and of means over nearest cells, concatenated."""

    def __init__(self, sections: Sequence[Section], sizes: Sequence[int]) -> None:
        self.sizes = sizes
        totals = np.concatenate([np.asarray(s.expression.sum(1)).ravel() for s in sections])
        self.target = float(np.median(totals[totals > 0]))
        values = np.concatenate([s.model_space(self.target) for s in sections])
        self.pca = PCA(min(_RIVAL_PCS, *values.shape), svd_solver="covariance_eigh").fit(values)

    def of(self, section: Section) -> NDArray[np.float32]:
        own = self.pca.transform(section.model_space(self.target)).astype(np.float32)
        means = [Neighbours.of(section.coords_um, k + 1).mean(own) for k in self.sizes]
        return np.hstack([own, *means])


def _rival(sizes: Sequence[int], classifier: Callable[[], Any]) -> Predict:
    def predict(
        sections: Sequence[Section],
        labels: Sequence[NDArray[np.object_]],
        test: Section,
        seed: int,
    ) -> NDArray[np.str_]:
        features = _Features(sections, sizes)
        known = np.concatenate([[x is not None for x in part] for part in labels])
        x = np.concatenate([features.of(s) for s in sections])[known]
        y = np.concatenate(labels)[known].astype(str)
        fitted = make_pipeline(StandardScaler(), classifier()).fit(x, y)
        return fitted.predict(features.of(test))

    return predict


def _logistic(sizes: Sequence[int]) -> Predict:
    return _rival(sizes, lambda: LogisticRegression(max_iter=1000, class_weight="balanced"))


_knn = _rival((12,), lambda: KNeighborsClassifier(15))
