from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from anndata import AnnData
from rich.console import Console
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.labels import annotation
from benchmarks.labels.labelled import Labelled, from_file, simulated_cells
from benchmarks.niches import clustering, command
from benchmarks.niches.report_tables import read_rows, tables
from benchmarks.niches.scored import Method
from napari_gest.errors import InputError
from napari_gest.model.gest import GeST
from napari_gest.tasks.training.train import TrainConfig
from napari_gest.tissue.io import write_tissue
from napari_gest.tissue.section import Section


@pytest.fixture
def labelled(tissue: AnnData) -> Labelled:
    sections = [Section.from_anndata(tissue, name) for name in ("section_1", "section_2")]
    region = tissue.obs["region"].astype(str).to_numpy()
    labels = [region[s.rows].astype(object) for s in sections]
    labels[0][:5] = None
    return Labelled("small", sections, labels, 1)


def test_truth_scores_one_and_cells_without_a_label_do_not_count(labelled: Labelled) -> None:
    truth, section = labelled.labels[0], labelled.sections[0]
    niche = np.unique(["" if x is None else x for x in truth], return_inverse=True)[1]
    scored = clustering.scores(truth, niche, section.coords_um)
    assert scored["ami"] == pytest.approx(1)
    assert scored["homogeneity"] == pytest.approx(1)
    other = niche.copy()
    other[:5] = 3
    assert clustering.scores(truth, other, section.coords_um)["ami"] == pytest.approx(1)
    shuffled = np.random.default_rng(0).permutation(niche)
    scored = clustering.scores(truth, shuffled, section.coords_um)
    assert abs(scored["ami"]) < 0.05
    assert 0 < scored["continuity"] < 0.5


def test_every_method_is_scored_and_a_failure_stays_in_the_table(
    labelled: Labelled, tiny_model: GeST
) -> None:
    def fails(*_: object) -> list[np.ndarray]:
        raise ValueError("no luck")

    chosen = [
        m
        for m in clustering.methods(tiny_model)
        if m.name in ("GeST", "own-expression PCA, k-means")
    ]
    chosen.append(Method("broken", "simple rival", fails))
    rows = list(clustering.score_set(labelled, 0, chosen))
    assert {(r.method, r.section) for r in rows} == {
        (m.name, s.name) for m in chosen for s in labelled.sections
    }
    for row in rows:
        assert (row.error == "ValueError: no luck") == (row.method == "broken")
        assert np.isfinite(row.ami) == (row.method != "broken")
    made = tables(rows, clustering.SCORES, "Niches")
    text = "".join(t.markdown() for t in made)
    assert "no luck" in text
    assert "the best rival here" in text


def test_each_seed_is_a_fit_of_its_own_and_a_bundled_model_is_fine_tuned(
    labelled: Labelled, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    short = TrainConfig(n_steps=1, batch_windows=1, targets=16, validate_every=1)
    monkeypatch.setattr(clustering, "RUNS", tmp_path)
    monkeypatch.setattr(command, "_sets", lambda *_: [labelled])
    monkeypatch.setattr(command, "_SHORT", short)
    network = "GeST, hidden state, k-means"
    zero_shot = "GeST base, hidden state, zero-shot"
    only = ("GeST", "GeST fine-tuned", "own-expression PCA, k-means", zero_shot, network)
    options = command.Options(seeds=(0, 1), only=only, quick=True)
    rows, made = command.run_niches(options, Console(quiet=True))
    assert {(r.method, r.seed) for r in rows} == {
        *((name, seed) for name in (only[0], *only[2:]) for seed in (0, 1)),
        (only[1], 0),
    }
    assert all(np.isfinite(r.ami) for r in rows)
    folders = {p.name.rpartition("-")[0]: GeST.load(p) for p in (tmp_path / "niches").iterdir()}
    assert set(folders) == {"small-0", "small-1", "small-from-mouse-preoptic-merfish-0"}
    assert folders["small-1"].card["seed"] == 1
    tuned = folders["small-from-mouse-preoptic-merfish-0"]
    assert tuned.card["start"] == clustering.START
    assert tuned.genes == labelled.sections[0].genes
    assert not np.array_equal(
        folders["small-0"].tokenizer.c_expr, folders["small-1"].tokenizer.c_expr
    )
    assert "fit s" in made[1].headings
    # Another file of the same name gets a model of its own.
    half = [s.subset(s.coords_um[:, 0] > s.coords_um[:, 0].mean()) for s in labelled.sections]
    other = replace(labelled, sections=half)
    clustering.model_for(other, 0, training=short)
    assert len(list((tmp_path / "niches").glob("small-0-*"))) == 2


def test_what_reads_no_network_trains_none(
    labelled: Labelled, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setattr(clustering, "RUNS", tmp_path)
    monkeypatch.setattr(command, "_sets", lambda *_: [labelled])
    console = Console(quiet=True)
    only = ("GeST", "own-expression PCA, k-means")
    rows, _ = command.run_niches(command.Options(seeds=(0,), only=only), console)
    assert {r.method for r in rows} == set(only)
    only = ("GeST", "logistic regression, own")
    options = command.Options(only=only, n_labelled=(1,))
    made, _ = command.run_annotation(options, console)
    assert {(r.method, r.dataset) for r in made} == {(m, "small, 1 labelled") for m in only}
    assert all(r.macro_f1 > 0 for r in made)
    assert not list(tmp_path.iterdir())


def test_annotation_scores_and_splits(labelled: Labelled, tiny_model: GeST) -> None:
    assert labelled.splits() == [([1], 0), ([0], 1)]
    chosen = [m for m in annotation.methods(tiny_model) if "hidden" not in m.name]
    rows = list(annotation.score_split(labelled, [0], 1, [0], chosen))
    assert len(rows) == len(chosen)
    for row in rows:
        assert not row.error
        assert 0 < row.macro_f1 <= 1
        assert sum(sum(n.values()) for n in row.confusion.values()) == 600


def test_another_number_of_labelled_sections_keeps_the_tests(labelled: Labelled) -> None:
    sections = [labelled.sections[0]] * 5
    many = replace(labelled, sections=sections, labels=[labelled.labels[0]] * 5, train=4)
    assert [test for _, test in many.splits()] == [0, 1, 2, 3, 4]
    assert many.splits(1) == [([1], 0), ([2], 1), ([3], 2), ([4], 3), ([0], 4)]
    assert many.splits(3)[3] == ([4, 0, 1], 3)
    assert many.splits(4) == many.splits()
    assert many.splits(5) == []
    fixed = replace(many, train=1)
    assert fixed.splits() == [([0], 1), ([0], 2), ([0], 3), ([0], 4)]
    assert fixed.splits(2)[0] == ([2, 3], 1)


def test_a_file_of_ones_own_is_read_with_its_labels(tissue: AnnData, tmp_path) -> None:
    tissue.obs["layer"] = tissue.obs["region"].astype(str).replace("nucleus", "unlabelled")
    write_tissue(tissue, tmp_path / "mine.h5ad")
    read = from_file(tmp_path / "mine.h5ad", "layer")
    assert read.name == "mine"
    assert len(read.sections) == 2
    assert "unlabelled" not in read.classes
    assert any(x is None for x in read.labels[0])
    with pytest.raises(InputError, match="no obs column"):
        from_file(tmp_path / "mine.h5ad", "nothing")


def test_rivals_rows_are_read_beside_ours(tmp_path) -> None:
    path = tmp_path / "rivals.json"
    row = {"dataset": "small", "section": "a", "method": "other", "seed": 0, "task": "niches"}
    path.write_text(
        json.dumps(
            [
                {**row, "ami": 0.5, "wall_s": 2.0, "peak_mb": 10, "error": "", "version": "1"},
                {**row, "method": "failed", "ami": None, "error": "does not build"},
                {**row, "dataset": "elsewhere", "ami": 0.5},
                {**row, "task": "annotation", "macro_f1": 0.5},
            ]
        )
    )
    rows = read_rows(path, clustering.Row, "ami", ["small"])
    assert [(r.method, r.kind, r.error) for r in rows] == [
        ("other", "rival", ""),
        ("failed", "rival", "does not build"),
    ]


def test_earlier_rows_are_tabulated_without_running(tmp_path) -> None:
    row = {"dataset": "small", "section": "a", "method": "GeST", "kind": "GeST", "seed": 0}
    (tmp_path / "a.json").write_text(json.dumps([{**row, "ami": 0.5, "wall_s": 1, "peak_mb": 1}]))
    result = CliRunner().invoke(app, ["niches", "--rows", str(tmp_path / "a.json")])
    assert result.exit_code == 0
    assert "0.500" in result.output


def test_simulated_sets_have_labels() -> None:
    made = simulated_cells(0)
    assert made.n_niches == 10
    assert [len(x) for x in made.labels] == [s.n_obs for s in made.sections]


@pytest.mark.parametrize("command", ["niches", "annotation"])
def test_the_command_skips_absent_data_and_takes_json(command: str, tmp_path) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert "--json" in shown.output
    assert "--file" in shown.output
    result = CliRunner().invoke(app, [command], env={"GEST_DATA": str(tmp_path)})
    assert result.exit_code == 0
    assert "skipped dlpfc" in result.output
    assert CliRunner().invoke(app, [command, "--dataset", "nothing"]).exit_code == 2
