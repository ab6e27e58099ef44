"""Niches: clusters of niche embeddings, over one section or several together (Sec. 5.2)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from napari_gest.errors import InputError
from napari_gest.files import Scratch
from napari_gest.limits import check_choice, check_number
from napari_gest.memory import give_back
from napari_gest.model.axes import principal_axes, signed
from napari_gest.model.kmeans import kmeans
from napari_gest.seeds import MAX_SEED, check_seed
from napari_gest.tasks.finite import require_finite
from napari_gest.tasks.niches.align import Align, section_shifts
from napari_gest.tasks.niches.embed import Embedded
from napari_gest.tasks.niches.niches import Clustered, ordered
from napari_gest.tasks.niches.random_field import Sample, around, fit_field_mixture
from napari_gest.tasks.progress import Clock, Progress, finish, relay
from napari_gest.tissue.neighbours import Neighbours
from napari_gest.tissue.section import Section, cell_order, name_order
from napari_gest.tissue.window import compact_groups

Method = Literal["mixture", "kmeans", "leiden"]

# Components that are clustered: of niche means those in which at least so much of what sets a
# cell apart is shared with the cells around it, of other embeddings so many principal ones.
_LEAST_SHARED, _FEWEST, _N_PCS = 0.05, 3, 20
_RIDGE = 1e-3  # of the mean variance of a cell
_EXACT_KMEANS = 50_000
_STARTS = 8
# Beyond these nothing changes any more, or nobody waits for it.
MAX_SMOOTHING, _MAX_REPEATS, _MAX_RESOLUTION = 1e4, 1000, 1e6
_LEIDEN_NEIGHBOURS = 15
_SMOOTHING_STEPS = 10
_STEPS = 100  # of progress, per clustering
# Of more cells, starts are tried on tiles of so many, about half as many cells in all.
_MANY, _TILE = 100_000, 2_500


@dataclass(frozen=True, eq=False)
class ClusterRequest:
    """One clustering and all it needs. Embeddings are taken as they are: nothing is embedded.

    Attributes
    ----------
    embedded
        Embeddings of one or more sections by one model; a niche has one label in all of them.
    n_niches
        Number of niches, for the methods ``mixture`` and ``kmeans``.
    method
        ``mixture`` of Gaussians that share a covariance, ``kmeans``, or ``leiden``.
    resolution
        Of Leiden; a higher one gives more niches.
    smoothing
        How strongly a cell's niche leans on those of the cells around it; 0: not at all.
    seed
        Of the clustering, which does not follow the order of rows or sections (decision 25).
    repeats
        Further seeds the clustering is repeated with, to tell how stable each niche is.
    align
        Whether what sets each section apart as a whole is taken away, as the sections of several
        donors need: ``auto`` where niches would largely be the sections, ``always`` or ``never``.
    """

    embedded: Sequence[Embedded]
    n_niches: int | None = 8
    method: Method = "mixture"
    resolution: float | None = None
    smoothing: float = 5.0
    seed: int = 0
    repeats: int = 0
    align: Align = "auto"

    def check(self) -> None:
        """Raise InputError if the clustering cannot be done as asked."""
        check_together(self.embedded)
        n = sum(len(e.rows) for e in self.embedded)
        check_asked(n, self.method, self.n_niches, self.resolution)
        check_number("smoothing", self.smoothing, 0, MAX_SMOOTHING)
        check_number("repeats", self.repeats, 0, _MAX_REPEATS, whole=True)
        check_choice("align", self.align, get_args(Align))
        check_seed(self.seed)
        if self.seed + self.repeats > MAX_SEED:
            raise InputError(
                f"The seed is {self.seed} with {self.repeats} more after it.",
                f"Give one up to {MAX_SEED - self.repeats}.",
            )

    def run(self) -> Generator[Progress, None, Clustered]:
        """Cluster; yields between its stages, returns the result."""
        self.check()
        clock = Clock("Clustering niches", _STEPS)
        yield clock.tick(0)
        together = yield from self._together()
        found = together.by_row((yield from self._fit(together, 0, clock)))
        require_finite("The niches", probability=found)
        aligned = together.shifts is not None
        del together
        if not self.repeats:
            vars(self).pop("_cells")
        labels, probability, _ = ordered(found)
        del found
        settings = {
            "method": self.method,
            "n_niches": int(probability.shape[1]),
            "resolution": self.resolution,
            "smoothing": self.smoothing,
            "seed": self.seed,
            "repeats": 0,
            "stability": None,
            "align": self.align,
            "aligned": aligned,
            "embedding": dict(self.embedded[0].settings),
        }
        sections = [e.section for e in self.embedded]
        niches = Clustered.of(sections, labels, probability, None, settings)
        return (yield from self.repeat(niches)) if self.repeats else niches

    def repeat(self, found: Clustered) -> Generator[Progress, None, Clustered]:
        """Cluster with ``repeats`` further seeds; returns what was found, with its stability."""
        from sklearn.metrics import adjusted_mutual_info_score  # 60 MB, after the embedding

        clock = Clock("Repeating with other seeds", _STEPS * self.repeats)
        yield clock.tick(0)
        together = yield from self._together()
        agreement, overlap = [], []
        for i in range(1, self.repeats + 1):
            repeated = together.by_row((yield from self._fit(together, i, clock)))
            require_finite("The repeated niches", probability=repeated)
            other = repeated.argmax(1)
            agreement.append(float(adjusted_mutual_info_score(found.labels, other)))
            overlap.append(_best_overlap(found.labels, other, found.n_niches))
        told = {"repeats": self.repeats, "stability": float(np.mean(agreement))}
        stability = np.mean(overlap, axis=0)
        return replace(found, stability=stability, settings=found.settings | told)

    def _together(self) -> Generator[Progress, None, Together]:
        """Return the cells as they are clustered; they are kept."""
        known: Together | None = vars(self).get("_cells")
        if known is None:
            known = yield from together(self.embedded, self.align, self.smoothing)
            vars(self)["_cells"] = known
        return known

    def _fit(
        self, together: Together, repeat: int, clock: Clock
    ) -> Generator[Progress, None, NDArray[np.float32]]:
        """Return (n, K) probabilities with the seed that comes ``repeat`` after the first."""
        neighbours = together.neighbours
        seed, done = self.seed + repeat, max(repeat - 1, 0) * _STEPS
        if self.method == "leiden":  # takes no number of niches
            probability = _leiden(together.moved(), float(self.resolution or 1), seed)
            yield clock.tick(done + _STEPS)
            return smooth(probability, neighbours, self.smoothing)
        assert self.n_niches is not None  # as ``check`` knows
        if self.method == "mixture":
            fit = fit_field_mixture(
                together.features,
                neighbours,
                self.n_niches,
                smoothing=self.smoothing,
                starts=_STARTS,
                seed=seed,
                sample=together.sample,
                files=together.files,
                section=together.apart,
            )
            made = yield from relay(fit, lambda share: clock.tick(done + int(_STEPS * share)))
            return made.probability
        probability = kmeans_probability(together.moved(), self.n_niches, seed)
        yield clock.tick(done + _STEPS)
        return smooth(probability, neighbours, self.smoothing)


def cluster_niches(
    embedded: Embedded | Sequence[Embedded],
    n_niches: int | None = 8,
    *,
    method: Method = "mixture",
    resolution: float | None = None,
    smoothing: float = 5.0,
    seed: int = 0,
    repeats: int = 0,
    align: Align = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> Clustered:
    """Cluster niche embeddings.

    Parameters
    ----------
    embedded
        What ``embed_niches`` returned, for one section or several.
    n_niches
        Number of niches; ignored by the method ``leiden``.
    method, resolution, smoothing, seed, repeats, align
        As in ``ClusterRequest``.
    on_progress
        Called between stages.

    Raises
    ------
    InputError
        If the clustering cannot be done as asked.
    """
    several = [embedded] if isinstance(embedded, Embedded) else list(embedded)
    request = ClusterRequest(several, n_niches, method, resolution, smoothing, seed, repeats, align)
    return finish(request.run(), on_progress)


def check_together(embedded: Sequence[Embedded]) -> None:
    """Raise InputError unless the embeddings can be clustered together."""
    if not embedded:
        raise InputError("There is nothing to cluster.", "Embed a section first.")
    first = embedded[0]
    for other in embedded[1:]:
        if other.embedding.shape[1] != first.embedding.shape[1] or other.settings != first.settings:
            raise InputError(
                f"Sections '{first.section_name}' and '{other.section_name}' were embedded with"
                " different models or settings.",
                "Embed them with the same model and settings to cluster them together.",
            )


def check_asked(n_cells: int, method: str, n_niches: int | None, resolution: float | None) -> None:
    """Raise InputError unless that many cells can be clustered so; needs no embeddings."""
    check_choice("method", method, get_args(Method))
    if method == "leiden":
        check_number("resolution", resolution, 0, _MAX_RESOLUTION, above=True)
        _igraph()
    else:
        check_n_niches("n_niches", n_niches, n_cells)


def check_n_niches(name: str, n_niches: int | None, n_cells: int) -> None:
    """Raise InputError unless so many cells make that many niches, two cells each on average."""
    if n_cells < 4:
        raise InputError(f"{n_cells} cells cannot be clustered.", "Embed 4 cells at least.")
    check_number(name, n_niches, 2, n_cells // 2, whole=True)


@dataclass(frozen=True, eq=False)
class Together:
    """Cells of several sections in an order that no file decides: by section, then as in each.

    Attributes
    ----------
    features
        (n, p) what is clustered.
    neighbours
        Of each section.
    sections
        Of the cells, as they were given.
    sample
        Of over 100,000 cells: those to which niches are fitted.
    files
        What features and neighbours are in where the embeddings are in files.
    shifts
        (S, p) what sets each section apart as a whole; None where they are clustered as one.
    """

    features: NDArray[np.float32]
    neighbours: list[Neighbours]
    sections: Sequence[Section]
    sample: Sample | None = None
    files: Scratch | None = None
    shifts: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, embedded: Sequence[Embedded]) -> Together:
        """Gather the cells of embeddings."""
        sections = [e.section for e in embedded]
        parts = [embedded[i] for i in name_order(sections)]
        coords = [e.section.coords_um[e.section.order] for e in parts]
        sample = sample_of(coords)
        files = None
        if sample is not None and any(e.files for e in embedded):
            files = Scratch(secrets.token_hex(8))
        give_back()
        near = [
            Neighbours.of(one, files=files, name=f"neighbours_{i}") for i, one in enumerate(coords)
        ]
        del coords
        features = niche_features(parts, files)
        give_back()
        return cls(features, near, sections, sample, files)

    @property
    def apart(self) -> NDArray[np.int64] | None:
        """(n,) section of each cell; None where they are clustered as one."""
        if self.shifts is None:
            return None
        return np.repeat(
            np.arange(len(self.neighbours)), [near.n_cells for near in self.neighbours]
        )

    def moved(self) -> NDArray[np.float32]:
        """Return (n, p) features without what sets sections apart."""
        return self.features if self.shifts is None else self.features - self.shifts[self.apart]

    def release(self) -> None:
        """Let go of features that are in files; they are read again where they are used."""
        if self.files is not None:
            self.files.release()

    def by_row(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Put values (n, K) of the cells into the order in which they were given, in place."""
        index = cell_order(self.sections)
        for column in values.T:  # one at a time: a copy of all would double them
            column[index] = column.copy()
        return values


def together(
    embedded: Sequence[Embedded], align: Align, smoothing: float
) -> Generator[Progress, None, Together]:
    """Return the cells of embeddings as they are clustered, by any method."""
    made = Together.of(embedded)
    work = section_shifts(made.features, made.neighbours, align, smoothing, made.sample)
    shifts = yield from work
    made.release()
    return replace(made, shifts=shifts)


def sample_of(coords_um: Sequence[NDArray[np.float64]]) -> Sample | None:
    """Return tiles all over sections (n, 2) each, half of ``_MANY`` cells; None of fewer cells.

    Whole tiles, because a cell's niche leans on those around it. Of each section there are some
    eight, so that sections can be compared; one of a small section.
    """
    n = sum(map(len, coords_um))
    if n <= _MANY:
        return None
    starts = np.cumsum([0, *map(len, coords_um)])
    size = min(_TILE, max(_MANY // (16 * len(coords_um)), 1))
    groups = [compact_groups(one, size) for one in coords_um]
    tiles = [
        (start + np.sort(tile), one[np.sort(tile)])
        for start, one, of_section in zip(starts, coords_um, groups, strict=False)
        for tile in of_section
    ]
    taken = np.linspace(0, len(tiles) - 1, max(len(tiles) * _MANY // (2 * n), 1)).astype(int)
    section = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    first = np.unique(section, return_index=True)[1]
    missed = first[~np.isin(section[first], section[taken])]
    some = [tiles[i] for i in np.union1d(taken, missed)]
    return Sample(np.concatenate([cells for cells, _ in some]), [Neighbours.of(c) for _, c in some])


def niche_features(
    embedded: Sequence[Embedded], files: Scratch | None = None
) -> NDArray[np.float32]:
    """Return (n, p) what of the embeddings of all sections is clustered.

    Niche means lie along directions in which cells resemble those around them, and others that
    only tell how single cells differ: the first are kept (min/max autocorrelation factors,
    Switzer and Green 1984), each as wide as what is shared. How sections differ as a whole has no
    say in it. Of embeddings by the decoder, the principal components. Cells of each section are in
    its order; with ``files`` the features are in them.
    """
    n, width = sum(len(e.rows) for e in embedded), embedded[0].embedding.shape[1]

    def parts() -> Iterator[NDArray[np.float32]]:
        some = (part for e in embedded for part in e.ordered_parts())
        if n > _MANY or (len(embedded) == 1 and embedded[0].files is None):
            return some
        return iter([np.concatenate(list(some))])

    total, low, high = np.zeros(width), np.full(width, np.inf), np.full(width, -np.inf)
    for part in parts():
        require_finite("The niche embedding", embedding=part)
        total += part.sum(0, dtype=np.float64)
        low, high = np.minimum(low, part.min(0)), np.maximum(high, part.max(0))
    if not (high > low).any():
        raise InputError(
            f"All {n:,} cells have the same niche embedding.",
            "Choose another model, or tissue whose cells differ in the model's genes.",
        )
    known = [(len(e.rows), e.covariance) for e in embedded if e.covariance is not None]
    if not known:
        together = np.concatenate(list(parts()))
        p = min(_N_PCS, width, n - 1)
        mean, axes = principal_axes(together, p)
        return np.asarray((together - mean) @ axes.T, np.float32)
    shared, single = np.average([c for _, c in known], axis=0, weights=[n for n, _ in known])
    single = single + _RIDGE * np.trace(single) / len(single) * np.eye(len(single))
    share, axes = eigh(shared, single)
    kept = max(int((share > _LEAST_SHARED).sum()), min(_FEWEST, len(share)))
    # Along an axis single cells vary by 1. The mixture does not ask how wide axes are; the k-means
    # it starts from do, and with all alike they lead it astray.
    axes = signed(axes.T).T * np.sqrt(np.maximum(share, 0))
    axes = axes[:, ::-1][:, :kept]
    shape, start = (n, kept), 0
    if files is None:
        features = np.empty(shape, np.float32)
    else:
        features = files.make("features", shape, np.float32)
    for part in parts():
        middle = part.mean(0) if n <= _MANY else np.asarray(total / n, np.float32)
        made = (part - middle) @ axes
        require_finite("The niche embedding", components=made)
        features[start : start + len(part)] = made
        start += len(part)
        if files is not None:
            files.release()
    return features


def smooth(
    probability: NDArray[np.float32], neighbours: Sequence[Neighbours], strength: float
) -> NDArray[np.float32]:
    """Return probabilities (n, K) that lean on those of the cells around.

    Mean-field steps of a Potts model: the log-probability of a niche grows by ``strength`` times
    the mean probability of that niche among the cell's neighbours.
    """
    if strength == 0:
        return probability
    own = np.log(np.maximum(probability, 1e-6))
    for _ in range(_SMOOTHING_STEPS):
        probability = _softmax(own + strength * around(probability, neighbours))
    return probability


def kmeans_probability(features: NDArray[np.float32], k: int, seed: int) -> NDArray[np.float32]:
    """Return probabilities of k-means clusters: Gaussians that share one variance."""
    rng = np.random.default_rng(seed)
    if len(features) <= _EXACT_KMEANS:
        fitted = kmeans(features, k, rng, starts=10)
    else:
        fitted = kmeans(features, k, rng, starts=3, batch_size=8192)
    squared = np.square(fitted.transform(features))
    variance = max(float(squared.min(1).mean()) / features.shape[1], 1e-12)
    return _softmax(-squared / (2 * variance))


def _leiden(features: NDArray[np.float32], resolution: float, seed: int) -> NDArray[np.float32]:
    """Return, per Leiden community, its share of each cell's neighbours in embedding space."""
    import random

    from sklearn.neighbors import kneighbors_graph

    igraph = _igraph()
    n = len(features)
    near = kneighbors_graph(features, min(_LEIDEN_NEIGHBOURS, n - 1), include_self=False)
    pairs = near.tocoo()
    low, high = np.minimum(pairs.row, pairs.col), np.maximum(pairs.row, pairs.col)
    edges = np.unique(np.stack([low, high], 1), axis=0)
    igraph.set_random_number_generator(random.Random(int(seed)))  # which takes no NumPy number
    communities = igraph.Graph(n=n, edges=edges).community_leiden(
        objective_function="modularity", resolution=resolution, n_iterations=4
    )
    own = np.eye(len(communities), dtype=np.float32)[np.array(communities.membership)]
    share = near @ own + own
    return np.asarray(share / share.sum(1, keepdims=True), np.float32)


def _igraph() -> Any:
    try:
        import igraph
    except ImportError as error:
        raise InputError(
            "Clustering at a resolution needs igraph, which is not installed.",
            "Install it with 'pip install napari-gest[leiden]', or ask for a number of niches.",
        ) from error
    return igraph


def _softmax(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    out = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(out / out.sum(1, keepdims=True), np.float32)


def _best_overlap(
    labels: NDArray[np.int64], others: NDArray[np.int64], k: int
) -> NDArray[np.float64]:
    """Return (k,) the Jaccard index of each niche with the niche most like it elsewhere."""
    both = np.zeros((k, others.max() + 1))
    np.add.at(both, (labels, others), 1)
    either = both.sum(1, keepdims=True) + both.sum(0) - both
    return np.asarray((both / np.maximum(either, 1)).max(1))
