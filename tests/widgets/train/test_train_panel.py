"""Training from the dock."""

from __future__ import annotations

import pytest
from qtpy.QtGui import QGuiApplication

from napari_gest.app import model_registry
from napari_gest.app.runs.training import TrainingRun
from napari_gest.errors import InputError
from napari_gest.tasks.training.train import TrainConfig
from napari_gest.tissue.io import write_tissue
from napari_gest.widgets.train.train_panel import Duration

pytestmark = pytest.mark.gui


@pytest.fixture
def panel(opened_home, tmp_path, monkeypatch):
    """The train panel, with a length of a few steps and a folder of its own."""
    monkeypatch.setattr(model_registry, "TRAINED_HERE", tmp_path / "own" / "models")
    made = opened_home.model_panel.train
    made.length.clear()
    made.length.addItem("a moment", Duration(share=4 / TrainConfig().n_steps))
    return made


def test_a_model_has_a_name_though_none_was_typed(opened_home, panel, until):
    assert panel.name.placeholderText() == "Name of the new model: tissue"
    panel.start(tune=True)
    until(lambda: "tissue" in opened_home.context.registry.models)
    until(lambda: not opened_home.context.jobs.busy)
    assert panel.name.placeholderText() == "Name of the new model: tissue 2"


def test_fine_tuning_ends_with_a_model_on_the_list(opened_home, panel, until):
    panel.name.setText("mine")
    panel.start(tune=True)
    until(
        lambda: "mine" in opened_home.context.registry.models and not opened_home.context.jobs.busy
    )
    assert opened_home.context.state.choices.model == "mine"
    assert (model_registry.TRAINED_HERE / "mine" / "config.json").is_file()
    assert len(panel.curve.points) >= 2
    (entry,) = opened_home.context.state.listed("training")
    assert entry.name == "mine"
    runs = opened_home.runs_panel
    assert runs.chosen == [entry]
    assert not runs.keep_button.isEnabled()
    runs.copy()
    assert "start=model" in QGuiApplication.clipboard().text()
    assert opened_home.session_menu.undecided() == ""  # a model is there already
    assert not (model_registry.TRAINED_HERE.parent / "unfinished" / "mine").exists()


def test_cells_of_the_region_are_left_out(opened_home, panel):
    opened_home.region_panel._pick_source("Column: middle")
    (section,) = TrainingRun.of(opened_home.context.state, "mine", 1.0).sections
    opened = opened_home.context.scene.active
    assert section.n_obs == opened.section.n_obs - opened.adata.obs["middle"].sum()


def test_stopping_keeps_nothing_on_the_list(opened_home, panel, until):
    panel.name.setText("stopped")
    panel.start(tune=True)
    assert opened_home.job_bar.cancel.isEnabled()
    opened_home.job_bar.cancel.click()
    until(lambda: not opened_home.context.jobs.busy)
    assert "Stopped" in opened_home.job_bar.message.text()
    assert "stopped" not in opened_home.context.registry.models


@pytest.mark.parametrize("name", ["../x", "tiny"])
def test_a_name_that_cannot_be_used_is_refused(panel, errors, name):
    (model_registry.TRAINED_HERE / "tiny").mkdir(parents=True)
    panel.name.setText(name)
    panel.start(tune=False)
    assert isinstance(errors.pop(), InputError)


def test_a_length_is_a_time_or_what_suits_the_tissue(opened_home):
    length = opened_home.model_panel.train.length
    offered = {length.itemText(i): length.itemData(i) for i in range(length.count())}
    assert length.currentText() == "1 minute"
    assert offered["1 minute"].budget_s == 60
    assert offered["3 minutes"].budget_s == 180
    assert offered["Until done"] == Duration(share=1.0)
    assert offered["Long"].share > 1


@pytest.fixture
def with_base(panel, opened_home, tiny_base, tmp_path):
    """The train panel, with a base to start from."""
    opened_home.context.registry.add(tiny_base.save(tmp_path / "bases" / "gest-base"))
    opened_home.model_panel.refresh()
    return panel


def test_training_begins_with_the_base_unless_told_otherwise(opened_home, with_base, monkeypatch):
    assert with_base.begin.currentText() == "tiny-base"
    begun = []
    monkeypatch.setattr(with_base.context.job_bar, "start", lambda *a, **k: False)
    made = TrainingRun.of
    monkeypatch.setattr(TrainingRun, "of", lambda *a: begun.append(a) or made(*a))
    with_base.name.setText("mine")
    with_base.start()
    with_base.begin.setCurrentText("Nothing")
    with_base.start()
    assert [None if a[3] is None else a[3].name for a in begun] == ["tiny-base", None]


def test_tissue_that_no_model_fits_is_trained_on_in_one_click(
    opened_home, with_base, until, tissue, tmp_path
):
    home = opened_home
    assert not home.model_panel.train_now.isVisible(), "the model in use fits"
    other = tissue[tissue.obs["section"] == "section_2", :20].copy()
    other.var_names = [f"other_{i}" for i in range(20)]
    write_tissue(other, tmp_path / "other.h5ad")
    home.open_panel.open([tmp_path / "other.h5ad"])
    until(lambda: home.context.opened.section.n_obs == other.n_obs and not home.context.jobs.busy)
    until(lambda: home.model_panel.train_now.isVisibleTo(home.model_panel))
    known = set(home.context.registry.models)
    home.model_panel.train_now.click()
    until(lambda: set(home.context.registry.models) > known and not home.context.jobs.busy)
    (name,) = set(home.context.registry.models) - known
    assert home.context.state.choices.model == name
    assert home.context.registry.load(name).card["start"] == "tiny-base"
    assert not home.model_panel.train_now.isVisibleTo(home.model_panel), "now one fits"


def test_a_base_is_not_chosen_to_generate_with(opened_home, panel, tiny_base, errors, tmp_path):
    before = opened_home.context.state.choices.model
    opened_home.model_panel.add_folder(tiny_base.save(tmp_path / "b"))
    assert "is a base" in str(errors.pop())
    assert opened_home.context.state.choices.model == before
    assert opened_home.model_panel.models.findText("tiny-base") < 0
