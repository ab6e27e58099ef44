"""Opening a user's own file: through napari, the file dialog, a drop, and with other options."""

from __future__ import annotations

import re
import threading
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from napari.errors import ReaderPluginError
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox

from napari_gest.app import sample_tissue
from napari_gest.app.runs.generation import unseen_cells
from napari_gest.canvas.jobs import Job
from napari_gest.errors import InputError, ReadingError
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.io import write_tissue
from napari_gest.tissue.reading import Reading
from napari_gest.widgets import window
from napari_gest.widgets.common.errors import show_error
from napari_gest.widgets.open.open_panel import SectionDialog

pytestmark = pytest.mark.gui

OTHER = Reading("pixels", "slide", "norm", 0.25, "log1p")


@pytest.fixture
def own_file(tissue, tmp_path):
    """A file of another programme: other keys, pixels, and logged values beside scaled ones."""
    tissue.obsm["pixels"] = tissue.obsm.pop("spatial") / 0.25
    tissue.obs["slide"] = tissue.obs.pop("section")
    tissue.layers["norm"] = tissue.X.log1p()
    tissue.X = tissue.X.toarray() - 1.0
    write_tissue(tissue, tmp_path / "own.h5ad")
    return tmp_path / "own.h5ad"


@pytest.fixture
def settled(home, until):
    """Waits until a number of sections is open and nothing is at work."""
    context = home.context
    return lambda n: until(lambda: len(context.session.sections) == n and not context.jobs.busy)


@pytest.fixture
def refused(home, until, errors):
    """Waits for an error, and returns it when nothing is at work."""

    def wait() -> Exception:
        until(lambda: bool(errors) and not home.context.jobs.busy)
        return errors.pop()

    return wait


def mime(*paths) -> QMimeData:
    """Return what a file manager drags."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    data.setText("\n".join(map(str, paths)))
    return data


def drop(widget, data: QMimeData) -> bool:
    """Drag something onto a widget and let it go; return whether it was taken."""
    how = (Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier(0))
    enter = QDragEnterEvent(widget.rect().center(), *how)
    enter.ignore()
    QApplication.sendEvent(widget, enter)
    if enter.isAccepted():
        QApplication.sendEvent(widget, QDropEvent(QPointF(widget.rect().center()), *how))
    return enter.isAccepted()


def drop_on_canvas(viewer, path) -> None:
    """Let a file go over the canvas, as Qt tells napari."""
    how = (Qt.DropAction.CopyAction, mime(path), Qt.MouseButton.LeftButton, Qt.KeyboardModifier(0))
    viewer.window._qt_viewer.dropEvent(QDropEvent(QPointF(10, 10), *how))


# How to read the file


def test_what_fails_is_corrected_and_tried_again(home, qtbot, until, refused, settled, own_file):
    panel = home.open_panel
    fields = panel.reading
    assert fields.isHidden()
    assert not panel.again.isEnabled()

    def again() -> None:
        assert panel.again.isEnabled()
        qtbot.mouseClick(panel.again, Qt.MouseButton.LeftButton)

    panel.open([own_file])
    error = refused()
    assert isinstance(error, ReadingError)
    assert "Coordinates" in error.remedy
    assert fields.isVisible()
    assert "pixels" in [fields.spatial.itemText(i) for i in range(fields.spatial.count())]
    assert fields.spatial.currentText() == "spatial"  # what was asked for, to be changed
    fields.spatial.setCurrentText("pixels")
    again()
    assert "negative" in str(refused())
    assert [fields.layer.itemText(i) for i in range(fields.layer.count())] == ["X", "norm"]
    fields.layer.setCurrentText("norm")
    again()
    assert "logged" in str(refused())
    fields.scale.setCurrentText("log1p")
    fields.um.setValue(0.25)
    fields.section.setCurrentText("slide")
    again()
    until(lambda: bool(home.findChildren(SectionDialog)))
    (dialog,) = home.findChildren(SectionDialog)
    dialog.accept()
    settled(1)
    section = home.context.scene.active.section
    assert section.reading == fields.reading == OTHER
    assert np.ptp(section.coords_um[:, 0]) < 5000
    assert "changed" in panel.fold.text()
    panel.reset.click()
    assert fields.reading == Reading()
    assert panel.fold.text() == "How to read the file"


def test_the_dialog_speaks_of_fields_that_are_there(home, until, own_file):
    shown = []
    home.context.report = lambda parent, error: shown.append(show_error(parent, error))
    home.open_panel.open([own_file])
    until(lambda: bool(shown) and not home.context.jobs.busy)
    (box,) = home.findChildren(QMessageBox)
    assert "no coordinates obsm['spatial']; obsm here: ['pixels']" in box.text()
    assert "--spatial-key" in box.informativeText()
    assert f"'{home.open_panel.reading.spatial.accessibleName()}' in" in box.informativeText()
    box.close()


def test_a_folded_step_unfolds_when_a_file_cannot_be_read(opened_home, refused, own_file):
    first = opened_home.steps[0]
    assert not first.is_open
    opened_home.open_panel.open([own_file])
    refused()
    assert first.is_open
    assert not opened_home.open_panel.reading.isHidden()
    assert list(opened_home.context.session.sections) == ["tissue"]


@pytest.mark.usefixtures("short_field")
def test_the_script_reads_as_the_dock_did(home, until, settled, own_file, monkeypatch, tmp_path):
    panel, context = home.open_panel, home.context
    panel.reading.choose(OTHER)
    panel.open([own_file], "section_2")
    settled(1)
    taken = context.scene.active.section
    half = 0.1 * np.ptp(taken.coords_um[:, 0])
    corners = half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    centre = taken.coords_um.mean(axis=0)[::-1]
    context.scene.draw("pan_zoom").add([centre + corners], shape_type="polygon")
    home.run_panel.start()
    result = home.run_panel.result
    until(lambda: result.entry is not None and not context.jobs.busy)
    result.copy()
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    exec(compile(QApplication.clipboard().text(), "copied", "exec"), scope)
    assert scope["section"].reading == OTHER
    np.testing.assert_array_equal(scope["section"].coords_um, taken.coords_um)
    made = result.entry.outcome.result
    np.testing.assert_array_equal(scope["result"].expression, made.expression)


def test_opening_again_takes_the_place_of_what_was_open(opened_home, settled, tissue_file):
    panel, context = opened_home.open_panel, opened_home.context
    before = context.scene.active.section
    opened_home.color_panel.show_column("region")
    panel.reading.um.setValue(2)
    panel.again.click()
    settled(1)
    after = context.scene.active
    assert after.label == "tissue"
    assert len(context.scene.viewer.layers) == 1
    np.testing.assert_allclose(after.section.coords_um, 2 * before.coords_um)
    assert context.painter.view_state.column == "region"  # colours stay
    panel.open([tissue_file])  # asked for as another file would be: beside
    settled(2)


@pytest.mark.usefixtures("short_field")
def test_opening_again_leaves_what_something_was_made_on(opened_home, until, settled):
    context = opened_home.context
    coords = context.scene.active.section.coords_um
    half = 0.1 * np.ptp(coords[:, 0])
    corners = half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    region = context.scene.draw("pan_zoom")
    region.add([coords.mean(axis=0)[::-1] + corners], shape_type="polygon")
    opened_home.run_panel.start()
    result = opened_home.run_panel.result
    until(lambda: result.entry is not None and not context.jobs.busy)
    opened_home.open_panel.open_again()
    settled(2)
    assert list(context.session.sections) == ["tissue", "tissue (2)"]
    result.keep()
    opened_home.open_panel.open_again()  # what was kept stays, the other is replaced
    settled(2)
    assert context.session.sections["tissue"].results
    assert not context.session.sections["tissue (2)"].results


def test_what_is_open_is_ticked_when_it_is_opened_again(home, tissue, until, settled, tmp_path):
    write_tissue(tissue, tmp_path / "two.h5ad")
    home.open_panel.open([tmp_path / "two.h5ad"])
    until(lambda: bool(home.findChildren(SectionDialog)))
    (first,) = home.findChildren(SectionDialog)
    first._check(False)
    first.list.item(1).setCheckState(Qt.CheckState.Checked)
    first.accept()
    settled(1)
    home.open_panel.open_again()
    until(lambda: bool(home.findChildren(SectionDialog)))  # the first is gone
    (second,) = home.findChildren(SectionDialog)
    assert second.chosen() == [1]
    second._check(False)
    second.accept()  # nothing is chosen: nothing changes
    settled(1)
    assert list(home.context.session.sections) == ["section_2"]


def test_a_column_that_names_no_section_is_refused(home, tissue, refused, tmp_path):
    tissue.obs["empty"] = pd.Categorical([None] * tissue.n_obs)
    write_tissue(tissue, tmp_path / "two.h5ad")
    for column, cause in (("slide", "no obs column 'slide'"), ("empty", "0 sections")):
        home.open_panel.reading.section.setEditText(column)  # left over from another file, perhaps
        home.open_panel.open([tmp_path / "two.h5ad"])
        error = refused()
        assert cause in error.cause
        assert "'Section column' in the dock" in error.remedy
    assert not home.findChildren(SectionDialog)


def test_fields_say_what_is_chosen(home):
    fields = home.open_panel.reading
    fields.choose(OTHER)
    assert fields.um.text() == "0.25"
    assert fields.reading == OTHER
    for box in (fields.spatial, fields.section, fields.layer):
        box.setEditText("  ")
    assert fields.reading == Reading(um_per_unit=0.25, scale="log1p")
    fields.choose(Reading(um_per_unit=0.108333333333))
    assert fields.reading.um_per_unit == 0.108333333333


def test_generated_cells_are_left_out_unless_they_are_asked_for(home, settled, tissue, tmp_path):
    one = tissue[tissue.obs["section"] == "section_1"].copy()
    one.obs["gest_generated"] = one.obs["gest_new_cell"] = np.arange(one.n_obs) < 40
    one.layers["gest_counts"] = one.X.copy()
    one.uns["gest"] = {"mode": "sample", "draws": 2}
    write_tissue(one, tmp_path / "filled.h5ad")
    home.open_panel.open([tmp_path / "filled.h5ad"])
    settled(1)
    assert home.context.scene.active.section.n_obs == 560
    assert "40 generated cells are left out" in home.open_panel.about.text()
    assert "560 of 600 cells" in home.steps[0]._summary.toolTip()
    home.open_panel.reading.choose(Reading(layer="gest_counts", include_generated=True))
    assert home.open_panel.reading.generated.isChecked()
    home.open_panel.again.click()
    settled(1)
    assert home.context.scene.active.section.n_obs == 600
    assert "from layer gest_counts, draw 1 of 2" in home.open_panel.about.text()


def test_the_sample_opens_whatever_is_set(home, settled):
    home.open_panel.reading.choose(OTHER)
    home.open_panel.sample.click()
    settled(1)
    assert home.context.scene.active.section.reading == Reading()


def test_view_reads_as_it_is_told(home, settled, own_file, monkeypatch):
    monkeypatch.setattr(window, "open_window", lambda: (home.context.viewer, home))
    monkeypatch.setattr("napari.run", lambda: None)
    window.launch([own_file], section="section_1", reading=OTHER)
    settled(1)
    assert home.context.scene.active.section.reading == OTHER
    assert home.open_panel.reading.reading == OTHER


# The file dialog


def test_the_file_dialog_opens_what_is_chosen(home, settled, tissue_file, monkeypatch):
    chosen = SimpleNamespace(paths=[])
    ask = lambda *args: (chosen.paths, "")  # noqa: E731
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", ask)
    home.open_panel.file.click()
    assert not home.context.jobs.busy  # it was closed without choosing
    chosen.paths = [str(tissue_file)]
    home.open_panel.file.click()
    settled(1)
    assert home.context.scene.active.path == tissue_file


def test_the_folder_dialog_opens_a_zarr(home, tissue, settled, refused, monkeypatch, tmp_path):
    write_tissue(tissue[tissue.obs["section"] == "section_1"].copy(), tmp_path / "one.zarr")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: "")
    home.open_panel.folder.click()
    assert not home.context.jobs.busy
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: str(tmp_path))
    home.open_panel.folder.click()
    assert "neither an .h5ad file nor a .zarr folder" in str(refused())
    one = str(tmp_path / "one.zarr")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: one)
    home.open_panel.folder.click()
    settled(1)
    assert list(home.context.session.sections) == ["one"]


@pytest.mark.parametrize("content", [b"no hdf5", b""])
def test_a_broken_file_is_reported(home, refused, monkeypatch, tmp_path, content):
    broken = tmp_path / "broken.h5ad"
    broken.write_bytes(content)
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *args: ([str(broken)], ""))
    home.open_panel.file.click()
    error = refused()
    assert "is not a readable AnnData" in error.cause
    assert "copied completely" in error.remedy
    assert home.open_panel.reading.isHidden()  # nothing to set there would help


# A drop on the dock


def test_a_file_dropped_on_the_dock_opens_in_the_background(home, settled, tissue_file):
    assert drop(home.open_panel.help, mime(tissue_file))
    assert home.context.jobs.busy
    assert not home.context.session.sections
    settled(1)
    assert home.context.scene.active.path == tissue_file

    home.open_panel.fold.toggleButton().click()
    assert drop(home.open_panel.reading.spatial.lineEdit(), mime(tissue_file))
    settled(2)
    assert home.open_panel.reading.reading == Reading()  # the name was not put into the field


def test_other_things_dropped_on_the_dock_are_left_alone(home, tissue_file, tmp_path):
    text = QMimeData()
    text.setText(str(tissue_file))
    web = QMimeData()
    web.setUrls([QUrl("https://example.org/tissue.h5ad")])
    for data in (text, web, mime(tmp_path / "image.tif"), mime(tissue_file, tmp_path / "a.tif")):
        assert not drop(home.open_panel.help, data)
    assert not home.context.jobs.busy


def test_a_file_dropped_on_the_dock_that_cannot_be_read(home, refused, own_file):
    assert drop(home.open_panel.help, mime(own_file))
    assert isinstance(refused(), ReadingError)
    assert home.open_panel.reading.isVisible()


def test_a_file_dropped_while_a_job_runs_is_told_to_wait(home, errors, settled, tissue_file):
    go = threading.Event()

    def work():
        yield Progress("Waiting", 0, 1)
        go.wait(30)

    home.context.jobs.start(Job(work))
    drop(home.open_panel.help, mime(tissue_file))
    go.set()
    assert "A job is running" in errors.pop().cause
    settled(0)


# napari's own ways


def test_napari_opens_a_file(home, viewer, tissue, tmp_path):
    write_tissue(tissue, tmp_path / "two.h5ad")
    layers = viewer.open(tmp_path / "two.h5ad", plugin="napari-gest")
    assert [layer.name for layer in layers] == ["section_1", "section_2"]
    assert list(home.context.session.sections) == ["section_1", "section_2"]


def test_napari_opens_the_samples(home, viewer):
    cells, region = viewer.open_sample("napari-gest", "section_with_region")
    assert home.context.scene.active.label == cells.name == sample_tissue.SAMPLE_SECTION.stem
    assert home.context.scene.regions.layer("unseen") is region
    unseen, _ = unseen_cells(home.context.state)
    assert 0 < unseen.sum() < len(unseen)
    viewer.open_sample("napari-gest", "section")
    assert len(home.context.session.sections) == 2


def test_a_file_dropped_on_the_canvas_is_read_by_napari(home, viewer, tissue_file):
    drop_on_canvas(viewer, tissue_file)
    assert list(home.context.session.sections) == ["tissue"]


def test_what_napari_cannot_read_is_told_with_cause_and_remedy(home, viewer, own_file, tmp_path):
    broken = tmp_path / "broken.h5ad"
    broken.write_text("no hdf5")
    for path, cause, remedy in (
        (own_file, "no coordinates obsm['spatial']", "'Coordinates' in the dock"),
        (broken, "is not a readable AnnData", "copied completely"),
    ):
        with pytest.raises(InputError, match=re.escape(cause)) as raised:
            viewer.open(path, plugin="napari-gest")
        with pytest.raises(ReaderPluginError) as dropped:
            drop_on_canvas(viewer, path)
        # Older versions of napari keep the reason as the cause of their own errors.
        told, error = "", dropped.value
        while error is not None:
            told, error = f"{told} {error}", error.__cause__
        for text in (str(raised.value), told):
            assert cause in text
            assert remedy in text
    assert not viewer.layers
