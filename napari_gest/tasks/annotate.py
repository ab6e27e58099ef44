"""Labels: a linear layer on pooled niche embeddings, trained on labelled tissue (Sec. 4.5, 5.3)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score

import napari_gest
from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.model.gest import GeST
from napari_gest.model.head import LabelHead
from napari_gest.tasks.cluster import smooth
from napari_gest.tasks.embed import EmbedRequest, Form, Read
from napari_gest.tasks.progress import Progress, finish
from napari_gest.tissue.neighbours import Neighbours
from napari_gest.tissue.section import Section

if TYPE_CHECKING:
    from anndata import AnnData

_MAX_STEPS = 500
_SHIFT_STEPS = 10
_AROUND = 13  # cells whose labels lean on each other, the cell itself among them
# What a head chooses from, the first where only one section is labelled; docs/decisions/0012.
POOLS = ((1, 7, 19, 61), (1, 19, 61), (1, 19, 61, 127))
SMOOTHING = (2.0, 0.0, 5.0)
ALIGN = (0.0, 0.5, 1.0)
_FOLDS = 4
_CHOICE_CELLS = 5000  # that a fold learns from at most


class HeadConfig(BaseModel):
    """How labels are read off the embeddings. Frozen, and stored with the head.

    Attributes
    ----------
    reads, form, niche_cells
        As in ``EmbedRequest``; several reads are put side by side. The paper's is ``"hidden"``.
        The content is that of single cells, averaged over the pools.
    pools
        Each read is averaged over this many nearest cells, the cell itself among them, and
        the averages are put side by side. The paper's is one pool, the niche. None: those of
        ``POOLS`` that label held-out sections best, the first with one section.
    penalty
        Strength of the ridge on the linear layer, in features of unit variance.
    smoothing
        How strongly a cell's label leans on those of the cells around it; 0: not at all. None:
        the one of ``SMOOTHING`` that labels held-out sections best, the first with one section.
    align
        Share that is taken out of what shifts a section as a whole, such as its sequencing depth;
        0: nothing. The shift is told by the labels that are predicted, and where these are poor
        so is the shift. None: the one of ``ALIGN`` that labels held-out sections best, none with
        one section, which cannot tell.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reads: tuple[Read, ...] = Field(("content",), min_length=1)
    form: Form | None = None
    niche_cells: int | None = None
    pools: tuple[int, ...] | None = Field(None, min_length=1)
    penalty: float = Field(0.01, gt=0)
    smoothing: float | None = Field(None, ge=0)
    align: float | None = Field(None, ge=0, le=1)


@dataclass(frozen=True, eq=False)
class HeadRequest:
    """One training of a head and all it needs.

    Attributes
    ----------
    model
        The model; its network stays as it is.
    sections, labels
        Labelled sections, and per section an (n_obs,) object array with None where a cell has
        no label. Such cells are tissue around others, and nothing more.
    config
        How labels are read off.
    label_key
        Where the labels came from, for the model's card.
    """

    model: GeST
    sections: Sequence[Section]
    labels: Sequence[NDArray[np.object_]]
    config: HeadConfig
    label_key: str | None = None

    def check(self) -> None:
        """Raise InputError if there is nothing to learn from."""
        if not self.sections or len(self.sections) != len(self.labels):
            raise InputError(
                f"There are {len(self.sections)} sections and {len(self.labels)} sets of labels.",
                "Give one set of labels for each section.",
            )
        for section, labels in zip(self.sections, self.labels, strict=True):
            if len(labels) != section.n_obs:
                raise InputError(
                    f"Section '{section.name}' has {section.n_obs} cells and {len(labels)} labels.",
                    "Give one label for each cell, None where it has none.",
                )
            section.align(self.model.genes)
        classes, count = np.unique(_known(self.labels), return_counts=True)
        if len(classes) < 2:
            found = ", ".join(f"{c} ({n})" for c, n in zip(classes, count, strict=True)) or "none"
            raise InputError(
                f"Labels to train on: {found}.",
                "Label cells of two kinds at least.",
            )

    def run(self) -> Generator[Progress, None, GeST]:
        """Train the layer; returns a model with the head."""
        self.check()
        tissues = []
        for section, labels in zip(self.sections, self.labels, strict=True):
            reads = yield from _read(section, self.model, self.config)
            tissues.append(_Tissue(section, reads, labels))
        config = self.config
        if None in (config.pools, config.smoothing, config.align):
            config = yield from _choose(tissues, config)
        yield Progress("Training the label layer", 0, 1)
        settings = {
            "config": config.model_dump(mode="json"),
            "label_key": self.label_key,
            "version": napari_gest.__version__,
            "sections": [{"name": t.section.name, "cells": int(t.known.sum())} for t in tissues],
        }
        head = _fit([(t, t.known) for t in tissues], config, settings)
        yield Progress("Training the label layer", 1, 1)
        return replace(self.model, head=head)


@dataclass(frozen=True, eq=False)
class _Tissue:
    """A section as a head reads it: reads (n, D) of its cells, and labels where they are known."""

    section: Section
    reads: list[NDArray[np.float32]]
    labels: NDArray[np.object_]

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        return np.array([x is not None for x in self.labels], bool)

    @cached_property
    def neighbours(self) -> Neighbours:
        return Neighbours.of(self.section.coords_um, max(max(pools) for pools in POOLS))

    def features(self, pools: Sequence[int]) -> NDArray[np.float32]:
        """Return (n, F): the reads, each averaged over each of the pools."""
        near = self.neighbours
        if max(pools) > max(max(known) for known in POOLS):
            near = Neighbours.of(self.section.coords_um, max(pools))
        parts = [near.nearest(size).mean(read, own=True) for read in self.reads for size in pools]
        return np.concatenate(parts, axis=1)

    def smooth(self, probability: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
        return smooth(probability, [self.neighbours.nearest(_AROUND)], strength)


def _fit(
    parts: Sequence[tuple[_Tissue, NDArray[np.bool_]]],
    config: HeadConfig,
    settings: dict[str, Any],
    features: Mapping[_Tissue, NDArray[np.float32]] | None = None,
) -> LabelHead:
    """Fit the layer to some labelled cells of each section; features may be known already."""
    assert config.pools is not None
    every = [t.features(config.pools) if features is None else features[t] for t, _ in parts]
    x = [f[some] for f, (_, some) in zip(every, parts, strict=True)]
    y = [t.labels[some].astype(str) for t, some in parts]
    classes = sorted(set(np.concatenate(y)))
    shift, means = _shifts(x, y, classes) if config.align else (None, np.zeros(0, np.float32))
    if shift is not None:
        x = [one - s for one, s in zip(x, shift, strict=True)]
    whole, names = np.concatenate(x), np.concatenate(y)
    mean, spread = whole.mean(0), np.maximum(whole.std(0), 1e-6)
    layer = LogisticRegression(
        C=1 / (config.penalty * len(whole)), class_weight="balanced", max_iter=_MAX_STEPS
    ).fit((whole - mean) / spread, names)
    weight, bias = layer.coef_, layer.intercept_
    if len(classes) == 2:  # one row says it all; softmax wants two
        weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight / spread
    head = LabelHead(
        tuple(classes),
        weight.astype(np.float32),
        (bias - weight @ mean).astype(np.float32),
        means.astype(np.float32),
        settings,
    )
    if shift is None:
        return head
    # Cells without a label may be of other kinds: what that moves is no shift of the section.
    beyond = [
        _offset(head, t, f - s, config) for (t, _), f, s in zip(parts, every, shift, strict=True)
    ]
    return replace(head, means=head.means + np.mean(beyond, axis=0, dtype=np.float32))


def _shifts(
    x: Sequence[NDArray[np.float32]], y: Sequence[NDArray[np.str_]], classes: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what shifts each of S sections (S, F), and the means (C, F) of labels without it."""
    shift = np.zeros((len(x), x[0].shape[1]), np.float32)
    member = [(np.asarray(classes)[:, None] == names).astype(np.float32) for names in y]
    for _ in range(_SHIFT_STEPS):
        total = sum(m @ (part - s) for m, part, s in zip(member, x, shift, strict=True))
        means = total / sum(m.sum(1) for m in member)[:, None]
        shift = np.stack([(p - m.T @ means).mean(0) for m, p in zip(member, x, strict=True)])
        shift -= shift.mean(0)
    return shift, means


def _offset(
    head: LabelHead, tissue: _Tissue, features: NDArray[np.float32], config: HeadConfig
) -> NDArray[np.float32]:
    """Return (F,) by how much a section is off the means of the labels the head gives it."""
    probability = tissue.smooth(head.probability(features), config.smoothing or 0.0)
    return features.mean(0) - probability.mean(0) @ head.means


def _choose(
    tissues: Sequence[_Tissue], config: HeadConfig
) -> Generator[Progress, None, HeadConfig]:
    """Choose what is not given by macro-F1 on labelled sections that are held out in turn."""
    sizes = POOLS if config.pools is None else (config.pools,)
    shares = ALIGN if config.align is None else (config.align,)
    strengths = SMOOTHING if config.smoothing is None else (config.smoothing,)
    if len(tissues) == 1:
        first = {"pools": sizes[0], "align": shares[0], "smoothing": strengths[0]}
        return config.model_copy(update=first)
    folds = [i % _FOLDS for i in range(len(tissues))]
    numbers = sorted(set(folds))
    every = [(pools, share) for pools in sizes for share in shares]
    rng = np.random.default_rng(0)
    best, chosen = -1.0, config
    for done, (pools, share) in enumerate(every):
        trial = config.model_copy(update={"pools": pools, "align": share, "smoothing": 0.0})
        features = {t: t.features(pools) for t in tissues}
        found: dict[float, list[NDArray[np.str_]]] = {s: [] for s in strengths}
        truth = []
        for number in numbers:
            step = done * len(numbers) + number
            yield Progress("Choosing how far to look", step, len(every) * len(numbers))
            learned = [t for t, fold in zip(tissues, folds, strict=True) if fold != number]
            parts = [(t, _some(t.known, rng)) for t in learned if t.known.any()]
            if len({x for t, some in parts for x in t.labels[some]}) < 2:
                continue
            head = _fit(parts, trial, {}, features)
            for tissue, fold in zip(tissues, folds, strict=True):
                if fold == number and tissue.known.any():
                    truth.append(tissue.labels[tissue.known].astype(str))
                    own = _label(head, tissue, features[tissue], trial)
                    for strength in strengths:
                        made = tissue.smooth(own, strength).argmax(1)
                        found[strength].append(np.asarray(head.classes)[made[tissue.known]])
        for strength, made in found.items():
            score = _macro_f1(np.concatenate(truth), np.concatenate(made)) if truth else 0.0
            if score > best:
                best, chosen = score, trial.model_copy(update={"smoothing": strength})
    return chosen


def _some(cells: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return at most ``_CHOICE_CELLS`` of the cells (n,)."""
    if cells.sum() <= _CHOICE_CELLS:
        return cells
    out = np.zeros_like(cells)
    out[rng.choice(np.flatnonzero(cells), _CHOICE_CELLS, replace=False)] = True
    return out


def _label(
    head: LabelHead, tissue: _Tissue, features: NDArray[np.float32], config: HeadConfig
) -> NDArray[np.float32]:
    """Return (n, C) probabilities, aligned and smoothed as asked.

    The shift is told by the labels, and the labels by features without the shift, in turns.
    """
    moved = features
    for _ in range(_SHIFT_STEPS if config.align else 0):
        probability = tissue.smooth(head.probability(moved), config.smoothing or 0.0)
        shift = features.mean(0) - probability.mean(0) @ head.means
        moved = features - np.float32(config.align) * shift
    return tissue.smooth(head.probability(moved), config.smoothing or 0.0)


def train_head(
    model: GeST,
    sections: Sequence[Section],
    labels: Sequence[NDArray[np.object_]],
    config: HeadConfig | None = None,
    *,
    label_key: str | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> GeST:
    """Train a label layer on a model's embeddings and return the model with it.

    Parameters are those of ``HeadRequest``; ``on_progress`` is called between steps.
    """
    request = HeadRequest(model, sections, labels, config or HeadConfig(), label_key)
    return finish(request.run(), on_progress)


@dataclass(frozen=True, eq=False)
class AnnotateRequest:
    """Labels for the cells of a section, by a model that was trained to give them."""

    section: Section
    model: GeST

    def check(self) -> None:
        """Raise InputError if the model has no labels to give, or the panel does not fit."""
        if self.model.head is None:
            raise InputError(
                f"Model '{self.model.name}' was not trained on labels.",
                "Train a label layer first: train_head, or 'napari-gest fine-tune --label-key'.",
            )
        self.section.align(self.model.genes)

    def run(self) -> Generator[Progress, None, Annotated]:
        """Embed and label; yields after every few windows."""
        self.check()
        head = self.model.head
        assert head is not None
        config = HeadConfig.model_validate(head.settings["config"])
        reads = yield from _read(self.section, self.model, config)
        tissue = _Tissue(self.section, reads, np.full(self.section.n_obs, None, object))
        assert config.pools is not None
        probability = _label(head, tissue, tissue.features(config.pools), config)
        settings = {"model": self.model.name, "version": napari_gest.__version__} | head.settings
        return Annotated(
            self.section,
            self.section.rows,
            probability.argmax(1).astype(np.int64),
            probability,
            head.classes,
            settings,
        )


@dataclass(frozen=True, eq=False)
class Annotated:
    """Predicted labels of the cells of a section.

    Attributes
    ----------
    section
        The section.
    rows
        (n,) row of each cell in the AnnData.
    labels
        (n,) int64 index of each cell's label in ``classes``.
    probability
        (n, C) float32, rows sum to 1.
    classes
        C names.
    settings
        What made them.
    """

    section: Section
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    probability: NDArray[np.float32]
    classes: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def section_name(self) -> str:
        return self.section.name

    @property
    def names(self) -> NDArray[np.str_]:
        """(n,) label of each cell."""
        return np.asarray(self.classes)[self.labels]

    @property
    def confidence(self) -> NDArray[np.float32]:
        """(n,) probability of each cell's label."""
        return self.probability.max(1)

    def write(self, adata: AnnData) -> frozenset[str]:
        """Write labels and their probability; cells of other sections keep what they had.

        Returns
        -------
        The names of the keys that changed.
        """
        label = np.full(adata.n_obs, None, object)
        confidence = np.full(adata.n_obs, np.nan, np.float32)
        if keys.LABEL in adata.obs and keys.LABEL_CONFIDENCE in adata.obs:
            old = adata.obs[keys.LABEL]
            label[old.notna()] = old[old.notna()].astype(str)
            confidence[:] = adata.obs[keys.LABEL_CONFIDENCE]
        label[self.rows] = self.names
        confidence[self.rows] = self.confidence
        others = sorted({x for x in label if x is not None} - set(self.classes))
        adata.obs[keys.LABEL] = pd.Categorical(label, [*self.classes, *others])
        adata.obs[keys.LABEL_CONFIDENCE] = confidence
        return frozenset({keys.LABEL, keys.LABEL_CONFIDENCE})

    def agreement(self, labels: NDArray[np.object_]) -> LabelAgreement:
        """Return how the predictions agree with known labels (n,), None where there is none."""
        has = np.array([x is not None for x in labels], bool)
        truth, made = labels[has].astype(str), self.names[has]
        every = sorted(set(truth))
        confusion = pd.crosstab(truth, made).reindex(index=every, fill_value=0)
        return LabelAgreement(
            int(has.sum()),
            _macro_f1(truth, made),
            float(balanced_accuracy_score(truth, made)),
            confusion,
        )


@dataclass(frozen=True, eq=False)
class LabelAgreement:
    """How predicted labels agree with known ones.

    Attributes
    ----------
    n_cells
        Cells compared.
    macro_f1
        Mean F1 over the known labels.
    balanced_accuracy
        Mean recall over the known labels.
    confusion
        Cells by known label (rows) and predicted label (columns).
    """

    n_cells: int
    macro_f1: float
    balanced_accuracy: float
    confusion: pd.DataFrame


def annotate(
    section: Section, model: GeST, *, on_progress: Callable[[Progress], None] | None = None
) -> Annotated:
    """Predict the label of every cell of a section with a model that has a head."""
    return finish(AnnotateRequest(section, model).run(), on_progress)


def labels_from_obs(
    adata: AnnData,
    key: str,
    rows: NDArray[np.int64] | None = None,
    *,
    ignore: Sequence[str] = (),
) -> NDArray[np.object_]:
    """Return labels (n,) of an obs column for ``rows``, None where missing or in ``ignore``."""
    if key not in adata.obs:
        columns = ", ".join(map(str, adata.obs.columns)) or "none"
        raise InputError(
            f"There is no obs column '{key}'; columns here: {columns}.",
            "Name the column that holds the labels (--label-key).",
        )
    column = adata.obs[key] if rows is None else adata.obs[key].iloc[rows]
    if pd.api.types.is_float_dtype(column.dtype) and column.nunique() > 100:
        raise InputError(
            f"obs column '{key}' holds {column.nunique()} different numbers.",
            "Name a column of labels: few names, many cells each.",
        )
    text = column.astype(str).to_numpy(dtype=object)
    missing = column.isna().to_numpy() | np.isin(text.astype(str), [*ignore, ""])
    text[missing] = None
    return text


def _read(
    section: Section, model: GeST, config: HeadConfig
) -> Generator[Progress, None, list[NDArray[np.float32]]]:
    """Return the reads (n_obs, D) of every cell."""
    reads = []
    for read in config.reads:
        n_cells = 1 if read == "content" else config.niche_cells
        embedded = yield from EmbedRequest(section, model, read, config.form, n_cells).run()
        reads.append(embedded.embedding)
    return reads


def _macro_f1(truth: NDArray[np.str_], made: NDArray[np.str_]) -> float:
    """Return the mean F1 over the labels there are."""
    labels = sorted(set(truth))
    return float(f1_score(truth, made, labels=labels, average="macro", zero_division=0))


def _known(labels: Sequence[NDArray[np.object_]]) -> NDArray[np.str_]:
    return np.array([str(x) for part in labels for x in part if x is not None], dtype=str)
