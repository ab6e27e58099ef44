"""Labels: a linear layer on pooled niche embeddings, trained on labelled tissue (Sec. 4.5, 5.3)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score

import napari_gest
from napari_gest import keys
from napari_gest.errors import CheckpointError, InputError
from napari_gest.limits import shown
from napari_gest.model.devices import Device, check_device
from napari_gest.model.gest import GeST
from napari_gest.model.head import ARRAYS, LabelHead
from napari_gest.tasks.finite import require_finite
from napari_gest.tasks.labels.label_shares import label_prior
from napari_gest.tasks.labels.label_temperature import (
    N_FOLDS,
    Held,
    chessboard,
    fit_temperature,
    tempered,
)
from napari_gest.tasks.niches.cluster import MAX_SMOOTHING, smooth
from napari_gest.tasks.niches.embed import EmbedRequest, Form, Read
from napari_gest.tasks.progress import Progress, finish
from napari_gest.tasks.workers import HERE, Workers
from napari_gest.tissue.kept import generated_cells, kept_column
from napari_gest.tissue.neighbours import Neighbours
from napari_gest.tissue.obs import obs_column
from napari_gest.tissue.section import Section, name_order, section_record

if TYPE_CHECKING:
    from anndata import AnnData

_MAX_STEPS = 500
_AROUND = 13  # cells whose labels the random field smooths, including the cell itself
_MOST_PRIOR = 100.0
_RIDGE = 1e-3  # of each feature's variance within labels
_TEMPERATURE, _PRIOR = "temperature", "prior"
_AGAIN = "Train the label layer again: train_head, or 'napari-gest fine-tune --label-key'."


class HeadConfig(BaseModel):
    """Settings of a label head. Frozen, and stored with the head.

    Attributes
    ----------
    reads, form, niche_cells
        As in ``EmbedRequest``; several reads are concatenated. The paper's read is ``"hidden"``.
        The content is that of single cells, averaged over the pools.
    pools
        Each read is averaged over this many nearest cells, including the cell itself, and the
        averages are concatenated. The paper uses one pool, the niche.
    penalty
        Strength of the ridge on the linear layer, in features of unit variance.
    adapt
        Refit the mean features of each label on all cells of the section that is labelled. The
        paper labels by the linear layer alone.
    smoothing
        Strength of the random field that smooths labels over neighbouring cells; 0 is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    reads: tuple[Read, ...] = Field(("content",), min_length=1)
    form: Form | None = None
    niche_cells: PositiveInt | None = None
    pools: tuple[PositiveInt, ...] = Field((1, 7, 19), min_length=1)
    penalty: float = Field(0.01, gt=0)
    adapt: bool = True
    smoothing: float = Field(2.0, ge=0, le=MAX_SMOOTHING)


@dataclass(frozen=True, eq=False)
class HeadRequest:
    """A request to train a head.

    Attributes
    ----------
    model
        The model; its network is not changed.
    sections, labels
        Labelled sections, and per section an (n_obs,) object array with None where a cell has
        no label. Such cells only serve as neighbours of labelled cells.
    config
        Settings of the head.
    label_key
        Source of the labels, for the model's card.
    device
        As in ``EmbedRequest``.
    """

    model: GeST
    sections: Sequence[Section]
    labels: Sequence[NDArray[np.object_]]
    config: HeadConfig
    label_key: str | None = None
    device: Device = "auto"

    def check(self) -> None:
        """Raise InputError if there are too few labels to learn from."""
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
            section.measured(self.model.genes)
        classes, count = np.unique(_known(self.labels), return_counts=True)
        if len(classes) < 2:
            found = ", ".join(f"{c} ({n})" for c, n in zip(classes, count, strict=True)) or "none"
            raise InputError(
                f"Labels to train on: {found}.",
                "Label cells of two kinds at least.",
            )
        check_device(self.device)

    def run(self) -> Generator[Progress, None, GeST]:
        """Train the layer; returns a model with the head."""
        self.check()
        tissues = []
        for i in name_order(self.sections):  # independent of the order of rows and sections
            section, labels = self.sections[i].ordered(), self.labels[i][self.sections[i].order]
            reads = yield from _read(self.sections[i], self.model, self.config, self.device)
            tissues.append(_Tissue(section, reads, labels))
        yield Progress("Training the label layer", 0, 1)
        settings: dict[str, Any] = {
            "config": self.config.model_dump(mode="json"),
            "label_key": self.label_key,
            "version": napari_gest.__version__,
            "sections": [section_record(t.section, int(t.known.sum())) for t in tissues],
        }
        head = _fit(tissues, self.config, settings)
        require_finite("The label layer", **{name: getattr(head, name) for name in ARRAYS})
        held: list[Held] = []
        for fold in range(N_FOLDS):
            yield Progress("Calibrating the confidence", fold, N_FOLDS)
            held += _held_out(tissues, self.config, fold)
        head.settings[_TEMPERATURE] = fit_temperature(held)
        yield Progress("Calibrating the confidence", N_FOLDS, N_FOLDS)
        return replace(self.model, head=head)


@dataclass(frozen=True, eq=False)
class _Tissue:
    """A section with the reads (n, D) of its cells, and its known labels."""

    section: Section
    reads: list[NDArray[np.float32]]
    labels: NDArray[np.object_]

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        return np.array([x is not None for x in self.labels], bool)

    def codes(self, classes: NDArray[np.str_]) -> NDArray[np.int64]:
        """Return (n,) the number of each cell's label in sorted ``classes``, -1 without one."""
        out = np.full(len(self.labels), -1)
        out[self.known] = np.searchsorted(classes, self.labels[self.known].astype(str))
        return out

    def label(self, head: LabelHead, config: HeadConfig) -> NDArray[np.float32]:
        """Return (n, C) probabilities of the labels of a head."""
        features = self.features(config.pools)
        if config.adapt:
            made = head.adapted(features, np.asarray(head.settings.get(_PRIOR, 0.0)))
        else:
            made = head.probability(features)
        if self.section.n_obs == 1:
            return made
        return smooth(made, [Neighbours.of(self.section.coords_um, _AROUND)], config.smoothing)

    def features(self, pools: Sequence[int]) -> NDArray[np.float32]:
        """Return (n, F): the reads, each averaged over each of the pools."""
        near = Neighbours.of(self.section.coords_um, max(pools))
        parts = [near.nearest(size).mean(read, own=True) for read in self.reads for size in pools]
        return np.concatenate(parts, axis=1)


def _fit(tissues: Sequence[_Tissue], config: HeadConfig, settings: dict[str, Any]) -> LabelHead:
    """Fit the layer to the labelled cells of all sections."""
    x = np.concatenate([t.features(config.pools)[t.known] for t in tissues])
    names = np.concatenate([t.labels[t.known].astype(str) for t in tissues])
    mean, spread = x.mean(0), np.maximum(x.std(0), 1e-6)
    layer = LogisticRegression(
        C=1 / (config.penalty * len(x)),
        class_weight="balanced",
        max_iter=_MAX_STEPS,
        solver="lbfgs",
    ).fit((x - mean) / spread, names)
    weight, bias = layer.coef_, layer.intercept_
    if len(layer.classes_) == 2:  # scikit-learn stores one row; softmax needs two
        weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    weight = weight / spread
    means, covariance = _moments(x, np.searchsorted(layer.classes_, names))
    prior = label_prior([t.codes(layer.classes_) for t in tissues], len(layer.classes_))
    return LabelHead(
        tuple(layer.classes_.tolist()),
        np.ascontiguousarray(weight, np.float32),
        (bias - weight @ mean).astype(np.float32),
        means.astype(np.float32),
        covariance.astype(np.float32),
        settings | {_PRIOR: prior.tolist()},
    )


def _held_out(tissues: Sequence[_Tissue], config: HeadConfig, fold: int) -> list[Held]:
    """Return the labels of held-out cells by a head trained on the other cells.

    Where there are several sections, every other one is held out, like a new section; where there
    is one, every other block.
    """
    rest, tests = [], []
    for i, tissue in enumerate(tissues):
        folds = chessboard(tissue.section.coords_um)
        test = folds == fold if len(tissues) == 1 else np.full(len(folds), i % N_FOLDS == fold)
        labels = tissue.labels.copy()
        labels[test] = None
        rest.append(replace(tissue, labels=labels))
        tests.append(test)
    if len(set(_known([t.labels for t in rest]))) < 2:
        return []
    head = _fit(rest, config, {})
    held: list[Held] = []
    for tissue, test in zip(tissues, tests, strict=True):
        there = np.isin(tissue.labels.astype(str), head.classes)
        cells = np.flatnonzero(test & tissue.known & there)
        if len(cells):
            right = np.searchsorted(head.classes, tissue.labels[cells].astype(str))
            held.append((tissue.label(head, config)[cells], right))
    return held


def _moments(
    x: NDArray[np.float32], of: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return means (C, F) of the labels ``of`` (n,), and the covariance (F, F) within labels."""
    means = np.stack([x[of == label].mean(0, dtype=np.float64) for label in range(of.max() + 1)])
    rest = x - means[of].astype(np.float32)
    covariance = (rest.T @ rest).astype(np.float64) / len(x)
    scale = np.diag(covariance)
    covariance[np.diag_indices_from(covariance)] += _RIDGE * (scale + 1e-3 * scale.mean()) + 1e-9
    return means, covariance


def train_head(
    model: GeST,
    sections: Sequence[Section],
    labels: Sequence[NDArray[np.object_]],
    config: HeadConfig | None = None,
    *,
    label_key: str | None = None,
    device: Device = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> GeST:
    """Train a label layer on a model's embeddings and return the model with it.

    Parameters
    ----------
    model, sections, labels, label_key, device
        As in ``HeadRequest``.
    config
        Settings of the head; those of ``HeadConfig`` by default.
    on_progress
        Called between steps.

    Raises
    ------
    InputError
        If there is nothing to learn from.
    """
    request = HeadRequest(model, sections, labels, config or HeadConfig(), label_key, device)
    return finish(request.run(), on_progress)


def renamed(model: GeST, name: str) -> GeST:
    """Return a model with a trained head as a separate model.

    Its card names the model it started from and the source of the labels. The training of the
    network and the licence of its data are on the card of the starting model.
    """
    assert model.head is not None
    card = {
        "version": napari_gest.__version__,
        "sections": model.head.settings.get("sections"),
        "parameters": model.n_parameters,
        "label_key": model.head.settings.get("label_key"),
        "start": model.name,
    }
    return replace(model, name=name, card=card)


def stored_config(head: LabelHead, model: GeST) -> HeadConfig:
    """Return the settings of a model's label head.

    Raises
    ------
    CheckpointError
        If the head's settings are damaged, or do not match its arrays.
    """
    try:
        config = HeadConfig.model_validate(head.settings.get("config"))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, ("head", "settings", "config", *first["loc"])))
        raise CheckpointError(
            f"The label layer of model '{model.name}' is damaged: '{field}': {first['msg']}.",
            _AGAIN,
        ) from error
    n_pcs = model.tokenizer.components.shape[0]
    widths = [model.config.d_model if read == "hidden" else n_pcs for read in config.reads]
    wanted, found = sum(widths) * len(config.pools), head.weight.shape[1]
    if wanted != found:
        raise CheckpointError(
            f"The label layer of model '{model.name}' is damaged: it is of {found:,} features, and"
            f" its settings name {wanted:,}.",
            _AGAIN,
        )
    return config


def stored_temperature(head: LabelHead, model: GeST) -> float:
    """Return the temperature of a model's label confidence; 1 if none was fitted.

    Raises
    ------
    CheckpointError
        If it is not a positive number.
    """
    value = head.settings.get(_TEMPERATURE, 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < np.inf:
        raise CheckpointError(
            f"The label layer of model '{model.name}' is damaged: 'head.settings.{_TEMPERATURE}' is"
            f" {value!r}.",
            _AGAIN,
        )
    return float(value)


def stored_prior(head: LabelHead, model: GeST) -> NDArray[np.float64]:
    """Return (C,) the logarithms of the labels' prior of a head; 0 if none was learned.

    Raises
    ------
    CheckpointError
        If they are not a finite number for each label.
    """
    value = head.settings.get(_PRIOR, [0.0] * len(head.classes))
    if (
        not isinstance(value, list)
        or len(value) != len(head.classes)
        or any(isinstance(v, bool) or not isinstance(v, int | float) for v in value)
        or not np.isfinite(prior := np.asarray(value, np.float64)).all()
        or np.abs(prior).max() > _MOST_PRIOR
    ):
        raise CheckpointError(
            f"The label layer of model '{model.name}' is damaged: 'head.settings.{_PRIOR}' is"
            f" {shown(value)}.",
            _AGAIN,
        )
    return prior


@dataclass(frozen=True, eq=False)
class AnnotateRequest:
    """A request to label the cells of a section by a model with a label layer.

    Attributes
    ----------
    section, model
        The section, and a model with a label layer.
    device, workers
        As in ``EmbedRequest``.
    """

    section: Section
    model: GeST
    device: Device = "auto"
    workers: Workers = HERE

    def check(self) -> None:
        """Raise InputError if the model has no label layer, or the panel does not fit."""
        if self.model.head is None:
            raise InputError(
                f"Model '{self.model.name}' was not trained on labels.",
                "Train a label layer first: train_head, or 'napari-gest fine-tune --label-key'.",
            )
        stored_config(self.model.head, self.model)
        stored_temperature(self.model.head, self.model)
        stored_prior(self.model.head, self.model)
        check_device(self.device)
        self.section.measured(self.model.genes)

    def run(self) -> Generator[Progress, None, Annotated]:
        """Embed and label; yields after every few windows."""
        self.check()
        head = self.model.head
        assert head is not None
        config = stored_config(head, self.model)
        section = self.section.ordered()
        reads = yield from _read(self.section, self.model, config, self.device, self.workers)
        tissue = _Tissue(section, reads, np.full(section.n_obs, None, object))
        probability = tissue.label(head, config)[self.section.rank]
        require_finite("The labels", probability=probability)
        labels = probability.argmax(1).astype(np.int64)
        probability = tempered(probability, stored_temperature(head, self.model))
        settings = {
            "model": self.model.name,
            "model_digest": self.model.digest,
            "version": napari_gest.__version__,
            "generated_from": section.generated_from,
        } | head.settings
        return Annotated(
            self.section,
            self.section.rows,
            labels,
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
        (n, C) float32, rows sum to 1; calibrated by the head's temperature.
    classes
        C names.
    settings
        Model and settings of the labels.
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
        """Write labels and their probability; cells of other sections keep their values.

        Returns
        -------
        The names of the keys that changed.
        """
        label = np.full(adata.n_obs, None, object)
        confidence = np.full(adata.n_obs, np.nan, np.float32)
        if keys.LABEL in adata.obs and keys.LABEL_CONFIDENCE in adata.obs:
            old = adata.obs[keys.LABEL]
            label[old.notna()] = old[old.notna()].astype(str)
            confidence = kept_column(adata, keys.LABEL_CONFIDENCE)
        label[self.rows] = self.names
        confidence[self.rows] = self.confidence
        others = sorted({x for x in label if x is not None} - set(self.classes))
        adata.obs[keys.LABEL] = pd.Categorical(label, [*self.classes, *others])
        adata.obs[keys.LABEL_CONFIDENCE] = confidence
        return frozenset({keys.LABEL, keys.LABEL_CONFIDENCE})

    def agreement(self, labels: NDArray[np.object_]) -> LabelAgreement:
        """Return the agreement with known labels (n,), which are None where unknown."""
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
    section: Section,
    model: GeST,
    *,
    device: Device = "auto",
    workers: Workers = HERE,
    on_progress: Callable[[Progress], None] | None = None,
) -> Annotated:
    """Predict the label of every cell of a section.

    Parameters
    ----------
    section
        The section.
    model
        A model with a label layer (`train_head`).
    device, workers
        As for ``embed_niches``.
    on_progress
        Called after every few windows.

    Raises
    ------
    InputError
        If the model has no label layer, or the panel does not fit.
    """
    return finish(AnnotateRequest(section, model, device, workers).run(), on_progress)


def labels_from_obs(
    adata: AnnData,
    key: str,
    rows: NDArray[np.int64] | None = None,
    *,
    ignore: Sequence[str] = (),
    include_generated: bool = False,
) -> NDArray[np.object_]:
    """Return labels (n,) of an obs column for ``rows``, None where missing or in ``ignore``.

    Parameters
    ----------
    adata
        Cells x genes. Never modified.
    key
        Column of ``obs`` with labels.
    rows
        (n,) rows of the cells wanted, such as ``Section.rows``; all by default.
    ignore
        Values that mean no label.
    include_generated
        Return the labels of new cells too, which are not observations (decision 31); by default
        these are None.

    Raises
    ------
    InputError
        If the column is absent, or holds numbers instead of labels.
    """
    remedy = "Name the column that holds the labels."
    column = obs_column(adata, key, remedy, rows)
    if pd.api.types.is_float_dtype(column.dtype) and column.nunique() > 100:
        raise InputError(
            f"obs column '{key}' holds {column.nunique()} different numbers.",
            "Name a column of labels: few names, many cells each.",
        )
    text = column.astype(str).to_numpy(dtype=object)
    missing = column.isna().to_numpy() | np.isin(text.astype(str), [*ignore, ""])
    if not include_generated:
        made = generated_cells(adata, None)
        missing |= made if rows is None else made[rows]
    text[missing] = None
    return text


def _read(
    section: Section,
    model: GeST,
    config: HeadConfig,
    device: Device,
    workers: Workers = HERE,
) -> Generator[Progress, None, list[NDArray[np.float32]]]:
    """Return the reads (n_obs, D) of every cell, in the section's order."""
    reads = []
    for read in config.reads:
        n_cells = 1 if read == "content" else config.niche_cells
        request = EmbedRequest(section, model, read, config.form, n_cells, device, workers)
        embedded = yield from request.run()
        reads.append(embedded.embedding[section.order])
    return reads


def _macro_f1(truth: NDArray[np.str_], made: NDArray[np.str_]) -> float:
    """Return the mean F1 over the labels in ``truth``."""
    labels = sorted(set(truth))
    return float(f1_score(truth, made, labels=labels, average="macro", zero_division=0))


def _known(labels: Sequence[NDArray[np.object_]]) -> NDArray[np.str_]:
    return np.array([str(x) for part in labels for x in part if x is not None], dtype=str)
