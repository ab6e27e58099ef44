"""Niche clustering: GeST beside simple rivals on sections with region labels (Table 2)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    homogeneity_score,
    normalized_mutual_info_score,
)
from sklearn.mixture import GaussianMixture

from benchmarks.labelled import Labelled
from benchmarks.scored import Method, Scored, attempt
from benchmarks.training import RUNS
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.tasks.cluster import cluster_niches
from napari_gest.tasks.embed import embed_niches
from napari_gest.tasks.random_field import fit_field_mixture
from napari_gest.tasks.train import TrainConfig, fit
from napari_gest.tissue.neighbours import Neighbours
from napari_gest.tissue.section import Section

SCORES = ("ami", "ari", "nmi", "homogeneity", "continuity")
N_PCS = 20
NEIGHBOURS = (6, 12, 30, 60)
TRAINING = TrainConfig(n_steps=150, batch_windows=4, validate_every=50)


@dataclass
class Row(Scored):
    """One method on one section with one seed.

    Attributes
    ----------
    ami, ari, nmi, homogeneity
        Against the labels, over labelled cells.
    continuity
        Share of a cell's 6 nearest cells that are in its niche, over all cells.
    """

    ami: float = np.nan
    ari: float = np.nan
    nmi: float = np.nan
    homogeneity: float = np.nan
    continuity: float = np.nan


def methods(model: GeST) -> list[Method]:
    """Return GeST with ``model``, its controls, and the simple rivals.

    They run on sections, a number of niches and a seed, and return niches (n_obs,) of each section.
    """
    return [
        Method("GeST", "GeST", _Gest(model), together=True),
        Method("GeST, each section alone", "GeST", _Gest(model)),
        Method(
            "GeST, expected expression",
            "GeST",
            _Gest(model, read="expression"),
            together=True,
        ),
        Method(
            "GeST, hidden state (the paper's)",
            "GeST",
            _Gest(model, read="hidden"),
            together=True,
        ),
        Method(
            "GeST, hidden state, k-means",
            "GeST",
            _Gest(model, "kmeans", read="hidden"),
            together=True,
        ),
        Method("neighbour-mean PCA (19), GeST's mixture", "control", _same_mixture),
        *(
            Method(f"{name}, {how}", "simple rival", _simple(k, how))
            for k, name in ((0, "own-expression PCA"), *((k, _name(k)) for k in NEIGHBOURS))
            for how in ("k-means", "mixture")
        ),
    ]


def score_set(
    labelled: Labelled,
    seeds: Sequence[int],
    chosen: Sequence[Method],
    fit_s: float = 0.0,
    on_step: Callable[[str], None] = lambda _: None,
) -> Iterator[Row]:
    """Yield a row for every method, section and seed."""
    for method in chosen:
        groups = [[i] for i in range(len(labelled.sections))]
        if method.together:
            groups = [list(range(len(labelled.sections)))]
        for seed in seeds:
            for group in groups:
                sections = [labelled.sections[i] for i in group]
                on_step(f"{labelled.name}: {method.name}, seed {seed}")
                rows = [
                    Row(labelled.name, s.name, method.name, method.kind, seed) for s in sections
                ]
                made = attempt(rows, partial(method.run, sections, labelled.n_niches, seed))
                if made is None:
                    yield from rows
                    continue
                cells = sum(s.n_obs for s in sections)
                for row, i, section, niche in zip(rows, group, sections, made, strict=True):
                    for key, value in scores(labelled.labels[i], niche, section.coords_um).items():
                        setattr(row, key, value)
                    # What is done together is shared out by cells.
                    saved = getattr(method.run, "saved_s", 0.0)
                    row.wall_s = (row.wall_s + saved) * section.n_obs / cells
                    row.fit_s = fit_s if method.kind == "GeST" else 0.0
                    yield row


def scores(
    labels: NDArray[np.object_], niche: NDArray[np.int64], coords_um: NDArray[np.float64]
) -> dict[str, float]:
    """Return the scores of niches (n,) against labels (n,), None where a cell has none."""
    known = np.array([x is not None for x in labels])
    truth, made = labels[known].astype(str), niche[known]
    around = Neighbours.of(coords_um, 7).index[:, 1:]
    return {
        "ami": float(adjusted_mutual_info_score(truth, made)),
        "ari": float(adjusted_rand_score(truth, made)),
        "nmi": float(normalized_mutual_info_score(truth, made)),
        "homogeneity": float(homogeneity_score(truth, made)),
        "continuity": float((niche[around] == niche[:, None]).mean()),
    }


def model_for(
    labelled: Labelled,
    seed: int,
    config: ModelConfig | None = None,
    training: TrainConfig = TRAINING,
    sections: Sequence[int] | None = None,
) -> tuple[GeST, float]:
    """Return a model fitted, without labels, to a set or some of its sections; and seconds.

    It is kept under ``runs/niches`` and not fitted again.
    """
    which = list(range(len(labelled.sections))) if sections is None else list(sections)
    suffix = "" if sections is None else "-" + "".join(map(str, which))
    path = RUNS / "niches" / f"{labelled.name}{suffix}-{seed}"
    if not Path(path).is_dir():
        model = fit(
            [labelled.sections[i] for i in which], config or ModelConfig(), training, seed=seed
        )
        model.save(path)
    model = GeST.load(path)
    return model, float(model.card["curve"][-1]["seconds"])


class _Gest:
    """GeST on some sections. Embedding has no seed: it is done once and its time kept."""

    def __init__(self, model: GeST, method: str = "mixture", **settings: Any) -> None:
        self.model, self.method, self.settings = model, method, settings
        self.embedded: dict[int, Any] = {}
        self.seconds: dict[int, float] = {}
        self.saved_s = 0.0

    def __call__(self, sections: Sequence[Section], k: int, seed: int) -> list[NDArray[np.int64]]:
        self.saved_s = 0.0
        for section in sections:
            key = id(section)
            if key in self.embedded:
                self.saved_s += self.seconds[key]
                continue
            started = time.perf_counter()
            self.embedded[key] = embed_niches(section, self.model, **self.settings)
            self.seconds[key] = time.perf_counter() - started
        parts = [self.embedded[id(s)] for s in sections]
        clustered = cluster_niches(parts, k, method=self.method, seed=seed)
        return [clustered.part(s.name).labels for s in sections]


def _features(section: Section, neighbours: int, n_pcs: int = N_PCS) -> NDArray[np.float32]:
    """Return principal components of the mean expression of a cell's nearest cells."""
    totals = np.asarray(section.expression.sum(1)).ravel()
    values = section.model_space(float(np.median(totals[totals > 0])))
    if neighbours:
        values = Neighbours.of(section.coords_um, neighbours).mean(values, own=True)
    n = min(n_pcs, *values.shape)
    return PCA(n, svd_solver="covariance_eigh").fit_transform(values)


def _simple(neighbours: int, how: str) -> Callable[..., Any]:
    def cluster(sections: Sequence[Section], k: int, seed: int) -> list[NDArray[np.int64]]:
        out = []
        for section in sections:
            features = _features(section, neighbours)
            if how == "k-means":
                out.append(KMeans(k, n_init=10, random_state=seed).fit_predict(features))
            else:
                mixture = GaussianMixture(k, n_init=3, random_state=seed)
                out.append(mixture.fit_predict(features))
        return out

    return cluster


def _same_mixture(sections: Sequence[Section], k: int, seed: int) -> list[NDArray[np.int64]]:
    """Cluster neighbour means of all genes as GeST's embeddings are clustered: what it adds."""
    out = []
    for section in sections:
        work = fit_field_mixture(
            _features(section, 19),
            [Neighbours.of(section.coords_um)],
            k,
            smoothing=5.0,
            starts=4,
            seed=seed,
        )
        while True:
            try:
                next(work)
            except StopIteration as stop:
                out.append(stop.value.probability.argmax(1))
                break
    return out


def _name(k: int) -> str:
    return f"neighbour-mean PCA ({k})"
