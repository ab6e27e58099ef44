"""What all plots of the dock have in common, and what each shows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyqtgraph
import pytest
import qtpy
from PIL import Image
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QColor, QWheelEvent
from qtpy.QtWidgets import QApplication, QFileDialog, QLineEdit, QToolTip, QWidget

from napari_gest.errors import InputError
from napari_gest.widgets.plots.axes import Axes
from napari_gest.widgets.plots.distance_decay import DistanceDecay
from napari_gest.widgets.plots.dose_response import DoseResponse
from napari_gest.widgets.plots.training_curve import TrainingCurve
from napari_gest.widgets.plots.volcano import Volcano

pytestmark = pytest.mark.gui

GENES = ("<b>Odd</b>", "Gad1", "Sst", "ENSMUSG00000026787.8_a_name_that_is_far_too_long")
WIDTH = 316  # pixels that a plot has in a dock of 376
LEFT = Qt.MouseButton.LeftButton


def volcano(chosen: str | None = None, p: float = 6.25e-4) -> Volcano:
    made = Volcano()
    made.show_table(
        pd.DataFrame(
            {
                "gene": GENES,
                "band": "all",
                "effect": [-0.5, 0.25, 0.125, 0.0],
                "control": [1.0, 2.0, 3.0, 4.0],
                "pvalue": [p, 0.5, 0.25, 1.0],
                "fdr": [4 * p, 0.5, 0.5, 1.0],
            }
        ),
        chosen,
    )
    return made


def signs() -> Volcano:
    """Return a response: one gene's sign is sure although no gene passes the strict test."""
    made, table = Volcano(), volcano().data.assign(fdr=1.0)
    rates = {"lfsr": [0.01, 0.5, np.nan, 1.0], "svalue": [0.01, 0.255, np.nan, 0.5]}
    made.show_table(table.assign(**rates, reported=["down", "none", "none", "none"]), None)
    return made


def decay(chosen: tuple[float, float] | None = None) -> DistanceDecay:
    made = DistanceDecay()
    far = np.linspace(0.1, 150, 600)
    made.show_effect(GENES[-1], far, np.exp(-far / 30), (0, 30, 60, 150), chosen)
    return made


def dose() -> DoseResponse:
    made = DoseResponse()
    table = pd.DataFrame({"gene": "Gad1", "strength": [0.0, 1.0, 2.0], "effect": [0.0, 0.1, 0.3]})
    made.show_doses(table, "Gad1", 1.0, "")
    return made


def curve() -> TrainingCurve:
    made = TrainingCurve("step", "validation error")
    for step, error in enumerate((1.0, 0.5, 0.25, 0.375)):
        made.add(100 * step, error)
    return made


PLOTS = [volcano, decay, dose, curve]


@pytest.fixture
def shown(qtbot):
    """Shows a plot as wide as the dock at its narrowest, and waits until it is drawn."""

    def show(plot: Axes) -> Axes:
        qtbot.addWidget(plot)
        plot.resize(WIDTH, 200)
        plot.show()
        qtbot.waitExposed(plot)
        qtbot.wait(50)
        return plot

    return show


def at(plot: Axes, index: int) -> QPoint:
    """Return where a point is drawn."""
    (place,) = plot.place(plot.x[[index]], plot.y[[index]])
    return QPointF(*place).toPoint()


def turn_wheel(widget: QWidget) -> QWheelEvent:
    centre = QPointF(widget.rect().center())
    event = QWheelEvent(
        centre, QPointF(widget.mapToGlobal(centre.toPoint())), QPoint(), QPoint(0, 120),
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase,
        False,
    )  # fmt: skip
    QApplication.sendEvent(widget, event)
    return event


def test_plots_use_the_binding_of_everything_else():
    assert pyqtgraph.Qt.QT_LIB == qtpy.API_NAME


@pytest.mark.parametrize("made", PLOTS)
def test_captions_keep_apart_and_inside_the_narrowest_dock(shown, made):
    plot = shown(made())
    scene = plot.view.sceneRect()
    axis = plot.plot.getAxis("bottom")
    below = axis.label.mapRectToScene(axis.label.boundingRect())
    title = plot.plot.titleLabel
    above = title.item.mapRectToScene(title.item.boundingRect())
    numbers = axis.mapRectToScene(axis.rect())
    numbers.setHeight(axis.style["tickTextHeight"] + axis.style["tickTextOffset"][1])
    assert not above.intersects(below)
    assert not above.intersects(plot.area.adjusted(0, 4, 0, 0))
    assert above.right() <= scene.right() - plot.more.width() + 4  # margins of Qt around text
    assert below.left() >= 0
    assert below.right() <= scene.right()
    assert below.top() + 4 >= numbers.bottom() - 2
    assert below.bottom() - 4 <= scene.bottom()
    assert plot.area.right() <= scene.right()


@pytest.mark.parametrize("made", PLOTS)
def test_a_point_under_the_mouse_says_its_name_and_value(shown, qtbot, made):
    plot = shown(made())
    words = plot.words(1)
    assert f"{plot.x[1]:+.3g}" in words or f"{plot.y[1]:.3g}" in words
    qtbot.mouseMove(plot.view.viewport(), QPoint(2, 2))
    qtbot.wait(30)  # pyqtgraph follows the mouse 100 times a second
    qtbot.mouseMove(plot.view.viewport(), at(plot, 1))
    qtbot.waitUntil(lambda: QToolTip.text() == words)


def test_names_that_look_like_html_are_shown_as_they_are(shown, qtbot):
    plot = shown(volcano())
    qtbot.mouseMove(plot.view.viewport(), at(plot, 0))
    qtbot.waitUntil(lambda: "&lt;b&gt;Odd" in QToolTip.text())


def test_small_p_values_are_in_scientific_notation(qtbot):
    plot = volcano()
    qtbot.addWidget(plot)
    assert "p 6.3e-4" in plot.words(0)
    assert "e-" not in plot.words(0).partition("FDR")[2]  # 0.0025 is easy to read
    plot = volcano(p=0.0)
    qtbot.addWidget(plot)
    assert "p < 1e-300" in plot.words(0)
    assert np.isfinite(plot.y).all()


def test_a_click_chooses_a_gene(shown, qtbot):
    plot = shown(volcano())
    for index in (1, 0):
        with qtbot.waitSignal(plot.picked) as picked:
            qtbot.mouseClick(plot.view.viewport(), LEFT, pos=at(plot, index))
        assert picked.args == [GENES[index]]
    with qtbot.assertNotEmitted(plot.picked, wait=50):
        qtbot.mouseClick(plot.view.viewport(), LEFT, pos=at(plot, 0) + QPoint(30, 30))


def test_a_click_chooses_a_band_and_another_takes_that_back(shown, qtbot):
    for chosen, told in ((None, (30, 60)), ((30, 60), None)):
        plot = shown(decay(chosen))
        ((x, _),) = plot.place(np.array([45.0]), np.array([0.5]))
        with qtbot.waitSignal(plot.picked) as picked:
            qtbot.mouseClick(plot.view.viewport(), LEFT, pos=QPoint(round(x), 60))
        assert picked.args == [told]


def test_the_wheel_zooms_a_plot_that_was_clicked_and_moves_the_dock_else(shown, qtbot):
    plot = shown(volcano())
    other = QLineEdit(plot)
    other.show()
    plot.activateWindow()
    other.setFocus()
    qtbot.waitUntil(other.hasFocus)
    before = plot.plot.viewRange()
    assert not turn_wheel(plot.view.viewport()).isAccepted()  # what is above it gets it
    assert plot.plot.viewRange() == before
    qtbot.mouseClick(plot.view.viewport(), LEFT)
    qtbot.waitUntil(plot.view.hasFocus)
    assert turn_wheel(plot.view.viewport()).isAccepted()
    assert (np.ptp(plot.plot.viewRange(), axis=1) < 0.95 * np.ptp(before, axis=1)).all()
    qtbot.mouseDClick(plot.view.viewport(), LEFT)
    assert plot.plot.viewRange() == before


def test_a_drag_moves_what_is_zoomed(shown, qtbot):
    plot = shown(curve())
    plot.plot.setXRange(100, 200, padding=0)
    plot.plot.setYRange(0.2, 0.4, padding=0)
    canvas, start = plot.view.viewport(), QPoint(150, 80)
    qtbot.mousePress(canvas, LEFT, pos=start)
    for step in (20, 40, 60):
        qtbot.wait(30)
        qtbot.mouseMove(canvas, start + QPoint(step, 0))
    qtbot.mouseRelease(canvas, LEFT, pos=start + QPoint(60, 0))
    assert plot.plot.viewRange()[0][0] < 95
    plot.menu.actions()[0].trigger()
    assert plot.plot.viewRange()[0][1] > 300


def test_choosing_a_gene_leaves_the_zoom_and_another_band_does_not(shown):
    plot = shown(volcano())
    plot.plot.setXRange(0, 0.2, padding=0)
    zoomed = plot.plot.viewRange()
    table = plot.data.copy()
    plot.show_table(table, "Gad1")
    assert plot.plot.viewRange() == zoomed
    plot.show_table(table.assign(effect=2 * table["effect"]), "Gad1")
    assert plot.plot.viewRange()[0][1] > 0.25


def test_names_shown_are_in_sight_and_apart(shown):
    plot = shown(volcano("Sst"))
    visible = [name for name in plot._names if name.isVisible()]
    assert "Sst" in [name.toPlainText() for name in visible]
    boxes = [n.mapRectToDevice(n.boundingRect()).adjusted(3, 3, -3, -3) for n in visible]
    assert all(plot.area.adjusted(-8, -8, 8, 8).contains(box) for box in boxes)
    assert not any(a.intersects(b) for i, a in enumerate(boxes) for b in boxes[:i])
    plot.plot.setXRange(0.2, 0.3, padding=0)
    assert [n.toPlainText() for n in plot._names if n.isVisible()] == ["Gad1"]


@pytest.mark.parametrize("made", PLOTS)
def test_colours_follow_the_theme(shown, made):
    plot = shown(made())
    for color in ("#fafafa", "#111111"):
        plot.setStyleSheet(f"QWidget {{ color: {color}; }}")
        axis = plot.plot.getAxis("left")
        assert axis.textPen().color() == QColor(color)
        assert color in plot.plot.titleLabel.item.toHtml()
        assert plot.view.backgroundBrush().style() == Qt.BrushStyle.NoBrush


@pytest.mark.parametrize("made", PLOTS)
def test_plots_are_saved_on_paper_and_never_over_a_file_unasked(shown, made, tmp_path):
    plot = shown(made())
    plot.setStyleSheet("QWidget { color: white; }")
    size = plot.view.size()
    for ending in (".svg", ".png", ".csv"):
        path = tmp_path / f"plot{ending}"
        path.write_text("the user's own")
        with pytest.raises(InputError):
            plot.save(path)
        assert path.read_text() == "the user's own"
        path.unlink()
        plot.save(path)
    plot.save(tmp_path / "plot.svg", overwrite=True)
    assert plot.view.size() == size
    assert plot.plot.getAxis("left").textPen().color() == QColor("white")
    assert b"<svg" in (tmp_path / "plot.svg").read_bytes()
    picture = np.asarray(Image.open(tmp_path / "plot.png").convert("RGB"))
    assert (picture[0, 0] == 255).all()
    assert (picture == 0).all(axis=2).any()  # letters
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "plot.csv"), plot.data.reset_index(drop=True), check_dtype=False
    )
    with pytest.raises(InputError, match="cannot be saved"):
        plot.save(tmp_path / "plot.txt")


def test_the_menu_saves_what_the_dialog_names(shown, monkeypatch, tmp_path):
    plot = shown(dose())
    told = []
    monkeypatch.setattr("napari_gest.widgets.plots.axes.show_error", lambda _, e: told.append(e))
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *args: (str(tmp_path / "dose"), "Table (*.csv)")
    )
    (action,) = [a for a in plot.menu.actions() if "CSV" in a.text()]
    action.trigger()
    assert pd.read_csv(tmp_path / "dose.csv")["strength"].tolist() == [0.0, 1.0, 2.0]
    assert not told
    action.trigger()  # the dialog saw another name, so it did not ask
    assert "exists" in str(told.pop())


def test_a_plot_of_nothing_says_why(qtbot):
    plot = Volcano()
    qtbot.addWidget(plot)
    table = volcano().data
    plot.show_table(table.assign(pvalue=np.nan), None)
    assert plot.message.text() == "No gene was tested."
    assert plot.view.isHidden()
    plot.show_table(table, None)
    assert not plot.view.isHidden()


@pytest.mark.parametrize("made", PLOTS)
def test_plots_are_described_in_words(qtbot, made):
    plot = made()
    qtbot.addWidget(plot)
    for widget in (plot, plot.view):
        assert widget.accessibleName()
        assert any(letter.isdigit() for letter in widget.accessibleDescription())
    assert plot.accessibleName() in plot.more.accessibleName()


def test_the_lowest_error_of_a_training_is_marked(qtbot):
    plot = curve()
    qtbot.addWidget(plot)
    plot.add(400, float("nan"))
    assert plot.points == [(0, 1.0), (100, 0.5), (200, 0.25), (300, 0.375)]
    assert plot.y_name == "validation error 0.375 · best 0.25"
    assert "0.25 at 200" in plot.accessibleDescription()
    plot.clear()
    assert plot.points == []
    assert "Waiting" in plot.message.text()


def test_a_response_is_drawn_by_the_chance_of_a_wrong_sign(qtbot):
    plot = signs()
    qtbot.addWidget(plot)
    assert plot.sure.tolist() == [True, False, False]
    assert plot.y_name == "−log10 chance of a wrong sign"
    np.testing.assert_allclose(plot.y, [2.0, -np.log10(0.5), 0.0])
    assert "chance of a wrong sign 0.01" in plot.words(0)
    assert "1 of 3 genes respond" in plot.accessibleDescription()
