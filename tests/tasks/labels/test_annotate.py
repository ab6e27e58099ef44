"""Labels: learnt, kept in the checkpoint, and untouched by cells that have none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData

from napari_gest import keys
from napari_gest.errors import CheckpointError, InputError
from napari_gest.model.gest import GeST
from napari_gest.tasks.labels import annotate as annotate_file
from napari_gest.tasks.labels.annotate import (
    AnnotateRequest,
    HeadConfig,
    annotate,
    labels_from_obs,
    renamed,
    train_head,
)
from napari_gest.tasks.training.train import TrainConfig, fine_tune
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate

LIGHT = HeadConfig(reads=("content",), pools=(1, 19))
PAPER = HeadConfig(reads=("hidden",), pools=(19,), adapt=False, smoothing=0)


@pytest.fixture
def labels(tissue: AnnData, sections: list[Section]) -> list[np.ndarray]:
    return [labels_from_obs(tissue, "region", s.rows) for s in sections]


def test_labels_reach_another_section(
    sections: list[Section], labels: list[np.ndarray], tiny_model: GeST
) -> None:
    alone = LIGHT.model_copy(update={"adapt": False})
    model = train_head(tiny_model, sections[:1], labels[:1], alone, label_key="region")
    made = annotate(sections[1], model)
    agreement = made.agreement(labels[1])
    assert agreement.n_cells == sections[1].n_obs
    assert agreement.balanced_accuracy > 0.4  # by chance 0.2
    assert agreement.macro_f1 > 0.3
    assert agreement.confusion.to_numpy().sum() == sections[1].n_obs
    np.testing.assert_allclose(made.probability.sum(1), 1, atol=1e-5)
    assert tiny_model.head is None


def test_labels_found_anew_reach_another_section_better(untrained: Callable[..., GeST]) -> None:
    adata = simulate(n_cells=3000, n_genes=60, n_sections=2, seed=1)
    parts = [Section.from_anndata(adata, name) for name in ("section_1", "section_2")]
    size = {"n_meta_cells": 32, "n_pcs": 20, "level_sizes": (4, 3, 2)}
    model = untrained(parts, 250.0, "small", 256, **size)
    truth = [labels_from_obs(adata, "region", part.rows) for part in parts]
    found = {}
    for adapt in (False, True):
        made = [
            annotate(
                parts[1 - i], train_head(model, [parts[i]], [truth[i]], HeadConfig(adapt=adapt))
            )
            for i in (0, 1)
        ]
        found[adapt] = np.mean([made[i].agreement(truth[1 - i]).macro_f1 for i in (0, 1)])
    assert found[True] > found[False]
    assert found[True] > 0.7


def test_cells_without_a_label_have_no_influence(
    sections: list[Section], labels: list[np.ndarray], tiny_model: GeST
) -> None:
    known = np.arange(sections[0].n_obs) % 3 > 0
    masked = np.where(known, labels[0], None)
    one = train_head(tiny_model, sections[:1], [masked], LIGHT)
    # The same rows, whatever the labels that were taken away.
    assert one.head is not None
    assert one.head.settings["sections"][0]["cells"] == known.sum()
    other = labels[0].copy()
    other[~known] = "nonsense"
    other[~known] = None
    two = train_head(tiny_model, sections[:1], [other], LIGHT)
    assert two.head is not None
    assert np.array_equal(one.head.weight, two.head.weight)
    assert set(one.head.classes) == set(labels[0])
    every = train_head(tiny_model, sections[:1], labels[:1], LIGHT)
    assert every.head is not None
    assert not np.array_equal(one.head.weight, every.head.weight)


@pytest.fixture
def blobs(section: Section) -> annotate_file._Tissue:
    """Four labels in stripes, their reads two units apart and one unit wide."""
    x = section.coords_um[:, 0]
    kind = np.searchsorted(np.quantile(x, [0.25, 0.5, 0.75]), x)
    rng = np.random.default_rng(0)
    reads = 2 * np.eye(4)[kind] + 0.5 * rng.normal(size=(section.n_obs, 4))
    names = np.array([f"stripe {i}" for i in kind], object)
    return annotate_file._Tissue(section, [reads.astype(np.float32)], names)


SHIFT = np.float32([1.0, -0.4, 0.8, 1.0])  # of all reads, as much as stripes are apart
READ = HeadConfig(pools=(1, 7))


def part_of(tissue: annotate_file._Tissue, keep: np.ndarray, off: float) -> annotate_file._Tissue:
    return annotate_file._Tissue(
        tissue.section.subset(keep), [tissue.reads[0][keep] + off * SHIFT], tissue.labels[keep]
    )


def labelled(
    learned: annotate_file._Tissue, target: annotate_file._Tissue, adapt: bool
) -> np.ndarray:
    config = READ.model_copy(update={"adapt": adapt})
    head = annotate_file._fit([learned], config, {})
    made = target.label(head, config)
    np.testing.assert_allclose(made.sum(1), 1, atol=1e-5)
    return np.asarray(head.classes)[made.argmax(1)]


@pytest.mark.parametrize("stripes", [(0, 1, 2, 3), (1, 2)])
def test_what_shifts_a_whole_section_is_taken_out(
    blobs: annotate_file._Tissue, stripes: tuple[int, ...]
) -> None:
    other = part_of(blobs, np.isin(blobs.labels, [f"stripe {i}" for i in stripes]), 1.0)
    plain, adapted = (np.mean(labelled(blobs, other, a) == other.labels) for a in (False, True))
    assert plain < adapted
    assert adapted > 0.95


@pytest.mark.parametrize("n_cells", [1, 5, 40])
def test_a_small_section_is_labelled_as_well_as_before(
    blobs: annotate_file._Tissue, n_cells: int
) -> None:
    middle = blobs.section.coords_um.mean(0)
    near = np.argsort(np.square(blobs.section.coords_um - middle).sum(1))[:n_cells]
    few = part_of(blobs, np.isin(np.arange(blobs.section.n_obs), near), 0.0)
    plain, adapted = (np.mean(labelled(blobs, few, a) == few.labels) for a in (False, True))
    assert adapted >= plain


def test_a_section_of_one_label_is_labelled_as_well_as_before(
    blobs: annotate_file._Tissue,
) -> None:
    one = part_of(blobs, blobs.labels == "stripe 2", 0.0)
    plain, adapted = (np.mean(labelled(blobs, one, a) == one.labels) for a in (False, True))
    assert adapted >= plain - 0.02


def test_tissue_of_another_kind_does_not_spoil_the_labels_there_are(
    blobs: annotate_file._Tissue,
) -> None:
    learned = part_of(blobs, blobs.labels != "stripe 3", 0.0)
    known = blobs.labels != "stripe 3"
    plain, adapted = (
        np.mean((labelled(learned, blobs, a) == blobs.labels)[known]) for a in (False, True)
    )
    assert adapted >= plain - 0.02


def test_the_section_that_was_learned_from_is_not_moved(blobs: annotate_file._Tissue) -> None:
    # Two kinds of its tissue have no label; that is no shift.
    known = np.isin(blobs.labels, ["stripe 0", "stripe 1"])
    learned = annotate_file._Tissue(blobs.section, blobs.reads, np.where(known, blobs.labels, None))
    one, two = (labelled(learned, learned, adapt) for adapt in (False, True))
    assert np.mean(one == two) > 0.99


def test_cells_lean_on_the_cells_around(blobs: annotate_file._Tissue) -> None:
    noise = np.random.default_rng(1).normal(size=blobs.reads[0].shape)
    reads = [blobs.reads[0] + np.float32(3 * noise)]
    tissue = annotate_file._Tissue(blobs.section, reads, blobs.labels)
    right = []
    for smoothing in (0.0, 2.0):
        config = HeadConfig(pools=(1,), smoothing=smoothing)
        head = annotate_file._fit([tissue], config, {})
        made = np.asarray(head.classes)[tissue.label(head, config).argmax(1)]
        right.append(np.mean(made == blobs.labels))
    assert right[0] < right[1]


def test_shares_on_which_labelled_sections_agree_decide_what_reads_cannot(
    blobs: annotate_file._Tissue,
) -> None:
    # Three times as many cells of one label, whose reads overlap with the next one's.
    x = blobs.section.coords_um[:, 0]
    kind = (x > np.quantile(x, 0.75)).astype(int)
    reads = kind[:, None] + np.random.default_rng(0).normal(size=(len(x), 4))
    tissue = annotate_file._Tissue(
        blobs.section,
        [reads.astype(np.float32)],
        np.where(kind == 1, "few", "many").astype(object),
    )
    config = HeadConfig(pools=(1,), smoothing=0)
    right, shares = {}, {}
    for n in (1, 2):
        head = annotate_file._fit([tissue] * n, config, {})
        made = np.asarray(head.classes)[tissue.label(head, config).argmax(1)]
        right[n], shares[n] = np.mean(made == tissue.labels), np.mean(made == "many")
    assert right[1] < right[2]
    assert shares[1] < shares[2]


@pytest.mark.parametrize("value", ["no", [0.0], [0.0, float("nan")], [1e30, 0.0], [True, 0.0]])
def test_a_damaged_prior_is_named_and_a_head_of_before_has_none(
    sections: list[Section], labels: list[np.ndarray], tiny_model: GeST, value: object
) -> None:
    two = [np.where(part == part[0], "this", "other").astype(object) for part in labels]
    model = train_head(tiny_model, sections[:1], two[:1], LIGHT)
    assert model.head is not None
    before = {k: v for k, v in model.head.settings.items() if k != "prior"}
    older = replace(model, head=replace(model.head, settings=before))
    np.testing.assert_array_equal(
        annotate(sections[1], older).probability, annotate(sections[1], model).probability
    )
    damaged = replace(model, head=replace(model.head, settings=before | {"prior": value}))
    with pytest.raises(CheckpointError, match=r"head\.settings\.prior"):
        AnnotateRequest(sections[1], damaged).check()


@pytest.mark.parametrize("config", [LIGHT, PAPER])
def test_the_head_lives_in_the_checkpoint(
    sections: list[Section],
    labels: list[np.ndarray],
    tiny_model: GeST,
    tmp_path: Path,
    config: HeadConfig,
) -> None:
    model = train_head(tiny_model, sections[:1], labels[:1], config, label_key="region")
    again = GeST.load(model.save(tmp_path / "model"))
    assert again.head is not None
    assert again.head.settings["label_key"] == "region"
    one, two = (annotate(sections[1], m) for m in (model, again))
    assert np.array_equal(one.probability, two.probability)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "head.settings.config"),
        ({"config": []}, "head.settings.config"),
        ({"config": {"reads": ["no"]}}, "head.settings.config.reads.0"),
        ({"config": {"pools": [0]}}, "head.settings.config.pools.0"),
        ({"config": {"smoothing": float("nan")}}, "head.settings.config.smoothing"),
        ({"config": {"smoothing": 1e308}}, "head.settings.config.smoothing"),
        ({"config": {"pools": [1, 7]}}, "of 24 features, and its settings name 16"),
    ],
)
def test_damaged_settings_of_a_head_are_named_before_work(
    sections: list[Section],
    labels: list[np.ndarray],
    tiny_model: GeST,
    settings: dict[str, object],
    named: str,
) -> None:
    model = train_head(tiny_model, sections[:1], labels[:1])
    assert model.head is not None
    head = replace(model.head, settings=settings)
    with pytest.raises(CheckpointError, match=named) as caught:
        AnnotateRequest(sections[0], replace(model, head=head)).check()
    assert "--label-key" in caught.value.remedy
    renamed(replace(model, head=head), "other")


def test_training_on_drops_the_head(
    sections: list[Section], labels: list[np.ndarray], tiny_model: GeST
) -> None:
    model = train_head(tiny_model, sections[:1], labels[:1], LIGHT)
    short = TrainConfig(n_steps=1, batch_windows=1, targets=8, validate_every=1)
    assert fine_tune(model, sections[:1], short).head is None


def test_two_labels_are_as_good_as_many(
    sections: list[Section], labels: list[np.ndarray], tiny_model: GeST
) -> None:
    two = [np.where(part == part[0], "this", "other").astype(object) for part in labels]
    made = annotate(sections[1], train_head(tiny_model, sections[:1], two[:1], LIGHT))
    assert made.classes == ("other", "this")
    np.testing.assert_allclose(made.probability.sum(1), 1, atol=1e-5)


def test_written_beside_what_other_sections_have(
    tissue: AnnData, sections: list[Section], labels: list[np.ndarray], tiny_model: GeST
) -> None:
    model = train_head(tiny_model, sections, labels, LIGHT)
    before = tissue.X.copy()
    for section in sections:
        made = annotate(section, model)
        assert made.write(tissue) == {keys.LABEL, keys.LABEL_CONFIDENCE}
    assert tissue.obs[keys.LABEL].notna().all()
    assert list(tissue.obs[keys.LABEL].iloc[made.rows]) == list(made.names)
    assert tissue.obs[keys.LABEL_CONFIDENCE].between(0, 1).all()
    assert (before != tissue.X).nnz == 0


def test_a_model_without_labels_says_how_to_get_them(section: Section, tiny_model: GeST) -> None:
    with pytest.raises(InputError, match="not trained on labels") as caught:
        AnnotateRequest(section, tiny_model).check()
    assert "--label-key" in caught.value.remedy


def test_labels_that_cannot_be_learnt_are_refused(
    tissue: AnnData, section: Section, tiny_model: GeST
) -> None:
    one = np.full(section.n_obs, "same", object)
    for labels, named in (([one], "same"), ([one[:5]], "5 labels"), ([], "0 sets")):
        with pytest.raises(InputError, match=named):
            train_head(tiny_model, [section], labels, LIGHT)
    with pytest.raises(InputError, match="no obs column"):
        labels_from_obs(tissue, "nothing")
    tissue.obs["number"] = np.random.default_rng(0).random(tissue.n_obs)
    with pytest.raises(InputError, match="different numbers"):
        labels_from_obs(tissue, "number")


def test_missing_and_ignored_values_are_no_labels(tissue: AnnData) -> None:
    column = tissue.obs["region"].astype(object)
    column.iloc[:3] = [None, np.nan, ""]
    tissue.obs["part"] = column
    ignored = str(column.iloc[10])
    labels = labels_from_obs(tissue, "part", ignore=[ignored])
    assert [x is None for x in labels[:3]] == [True, True, True]
    assert ignored not in set(labels)
    assert None in set(labels)
