"""napari without its private parts, or with other ones: slower, but all of it works."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest
from napari.layers import Points

from napari_gest.canvas._napari_private import attributes, rasterized_points
from napari_gest.canvas._napari_private.compat import scale_bar
from napari_gest.canvas.layer_list import add_layer, remove_layer
from napari_gest.canvas.layers import OUTLINES, outlines_layer
from napari_gest.canvas.shapes import role_of

pytestmark = pytest.mark.gui

EVERYTHING = ("_qt_viewer", "events.colors", "_current", "font_manager")
CORNERS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
ADDED = (np.zeros((3, 2)), {"name": "added"}, "points")


@pytest.fixture(autouse=True)
def nothing_logged(monkeypatch) -> None:
    """Start each test as a new process would."""
    monkeypatch.setattr(attributes, "_logged", set())


@pytest.fixture
def without(monkeypatch) -> Callable[..., None]:
    """Take private parts away from what the plugin sees of napari."""

    def take(*gone: str) -> None:
        part = attributes.part

        def what_is_left(owner: object, path: str) -> object:
            if any(name in path for name in gone):
                raise AttributeError(path)
            return part(owner, path)

        monkeypatch.setattr(attributes, "part", what_is_left)

    return take


@pytest.fixture
def warned(caplog) -> Callable[[], list[str]]:
    """Returns what the plugin's log warned of."""
    caplog.set_level(logging.WARNING, "napari_gest")
    return lambda: [
        record.getMessage() for record in caplog.records if record.name == "napari_gest"
    ]


@pytest.fixture
def large(monkeypatch) -> None:
    """Take the tissue of the tests for a large one; OpenGL runs on the processor here."""
    monkeypatch.setattr(rasterized_points, "LARGE", 10)


@pytest.fixture
def on_canvas(viewer, qtbot) -> Callable[[], np.ndarray]:
    """Returns what the canvas shows, (h, w, 3)."""

    def view_state() -> np.ndarray:
        scale_bar(viewer).visible = False
        shape = None
        while True:  # the panels beside the canvas may still find their widths
            qtbot.wait(100)
            shown = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
            if shown.shape == shape:
                return shown
            shape = shown.shape

    return view_state


def sent_again(viewer, on_canvas) -> np.ndarray:
    """Return what the canvas shows once napari has sent all points to it."""
    for layer in viewer.layers:
        if isinstance(layer, Points):
            layer.symbol = layer.symbol
    return on_canvas()


def show_genes(home, on_canvas) -> None:
    """Colour by two genes and compare the canvas with the colours of the layers."""
    genes = home.context.scene.active.section.genes
    home.color_panel.show_gene(genes[3])
    before = on_canvas()
    home.color_panel.show_gene(genes[4])
    shown = on_canvas()
    assert np.abs(shown - before).max() > 30
    np.testing.assert_allclose(shown, sent_again(home.context.scene.viewer, on_canvas), atol=2)


def test_napari_has_all_parts(large, opened_home, viewer, warned, until):
    context = opened_home.context
    cells = context.scene.active_layer
    opened_home.color_panel.show_gene(context.scene.active.section.genes[3])
    layer = add_layer(viewer, ADDED)
    lines = add_layer(viewer, outlines_layer([CORNERS], ["generated: draw 1"], 2.0))
    until(lambda: lines in context.painter.drawing.halos.followed)  # it is made in later turns
    assert attributes.text_visual(viewer, lines, ()) is not None
    assert attributes.layer_makers(viewer) is not None
    assert attributes.layer_visual(viewer, cells) is not None
    assert attributes.colors_event(viewer, cells, "face") is not None
    assert attributes.colors_event(viewer, cells, "border") is not None
    assert attributes.scene_canvas(viewer) is not None
    assert attributes.letters_of(viewer) is not None
    remove_layer(viewer, layer)
    remove_layer(viewer, lines)
    assert lines not in context.painter.drawing.halos.followed
    assert warned() == []


def test_letters_are_there_before_a_text_is_drawn(home, viewer, until, monkeypatch, warned):
    letters = attributes.letters_of(viewer)
    made = []
    load = type(letters)._load_char
    monkeypatch.setattr(
        type(letters), "_load_char", lambda self, one: (made.append(one), load(self, one))
    )
    lines = add_layer(viewer, outlines_layer([CORNERS], ["generated: draw 1 ß"], 2.0))
    until(lambda: "ß" in made)
    assert lines in viewer.layers
    assert made == ["ß"]
    monkeypatch.setattr(letters, "_renderer", object())  # such as one of the graphics card
    assert attributes.letters_of(viewer) is None
    assert ["letters are made when they are first drawn" in line for line in warned()] == [True]


def test_a_caption_can_be_read_on_cells_of_many_colours(home, viewer, on_canvas, until):
    """A halo in the colour of the canvas, whichever that is, lies around the letters."""
    rng = np.random.default_rng(0)
    under = viewer.add_points(rng.random((9000, 2)) * 1000, size=30, border_width=0)
    under.face_color = np.column_stack([rng.random((9000, 3)) * 0.4 + 0.3, np.ones(9000)])
    lines = add_layer(viewer, outlines_layer([CORNERS * 500 + 250], ["MMMMMMMMMM"], 2.0))
    viewer.reset_view()
    until(lambda: lines in home.context.painter.drawing.halos.followed)
    for theme, dark in (("dark", True), ("light", False)):
        viewer.theme = theme
        until(lambda: attributes.text_visual(viewer, lines, ())[0].visible)
        lines.visible = True
        with_text = on_canvas()
        lines.visible = False
        changed = np.abs(on_canvas() - with_text).max(-1) > 60
        extreme = with_text.max(-1) < 40 if dark else with_text.min(-1) > 215
        assert (changed & extreme).sum() > 200


@pytest.mark.parametrize("pictured", [True, False])
def test_without_any_of_them_the_flow_is_the_same(
    pictured, request, without, home, viewer, until, tissue_file, on_canvas, warned
):
    if pictured:
        request.getfixturevalue("large")
    without(*EVERYTHING)
    home.open_panel.open([tissue_file])
    context = home.context
    until(lambda: context.scene.active is not None and not context.jobs.busy)
    cells = context.scene.active_layer
    assert not list(context.painter.drawing.rasterized.shown())
    show_genes(home, on_canvas)

    # Generate: the layer comes above that of the section, painted as it fills.
    coords = context.scene.active.section.coords_um
    centre, half = coords.mean(axis=0)[::-1], 0.2 * np.ptp(coords[:, 0])
    corners = centre + half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    region = context.scene.draw("pan_zoom")
    region.add([corners], shape_type="polygon")
    before = on_canvas()
    home.run_panel.start()
    until(lambda: home.run_panel.result.entry is not None and not context.jobs.busy)
    layer = context.scene.generated_layer(home.run_panel.result.entry.id)
    until(lambda: len(viewer.layers) == 4)
    outlines = viewer.layers[2]
    assert role_of(outlines) == OUTLINES
    assert list(viewer.layers) == [cells, layer, outlines, region]
    assert viewer.layers.selection.active is region
    shown = on_canvas()
    assert np.abs(shown - before).max() > 30
    np.testing.assert_allclose(shown, sent_again(viewer, on_canvas), atol=2)
    home.run_panel.result.discard()
    until(lambda: list(viewer.layers) == [cells, region])

    # The log has said once of each what happens instead.
    assert any("a new layer is shown in one go" in line for line in warned())
    assert any("colours are sent to the canvas twice" in line for line in warned())
    assert len(warned()) == len(set(warned())) < 8


@pytest.mark.parametrize("gone", ["layer_to_visual", "_scene_canvas", "markers.visible", "colors"])
def test_without_one_of_them_points_have_their_colours(
    gone, large, without, home, until, tissue_file, on_canvas, warned
):
    without(gone)
    home.open_panel.open([tissue_file])
    until(lambda: home.context.scene.active is not None and not home.context.jobs.busy)
    show_genes(home, on_canvas)
    assert warned()


def test_where_another_event_sends_colours_they_reach_the_canvas(
    opened_home, viewer, on_canvas, warned
):
    cells = opened_home.context.scene.active_layer
    cells._face.events.colors.disconnect()
    show_genes(opened_home, on_canvas)
    assert ["differs from napari 0.9" in line for line in warned()] == [True]


@pytest.mark.parametrize(
    ("gone", "chosen"),
    [("_qt_viewer", {"a"}), ("_on_add", {"a", "c"}), ("controls", set()), ("_current", {"a"})],
)
def test_a_new_layer_lies_where_it_was_put_and_is_not_selected(
    gone, chosen, without, viewer, warned
):
    layers = [viewer.add_points(np.zeros((3, 2)), name=name) for name in "abc"]
    viewer.layers.selection.clear()
    viewer.layers.selection.update(one for one in layers if one.name in chosen)
    active = viewer.layers.selection.active
    without(gone)
    added = add_layer(viewer, ADDED, 1)
    assert list(viewer.layers) == [layers[0], added, *layers[1:]]
    assert {one.name for one in viewer.layers.selection} == chosen
    assert viewer.layers.selection.active is active
    shown = viewer.window._qt_viewer
    assert added in shown.canvas.layer_to_visual
    assert added in shown.controls.widgets
    assert add_layer(viewer, ADDED) is viewer.layers[-1]
    remove_layer(viewer, added)
    assert added not in shown.canvas.layer_to_visual
    assert len(warned()) == len(set(warned())) >= 1


def test_where_napari_calls_something_else_a_new_layer_is_drawn_once(viewer, warned):
    shown, inserted = viewer.window._qt_viewer, viewer.layers.events.inserted
    made = []

    def make(event) -> None:
        made.append(event.value)
        shown._on_add_layer_change(event)

    inserted.disconnect(shown._on_add_layer_change)
    inserted.connect(make, position="first")
    try:
        added = add_layer(viewer, ADDED)
    finally:
        inserted.disconnect(make)  # it keeps the window alive
    assert made == [added]
    assert added in shown.canvas.layer_to_visual
    assert ["differs from napari 0.9" in line for line in warned()] == [True]
