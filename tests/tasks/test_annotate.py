"""Labels: learnt, kept in the checkpoint, and untouched by cells that have none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData

from napari_gest import keys
from napari_gest.errors import CheckpointError, InputError
from napari_gest.model.gest import GeST
from napari_gest.tasks import annotate as annotate_file
from napari_gest.tasks.annotate import (
    AnnotateRequest,
    HeadConfig,
    annotate,
    labels_from_obs,
    train_head,
)
from napari_gest.tasks.progress import finish
from napari_gest.tasks.train import TrainConfig, fine_tune
from napari_gest.tissue.section import Section

LIGHT = HeadConfig(reads=("content",), pools=(1, 19))
PAPER = HeadConfig(reads=("hidden",), pools=(19,), smoothing=0)


@pytest.fixture
def sections(tissue: AnnData) -> list[Section]:
    return [Section.from_anndata(tissue, name) for name in ("section_1", "section_2")]


@pytest.fixture
def labels(tissue: AnnData, sections: list[Section]) -> list[np.ndarray]:
    return [labels_from_obs(tissue, "region", s.rows) for s in sections]


def test_labels_reach_another_section(
    sections: list[Section], labels: list[np.ndarray], tiny_model: GeST
) -> None:
    model = train_head(tiny_model, sections[:1], labels[:1], LIGHT, label_key="region")
    made = annotate(sections[1], model)
    agreement = made.agreement(labels[1])
    assert agreement.n_cells == sections[1].n_obs
    assert agreement.balanced_accuracy > 0.4  # by chance 0.2
    assert agreement.macro_f1 > 0.3
    assert agreement.confusion.to_numpy().sum() == sections[1].n_obs
    np.testing.assert_allclose(made.probability.sum(1), 1, atol=1e-5)
    assert tiny_model.head is None


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


def labelled(
    learned: annotate_file._Tissue, target: annotate_file._Tissue, align: float
) -> np.ndarray:
    config = HeadConfig(pools=(1, 7), smoothing=2.0, align=align)
    head = annotate_file._fit([(learned, learned.known)], config, {})
    made = annotate_file._label(head, target, target.features((1, 7)), config)
    return np.asarray(head.classes)[made.argmax(1)]


def test_what_shifts_a_whole_section_is_taken_out(blobs: annotate_file._Tissue) -> None:
    # The other section has half of the stripes, and all its reads are off by as much as stripes.
    part = np.isin(blobs.labels, ["stripe 1", "stripe 2"])
    other = annotate_file._Tissue(
        blobs.section.subset(part),
        [blobs.reads[0][part] + np.float32([1.0, -0.4, 0.8, 1.0])],
        blobs.labels[part],
    )
    right = [np.mean(labelled(blobs, other, align) == other.labels) for align in (0.0, 0.5, 1.0)]
    assert right[0] < right[1] <= right[2]
    assert right[2] > 0.95


@pytest.mark.parametrize(("off", "least", "most"), [(0.0, 0.0, 0.5), (3.0, 1.0, 1.0)])
def test_several_sections_tell_how_much_to_align(
    blobs: annotate_file._Tissue, off: float, least: float, most: float
) -> None:
    moved = blobs.reads[0] + off * np.float32([1.0, -0.4, 0.8, 1.0])
    other = annotate_file._Tissue(blobs.section, [moved], blobs.labels)
    config = HeadConfig(pools=(1, 7), smoothing=2.0)
    chosen = finish(annotate_file._choose([blobs, other], config))
    assert chosen.align is not None
    assert least <= chosen.align <= most


def test_the_section_that_was_learned_from_is_not_moved(blobs: annotate_file._Tissue) -> None:
    # Two kinds of its tissue have no label; that is no shift.
    some = np.where(np.isin(blobs.labels, ["stripe 0", "stripe 1"]), blobs.labels, None)
    learned = annotate_file._Tissue(blobs.section, blobs.reads, some)
    one, two = (labelled(learned, learned, align) for align in (0.0, 1.0))
    assert np.mean(one == two) > 0.99


def test_pools_and_smoothing_are_chosen_on_held_out_tissue(
    sections: list[Section], labels: list[np.ndarray], tiny_model: GeST
) -> None:
    for n in (1, 2):  # one section cannot tell, several can
        head = train_head(tiny_model, sections[:n], labels[:n]).head
        assert head is not None
        chosen = HeadConfig.model_validate(head.settings["config"])
        offered = slice(0, 1 if n == 1 else None)
        assert chosen.pools in annotate_file.POOLS[offered]
        assert chosen.smoothing in annotate_file.SMOOTHING[offered]
        assert chosen.align in annotate_file.ALIGN[offered]


def test_reads_of_noise_are_smoothed_and_clear_ones_are_not(blobs: annotate_file._Tissue) -> None:
    noise = np.random.default_rng(1).normal(size=blobs.reads[0].shape)
    config = HeadConfig(pools=(1,), smoothing=None)
    for spread, least in ((3.0, 2.0), (0.0, 0.0)):
        reads = blobs.reads[0] + np.float32(spread * noise)
        tissue = annotate_file._Tissue(blobs.section, [reads], blobs.labels)
        other = annotate_file._Tissue(blobs.section, [reads], blobs.labels)
        chosen = finish(annotate_file._choose([tissue, other], config))
        assert chosen.smoothing is not None
        assert chosen.smoothing >= least


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


def test_a_checkpoint_without_a_head_loads(tiny_model: GeST, tmp_path: Path) -> None:
    path = tiny_model.save(tmp_path / "model")
    assert "head" not in json.loads((path / "config.json").read_text())
    assert GeST.load(path).head is None


def test_a_damaged_head_is_reported(
    sections: list[Section], labels: list[np.ndarray], tiny_model: GeST, tmp_path: Path
) -> None:
    path = train_head(tiny_model, sections[:1], labels[:1], LIGHT).save(tmp_path / "model")
    (path / "head.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="damaged"):
        GeST.load(path)


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
