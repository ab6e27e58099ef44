"""The confidence of labels is right as often as it says, and the labels stay what they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_gest.errors import CheckpointError
from napari_gest.model.gest import GeST
from napari_gest.tasks.labels.annotate import AnnotateRequest, annotate, labels_from_obs, train_head
from napari_gest.tasks.labels.label_temperature import chessboard, fit_temperature, tempered
from napari_gest.tissue.io import read_tissue
from napari_gest.tissue.section import Section, section_names
from napari_gest.tissue.simulate import simulate


@pytest.fixture(scope="module")
def three(untrained: Callable[..., GeST]) -> tuple[list[Section], list[np.ndarray], GeST]:
    """Three sections whose regions are hard to tell apart, and their labels."""
    adata = simulate(n_cells=3600, n_genes=30, n_sections=3, seed=3)
    sections = [Section.from_anndata(adata, f"section_{i}") for i in (1, 2, 3)]
    size = {"n_meta_cells": 32, "n_pcs": 20, "level_sizes": (4, 3, 2)}
    model = untrained(sections, 250.0, "small", 64, **size)
    return sections, [labels_from_obs(adata, "region", s.rows) for s in sections], model


def miscalibration(confidence: np.ndarray, right: np.ndarray) -> float:
    """Mean over ten bins of how far confidence is from the share that is right."""
    bins = np.minimum((confidence * 10).astype(int), 9)
    off = [abs(confidence[bins == b].sum() - right[bins == b].sum()) for b in range(10)]
    return float(sum(off)) / len(right)


def test_the_temperature_that_made_probabilities_too_sure_is_found() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 5)) * 2
    honest = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    right = np.array([rng.choice(5, p=p) for p in honest])
    sure = tempered(honest.astype(np.float32), 1 / 3)
    assert fit_temperature([(sure, right)]) == pytest.approx(3, rel=0.1)
    assert fit_temperature([(honest.astype(np.float32), right)]) == pytest.approx(1, rel=0.1)
    assert fit_temperature([(sure[:10], right[:10])]) == 1  # too few to tell
    np.testing.assert_array_equal(tempered(sure, 3).argmax(1), sure.argmax(1))
    np.testing.assert_allclose(tempered(sure, 3).sum(1), 1, atol=1e-6)
    certain = np.eye(3, dtype=np.float32)
    assert np.isfinite(tempered(certain, 2)).all()


def test_folds_are_blocks_of_a_chessboard() -> None:
    x, y = np.meshgrid(np.arange(100.0), np.arange(100.0))
    folds = chessboard(np.stack([x.ravel(), y.ravel()], 1)).reshape(100, 100)
    assert (folds[:10, :10] == folds[0, 0]).all()
    assert (folds[:10, 10:20] != folds[0, 0]).all()
    assert folds.mean() == 0.5


@pytest.mark.parametrize("n_learned", [1, 2])
def test_labels_stay_what_they_are(
    three: tuple[list[Section], list[np.ndarray], GeST], n_learned: int
) -> None:
    sections, labels, model = three
    trained = train_head(model, sections[:n_learned], labels[:n_learned])
    assert trained.head is not None
    assert trained.head.settings["temperature"] != 1
    made, before = (annotate(sections[2], m) for m in (trained, at_temperature(trained, 1.0)))
    np.testing.assert_array_equal(made.labels, before.labels)
    assert not np.allclose(made.confidence, before.confidence)


def test_confidence_on_real_tissue_is_closer_to_the_share_that_is_right(
    data_dir: Path, untrained: Callable[..., GeST]
) -> None:
    """One half of the squares of a chessboard of 400 um labels the other."""
    adata = read_tissue(data_dir / "osmfish_sscortex_33g.h5ad")
    section = Section.from_anndata(adata, section_names(adata, "section")[0])
    size = {"n_meta_cells": 64, "n_pcs": 32, "level_sizes": (8, 4, 2)}
    model = untrained([section], 250.0, "small", 64, **size)
    labels = labels_from_obs(adata, "region", section.rows, ignore=("excluded", "unlabelled"))
    square = (section.coords_um // 400).sum(1) % 2 == 0
    before, after = [], []
    for learned in (square, ~square):
        trained = train_head(model, [section.subset(learned)], [labels[learned]])
        known = np.array([x is not None for x in labels[~learned]])
        for made, found in ((at_temperature(trained, 1.0), before), (trained, after)):
            result = annotate(section.subset(~learned), made)
            right = result.names[known] == labels[~learned][known].astype(str)
            found.append(miscalibration(result.confidence[known], right))
    assert np.mean(before) > 0.15
    assert np.mean(after) < 0.6 * np.mean(before)


def at_temperature(model: GeST, temperature: float) -> GeST:
    assert model.head is not None
    settings = model.head.settings | {"temperature": temperature}
    return replace(model, head=replace(model.head, settings=settings))


def test_a_head_of_before_is_not_tempered_and_a_damaged_one_is_named(
    three: tuple[list[Section], list[np.ndarray], GeST],
) -> None:
    sections, labels, model = three
    trained = train_head(model, sections[:1], labels[:1])
    assert trained.head is not None

    def of(settings: dict) -> GeST:
        return replace(trained, head=replace(trained.head, settings=settings))

    without = {k: v for k, v in trained.head.settings.items() if k != "temperature"}
    once = of(without | {"temperature": 1.0})
    np.testing.assert_array_equal(
        annotate(sections[1], of(without)).probability, annotate(sections[1], once).probability
    )
    for damaged in (0, -1.0, "hot", None, True, float("nan"), float("inf")):
        with pytest.raises(CheckpointError, match=r"head\.settings\.temperature"):
            AnnotateRequest(sections[1], of(without | {"temperature": damaged})).check()
