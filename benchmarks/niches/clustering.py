"""Niche clustering: GeST and simple rivals on sections with region labels (Table 2)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import blake2b
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

from benchmarks.common.training import RUNS
from benchmarks.labels.labelled import Labelled
from benchmarks.niches.scored import Method, Scored, attempt
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import Base, GeST
from napari_gest.tasks.niches.cluster import cluster_niches
from napari_gest.tasks.niches.embed import NICHE_CELLS, Embedded, Read, embed_niches, niche_means
from napari_gest.tasks.progress import finish
from napari_gest.tasks.training.start import BUNDLED_BASE, vocabulary_of
from napari_gest.tasks.training.train import TrainConfig, fine_tune, fit
from napari_gest.tissue.neighbours import Neighbours
from napari_gest.tissue.section import Section

SCORES = ("ami", "ari", "nmi", "homogeneity", "continuity")
N_PCS = 20
NEIGHBOURS = (6, 12, 30, 60)
TRAINING = TrainConfig(n_steps=150, batch_windows=4, validate_every=50)
# The model of another tissue that is fine-tuned, and what is read from it.
START = "mouse-preoptic-merfish"
FINE_TUNED: dict[str, Read] = {
    "GeST fine-tuned": "content",
    "GeST fine-tuned, hidden state (the paper's Ours-FT)": "hidden",
}
# The base that was pretrained on many panels, as it is bundled: not trained on, and fine-tuned.
BASE = BUNDLED_BASE
ZERO_SHOT: dict[str, Read] = {"GeST base, hidden state, zero-shot": "hidden"}
BASE_TUNED: dict[str, Read] = {"GeST base, hidden state, fine-tuned": "hidden"}


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


def methods(model: GeST, fit_s: float = 0.0) -> list[Method]:
    """Return GeST with ``model``, its controls, and the simple rivals.

    Each takes sections, a number of niches and a seed, and returns niches (n_obs,) of each section.
    """
    return [
        *(
            Method(name, "GeST", _gest(model, read, how), together, fit_s)
            for name, read, how, together in _GEST
        ),
        Method("GeST's niches in components of the section, no model", "control", _without_model()),
        *(
            Method(f"{name}, {how}", "simple rival", _simple(k, how))
            for k, name in ((0, "own-expression PCA"), *((k, _name(k)) for k in NEIGHBOURS))
            for how in ("k-means", "mixture")
        ),
    ]


def read_methods(reads: Mapping[str, Read], model: GeST, fit_s: float = 0.0) -> list[Method]:
    """Return GeST with a model that was pretrained on other tissue, by what is read from it."""
    return [
        Method(name, "GeST", _gest(model, read), together=True, fit_s=fit_s)
        for name, read in reads.items()
    ]


def zero_shot(labelled: Labelled, seed: int) -> GeST:
    """Return the bundled base with the vocabulary of a set, not trained on it."""
    base = GeST.load(BASE)
    assert isinstance(base, Base)
    config, tokenizer = vocabulary_of(labelled.sections, base.config, seed)
    return base.begin(config, tokenizer, labelled.name)


def score_set(
    labelled: Labelled,
    seed: int,
    chosen: Sequence[Method],
    on_step: Callable[[str], None] = lambda _: None,
) -> Iterator[Row]:
    """Yield a row for every method and section."""
    for method in chosen:
        groups = [[i] for i in range(len(labelled.sections))]
        if method.together:
            groups = [list(range(len(labelled.sections)))]
        for group in groups:
            sections = [labelled.sections[i] for i in group]
            on_step(f"{labelled.name}: {method.name}, seed {seed}")
            rows = [Row(labelled.name, s.name, method.name, method.kind, seed) for s in sections]
            made = attempt(rows, partial(method.run, sections, labelled.n_niches, seed))
            if made is None:
                yield from rows
                continue
            cells = sum(s.n_obs for s in sections)
            for row, i, section, niche in zip(rows, group, sections, made, strict=True):
                for key, value in scores(labelled.labels[i], niche, section.coords_um).items():
                    setattr(row, key, value)
                # The cost of joint work is divided by the number of cells.
                saved = getattr(method.run, "saved_s", 0.0)
                row.wall_s = (row.wall_s + saved) * section.n_obs / cells
                row.fit_s = method.fit_s
                yield row


def scores(
    labels: NDArray[np.object_], niche: NDArray[np.int64], coords_um: NDArray[np.float64]
) -> dict[str, float]:
    """Return the scores of niches (n,) against labels (n,), which are None where unknown."""
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
    start: str | None = None,
) -> tuple[GeST, float]:
    """Return a model fitted, without labels, to a set or some of its sections; and seconds.

    If ``start`` is given, the model is fine-tuned from it. Models are cached under
    ``runs/niches`` by the content of the sections
    and what they start from.
    """
    which = list(range(len(labelled.sections))) if sections is None else list(sections)
    suffix = "" if sections is None else "-" + "".join(map(str, which))
    suffix += "" if start is None else f"-from-{start}"
    parts = [labelled.sections[i] for i in which]
    begin = None if start is None else GeST.load(start)
    content = "".join([*(part.digest for part in parts), "" if begin is None else begin.digest])
    key = blake2b(content.encode(), digest_size=4).hexdigest()
    path = RUNS / "niches" / f"{labelled.name}{suffix}-{seed}-{key}"
    if not Path(path).is_dir():
        if begin is None:
            model = fit(parts, config or ModelConfig(), training, seed=seed)
        else:
            model = fine_tune(begin, parts, training, seed=seed)
        model.save(path)
    model = GeST.load(path)
    return model, float(model.card["curve"][-1]["seconds"])


def vocabulary_model(sections: Sequence[Section], seed: int) -> GeST:
    """Return a model with the vocabulary of sections and an untrained network.

    It is as good as any for what reads no network, such as ``"content"``.
    """
    config, tokenizer = vocabulary_of(sections, ModelConfig(), seed)
    return GeST.create(config, tokenizer, seed=seed, name="vocabulary")


# Name, read, clustering, and whether the sections are clustered together.
_GEST: list[tuple[str, Read, str, bool]] = [
    ("GeST", "content", "mixture", True),
    ("GeST, each section alone", "content", "mixture", False),
    ("GeST, expected expression", "expression", "mixture", True),
    ("GeST, hidden state (the paper's)", "hidden", "mixture", True),
    ("GeST, hidden state, k-means", "hidden", "kmeans", True),
]
READ_NETWORK = {name for name, read, _, _ in _GEST if read != "content"}


class _Run:
    """Features of every section, which do not depend on a seed, and niches from them.

    Features are computed once for all methods and seeds; their time is counted for each.
    """

    def __init__(self, cluster: Callable[..., Any], features: Callable[..., Any], *of: Any) -> None:
        self.cluster, self.features, self.of = cluster, features, of
        self.saved_s = 0.0

    def __call__(self, sections: Sequence[Section], k: int, seed: int) -> list[NDArray[np.int64]]:
        started = time.perf_counter()
        made = [_timed(self.features, s, *self.of) for s in sections]
        took = time.perf_counter() - started
        self.saved_s = max(0.0, sum(seconds for _, seconds in made) - took)
        return self.cluster([features for features, _ in made], sections, k, seed)


@lru_cache(48)
def _timed(work: Callable[..., Any], *of: Any) -> tuple[Any, float]:
    started = time.perf_counter()
    made = work(*of)
    return made, time.perf_counter() - started


def _gest(model: GeST, read: Read, method: str = "mixture") -> _Run:
    def cluster(
        embedded: Sequence[Embedded], sections: Sequence[Section], k: int, seed: int
    ) -> list[NDArray[np.int64]]:
        clustered = cluster_niches(embedded, k, method=method, seed=seed)
        return [clustered.part(s.name).labels for s in sections]

    return _Run(cluster, _embed, model, read)


def _embed(section: Section, model: GeST, read: Read) -> Embedded:
    return embed_niches(section, model, read=read)


def _features(section: Section, neighbours: int, n_pcs: int = N_PCS) -> NDArray[np.float32]:
    """Return principal components of the mean expression of a cell's nearest cells."""
    totals = np.asarray(section.expression.sum(1)).ravel()
    values = section.model_space(float(np.median(totals[totals > 0])))
    if neighbours:
        values = Neighbours.of(section.coords_um, neighbours).mean(values, own=True)
    n = min(n_pcs, *values.shape)
    return PCA(n, svd_solver="covariance_eigh").fit_transform(values)


def _simple(neighbours: int, how: str) -> _Run:
    def cluster(
        features: Sequence[NDArray[np.float32]], _: Sequence[Section], k: int, seed: int
    ) -> list[NDArray[np.int64]]:
        if how == "k-means":
            return [KMeans(k, n_init=10, random_state=seed).fit_predict(x) for x in features]
        return [GaussianMixture(k, n_init=3, random_state=seed).fit_predict(x) for x in features]

    return _Run(cluster, _features, neighbours)


def _without_model() -> _Run:
    """Find niches as GeST does, but in the section's own components, without a model."""

    def cluster(
        embedded: Sequence[Embedded], _: Sequence[Section], k: int, seed: int
    ) -> list[NDArray[np.int64]]:
        return [cluster_niches(one, k, seed=seed).labels for one in embedded]

    return _Run(cluster, _own_means)


def _own_means(section: Section) -> Embedded:
    components = _features(section, 0, 50)
    means, covariance = finish(niche_means(components, section.coords_um, NICHE_CELLS))
    return Embedded(section, section.rows, means, {}, covariance)


def _name(k: int) -> str:
    return f"neighbour-mean PCA ({k})"
