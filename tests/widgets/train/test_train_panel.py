"""Training from the dock."""

from __future__ import annotations

import pytest
from qtpy.QtGui import QGuiApplication

from napari_gest.app import model_registry
from napari_gest.app.runs.training import TrainingRun
from napari_gest.errors import InputError
from napari_gest.tasks.training.train import TrainConfig

pytestmark = pytest.mark.gui


@pytest.fixture
def panel(opened_home, tmp_path, monkeypatch):
    """The train panel, with a length of a few steps and a folder of its own."""
    monkeypatch.setattr(model_registry, "TRAINED_HERE", tmp_path / "own" / "models")
    made = opened_home.model_panel.train
    made.length.clear()
    made.length.addItem("a moment", 4 / TrainConfig().n_steps)
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
    assert "fine_tune(" in QGuiApplication.clipboard().text()
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


@pytest.mark.parametrize("name", ["", "../x", "tiny"])
def test_a_name_that_cannot_be_used_is_refused(panel, errors, name):
    (model_registry.TRAINED_HERE / "tiny").mkdir(parents=True)
    panel.name.setText(name)
    panel.start(tune=False)
    assert isinstance(errors.pop(), InputError)


def test_the_usual_length_is_what_suits_the_tissue(opened_home):
    length = opened_home.model_panel.train.length
    shares = {length.itemText(i): length.itemData(i) for i in range(length.count())}
    assert length.currentText() == "Usual"
    assert shares["Usual"] == 1
    assert shares["Short"] < 1 < shares["Long"]
