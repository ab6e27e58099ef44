"""Training on open tissue: what is asked for, and where the model goes. No Qt."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_gest.app import model_registry
from napari_gest.app.actions import (
    Activate,
    AddRun,
    Choose,
    CloseSections,
    Keep,
    OpenSections,
    SetShapes,
)
from napari_gest.app.journal import Journal
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import open_sections
from napari_gest.app.regions import Shape
from napari_gest.app.runs.base import RunEntry, why_stale
from napari_gest.app.runs.training import TrainingRun
from napari_gest.app.session import Session
from napari_gest.app.state import State
from napari_gest.errors import InputError
from napari_gest.model.gest import GeST
from napari_gest.tasks.progress import finish
from napari_gest.tasks.training.train import TrainConfig
from napari_gest.tissue.io import read_tissue, write_tissue

ONE, TWO = "section_1", "section_2"


@pytest.fixture(autouse=True)
def trained_here(tmp_path, monkeypatch):
    """A folder of models of its own."""
    folder = tmp_path / "own" / "models"
    monkeypatch.setattr(model_registry, "TRAINED_HERE", folder)
    return folder


def test_it_learns_from_all_open_sections_with_these_genes(work, tissue):
    other = tissue[:, :20].copy()
    work.do(OpenSections.of(open_sections(other, names=[TWO]), work.session.state))
    assert len(work.session.state.opened.section.genes) == 20
    alone = TrainingRun.of(work.session.state, "mine", 1.0)
    assert [s.label for s in alone.snapshots] == [f"{TWO} (2)"]
    work.do(Activate(label=TWO))
    both = TrainingRun.of(work.session.state, "mine", 0.25)
    assert [s.label for s in both.snapshots] == [ONE, TWO]
    assert [section.n_obs for section in both.sections] == [600, 600]
    assert both.title == "mine"
    assert both.settings == "0.25 of the usual steps"


def test_cells_to_generate_are_left_out(work, tissue):
    tissue.obs["middle"] = np.arange(tissue.n_obs) % 6 == 0
    work.do(Choose.of(mask_key="middle"))
    run = TrainingRun.of(work.session.state, "mine", 1.0)
    left = [600 - int(tissue.obs["middle"].to_numpy()[s.section.rows].sum()) for s in run.snapshots]
    assert run.sections[0].n_obs == left[0] < 600
    work.do(Choose.of(mask_key=None))
    low, high = np.percentile(work.session.state.opened.section.coords_um, [40, 60], axis=0)
    corners = ((low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1]))
    drawn = Shape(role="unseen", section=ONE, kind="polygon", corners=corners)
    work.do(SetShapes(role="unseen", shapes=(drawn,)))
    run = TrainingRun.of(work.session.state, "mine", 1.0)
    assert run.sections[0].n_obs < 600
    assert run.snapshots[0].section.n_obs == 600


@pytest.mark.parametrize("start", ["nothing", "a model", "a base"])
def test_a_script_trains_the_same_model(
    work, tissue, tiny_model, tiny_base, tmp_path, monkeypatch, start
):
    path = tmp_path / "t.h5ad"
    tissue.obs["middle"] = np.arange(tissue.n_obs) % 6 == 0
    write_tissue(tissue, path)
    journal = Journal(Session())
    journal.do(OpenSections.of(open_sections(read_tissue(path), path), State()))
    journal.do(Choose.of(mask_key="middle", seed=3))
    begin = {"nothing": None, "a model": tiny_model, "a base": tiny_base}[start]
    info = None if begin is None else ModelInfo.read(begin.save(tmp_path / "start"))
    changed = {"hole_radius": 9.0, "batch_windows": 2, "targets": 16}
    run = TrainingRun.of(journal.session.state, "mine", 2 / TrainConfig().n_steps, info, changed)
    assert "hole_radius 9.0" in run.settings
    made = finish(run.work(lambda name: begin))
    assert same_weights(run, made, tmp_path, monkeypatch)


def test_a_script_of_a_budget_takes_the_steps_it_came_to(
    work, tissue, tiny_base, tmp_path, monkeypatch
):
    path = tmp_path / "t.h5ad"
    write_tissue(tissue, path)
    journal = Journal(Session())
    journal.do(OpenSections.of(open_sections(read_tissue(path), path), State()))
    info = ModelInfo.read(tiny_base.save(tmp_path / "start"))
    # All of it takes longer than what is left after one step: the plan is short.
    changed = {"batch_windows": 1, "targets": 16, "n_steps": 3}
    run = TrainingRun.of(journal.session.state, "mine", 1.0, info, changed, budget_s=600.0)
    assert run.settings.startswith("600 s, from tiny-base")
    assert "budget=600" in run.script(), "before it has run nobody knows its steps"
    made = finish(run.work(lambda name: tiny_base))
    assert "budget=" not in run.script()
    assert same_weights(run, made, tmp_path, monkeypatch)


def same_weights(run, made, tmp_path, monkeypatch):
    """Whether the script of a training gives the model that the training gave."""
    monkeypatch.chdir(tmp_path)
    exec(compile(run.script(), "script", "exec"), {})
    one, two = GeST.load(made.folder), GeST.load(tmp_path / "mine")
    a, b = one.network.state_dict(), two.network.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_setting_that_is_not_possible_is_named(work):
    with pytest.raises(InputError, match="'validation_share' of the training"):
        TrainingRun.of(work.session.state, "mine", 1.0, config={"validation_share": 0.7})


def test_a_region_of_everything_leaves_nothing(work):
    low, high = (f(work.session.state.opened.section.coords_um, axis=0) for f in (np.min, np.max))
    low, high = low - 9, high + 9
    corners = ((low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1]))
    drawn = Shape(role="unseen", section=ONE, kind="polygon", corners=corners)
    work.do(CloseSections(labels=(TWO,)))
    work.do(SetShapes(role="unseen", shapes=(drawn,)))
    with pytest.raises(InputError):
        TrainingRun.of(work.session.state, "mine", 1.0).check()


@pytest.mark.parametrize(
    ("name", "cause"), [("", "no name"), ("../x", "no usable name"), ("taken", "already")]
)
def test_a_name_that_cannot_be_used(work, trained_here, name, cause):
    (trained_here / "taken").mkdir(parents=True)
    with pytest.raises(InputError, match=cause):
        TrainingRun.of(work.session.state, name, 1.0)


def test_without_tissue_there_is_nothing_to_learn_from():
    with pytest.raises(InputError, match="No tissue"):
        TrainingRun.of(State(), "mine", 1.0)


def test_a_model_is_trained_on_and_lies_in_its_folder(work, tiny_model, tmp_path, trained_here):
    folder = tiny_model.save(tmp_path / "start")
    info = ModelInfo.read(folder)
    run = TrainingRun.of(work.session.state, "mine", 2 / TrainConfig().n_steps, info)
    run.check()
    outcome = finish(run.work(lambda name: tiny_model))
    assert outcome.folder == trained_here / "mine"
    assert outcome.agreement_text == str(outcome.folder)
    assert ModelInfo.read(outcome.folder).genes == info.genes
    assert not (trained_here.parent / "unfinished" / "mine").exists()
    entry = RunEntry("run-1", run.title, run, outcome)
    assert entry.kind == "training"
    work.do(AddRun.of(entry))
    work.do(Keep(id="run-1"))  # which writes nothing: a model is no part of the tissue
    assert outcome.results(work.session.state) == []
    assert why_stale(entry, work.session.state) is None
