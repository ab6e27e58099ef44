"""How the canvas draws sections: pictures of large ones in software, no empty parts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from napari_gest.canvas._napari_private import rasterized_points
from napari_gest.canvas._napari_private.compat import camera, scale_bar
from napari_gest.canvas._napari_private.partial_redraw import PartialRedraw
from napari_gest.widgets.dock import Home

pytestmark = pytest.mark.gui


@pytest.fixture
def in_software(monkeypatch) -> None:
    """Take the tissue of the tests for a large one, drawn in software."""
    monkeypatch.setattr(rasterized_points, "LARGE", 10)
    monkeypatch.setattr(rasterized_points, "draws_in_software", lambda viewer: True)


@pytest.fixture
def far(viewer) -> Callable[[], None]:
    """Looks from so far that a cell is some pixels wide."""

    def view_state() -> None:
        viewer.reset_view()
        camera(viewer).zoom *= 0.15

    return view_state


@pytest.fixture
def seen(viewer, qtbot) -> Callable[[], np.ndarray]:
    """Returns the canvas less its ground, (h, w, 3), blurred over 10 pixels."""

    def view_state() -> np.ndarray:
        scale_bar(viewer).visible = False
        qtbot.wait(100)
        picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(float)
        part = (picture - picture[0, 0])[: len(picture) // 10 * 10]
        part = part[:, : part.shape[1] // 10 * 10]
        return part.reshape(part.shape[0] // 10, 10, -1, 10, 3).mean(axis=(1, 3))

    return view_state


def _pictured(home: Home) -> bool:
    return home.context.scene.active_layer in home.context.painter.drawing.rasterized.shown()


@pytest.mark.parametrize("closer", [1, 7, 40])
def test_a_large_section_is_a_picture_of_its_points(
    in_software, opened_home, viewer, far, seen, closer, monkeypatch
):
    cells = opened_home.context.scene.active_layer
    monkeypatch.setattr(rasterized_points, "_MOST_PIXELS", 800)  # so that close up it is of a part
    far()
    camera(viewer).zoom *= closer
    camera(viewer).center = (0, *cells.data[17])  # and moved
    assert _pictured(opened_home)
    picture = seen()
    assert np.abs(picture).max() > 10
    # However close, the picture is not much larger than the canvas.
    rasterized = opened_home.context.painter.drawing.rasterized
    canvas = viewer.window._qt_viewer.canvas._scene_canvas.size
    assert max(rasterized._of[cells]._image.size) <= max(810, 2.7 * max(canvas))
    rasterized.detach()
    points = seen()
    # The same cells in the same places and colours.
    assert np.corrcoef(picture.ravel(), points.ravel())[0, 1] > 0.97
    assert cells.visible
    assert len(viewer.layers) == 1


def test_colours_reach_the_picture_and_later_the_points(in_software, opened_home, far, seen):
    home = opened_home
    far()
    before = seen()
    home.color_panel.show_gene(home.context.scene.active.section.genes[3])
    picture = seen()
    assert np.abs(picture - before).max() > 10
    home.context.painter.drawing.rasterized.detach()
    assert np.corrcoef(picture.ravel(), seen().ravel())[0, 1] > 0.97


def test_what_naparis_own_controls_change_is_drawn(in_software, opened_home, far, seen):
    cells = opened_home.context.scene.active_layer
    far()
    cells.face_color = "red"
    red = seen()
    assert red[..., 0].max() > 10 + red[..., 1].max()
    cells.opacity = 0.2
    assert seen()[..., 0].max() < 0.5 * red[..., 0].max()
    cells.opacity = 1.0
    cells.visible = False
    assert np.abs(seen()).max() < 10
    cells.visible = True
    cells.shown = False
    assert np.abs(seen()).max() < 10
    cells.shown = True
    np.testing.assert_allclose(seen(), red, atol=3)


def test_marked_and_turned_points_are_points(in_software, opened_home, viewer, far):
    cells = opened_home.context.scene.active_layer
    far()
    assert _pictured(opened_home)
    cells.selected_data = {1, 2}
    assert not _pictured(opened_home)
    cells.selected_data = set()
    assert _pictured(opened_home)
    cells.mode = "select"
    assert not _pictured(opened_home)
    cells.mode = "pan_zoom"
    viewer.dims.order = (1, 0)
    assert not _pictured(opened_home)
    viewer.dims.order = (0, 1)
    viewer.dims.ndisplay = 3
    assert not _pictured(opened_home)
    viewer.dims.ndisplay = 2
    far()
    assert _pictured(opened_home)


def test_a_section_that_is_removed_takes_its_picture_along(
    in_software, opened_home, viewer, far, seen
):
    far()
    assert _pictured(opened_home)
    viewer.layers.clear()
    assert np.abs(seen()).max() < 10
    assert not list(opened_home.context.painter.drawing.rasterized.shown())


def test_a_closed_dock_leaves_points_but_not_those_that_another_draws(
    in_software, opened_home, viewer, far, seen
):
    cells = opened_home.context.scene.active_layer
    far()
    other = PartialRedraw.of(viewer)
    rasterized = other.rasterized
    assert rasterized is opened_home.context.painter.drawing.rasterized
    opened_home.color_panel.show_gene(opened_home.context.scene.active.section.genes[3])
    opened_home.detach()
    assert list(rasterized.shown()) == [cells]
    picture = seen()
    other.release()
    assert not list(rasterized.shown())
    # Without a dock, napari draws the points in the colours they were given.
    assert np.corrcoef(picture.ravel(), seen().ravel())[0, 1] > 0.97


def test_a_picture_follows_the_size_of_points(in_software, opened_home, far, seen):
    cells = opened_home.context.scene.active_layer
    far()
    before = np.abs(seen()).sum()
    cells.size = 0.5 * np.asarray(cells.size)
    assert np.abs(seen()).sum() < 0.8 * before


def test_a_larger_canvas_shows_more_of_a_picture(
    in_software, opened_home, viewer, far, seen, monkeypatch
):
    monkeypatch.setattr(
        rasterized_points, "_MOST_PIXELS", 10
    )  # a part, however small the tissue is
    monkeypatch.setattr(rasterized_points, "_AROUND", 0.0)
    viewer.window.resize(800, 500)
    far()
    camera(viewer).zoom *= 6
    narrow = seen()
    viewer.window.resize(1200, 1000)
    wide = seen()
    assert wide.size > narrow.size
    camera(viewer).zoom *= 1.001  # whatever was missing would be there now
    np.testing.assert_allclose(seen().mean(), wide.mean(), rtol=0.1)


def test_empty_parts_of_points_are_not_drawn(opened_home, viewer):
    cells = opened_home.context.scene.active_layer
    node = viewer.window._qt_viewer.canvas.layer_to_visual[cells].node

    def drawn() -> tuple[bool, bool, bool]:
        return node.selection_markers.visible, node.highlight_lines.visible, node.text.visible

    assert drawn() == (False, False, False)
    cells.selected_data = {1}
    assert drawn() == (True, True, False)
    cells.selected_data = set()
    assert drawn() == (False, False, False)
    cells.mode = "select"
    assert drawn() == (True, True, False)
    cells.mode = "pan_zoom"
    cells.text.string = "cell"
    assert drawn() == (False, False, True)
    opened_home.detach()
    assert drawn() == (True, True, True)


def test_a_graphics_card_needs_no_picture(monkeypatch, opened_home, far):
    monkeypatch.setattr(rasterized_points, "LARGE", 10)
    monkeypatch.setattr(rasterized_points, "draws_in_software", lambda viewer: False)
    far()
    assert not _pictured(opened_home)
