"""What is left on the canvas when a user deletes layers, or closes the dock."""

from __future__ import annotations

import pytest
from drawing import draw_region
from qtpy.QtWidgets import QLabel
from shapely import MultiPolygon, box

from napari_gest.app.actions import CloseSections, OpenSections
from napari_gest.app.opened import Opened, open_sections
from napari_gest.canvas import layers
from napari_gest.canvas.boundaries import show_boundaries
from napari_gest.canvas.shapes import BOUNDARIES, CHECKED_DEPTH, META, role_of
from napari_gest.widgets.dock import OPEN_ALREADY, Home

pytestmark = pytest.mark.gui


def roles(viewer) -> set[str]:
    """Return the roles of the plugin's layers on the canvas."""
    return {role for role in map(role_of, viewer.layers) if role is not None}


def square(opened: Opened) -> MultiPolygon:
    """Return an area in the middle of a section."""
    x, y = opened.section.coords_um.mean(axis=0)
    return MultiPolygon([box(x - 50, y - 50, x + 50, y + 50)])


@pytest.fixture
def generated(opened_home, until) -> Home:
    """The dock with cells that were generated in a region."""
    draw_region(opened_home)
    opened_home.run_panel.start()
    until(lambda: list(opened_home.context.state.runs) and not opened_home.context.jobs.busy)
    return opened_home


def test_all_layers_selected_and_deleted(generated, viewer, qtbot, errors):
    context = generated.context
    before = context.scene.generated_layer("run-1")
    viewer.layers.selection = set(viewer.layers)
    viewer.layers.remove_selected()
    qtbot.waitUntil(lambda: not roles(viewer))
    assert list(context.state.sections) == []
    assert before not in viewer.layers
    assert errors == []


def test_a_section_and_its_generated_cells_deleted_together(generated, viewer, qtbot):
    context = generated.context
    both = {context.scene.active_layer, context.scene.generated_layer("run-1")}
    viewer.layers.selection = both
    viewer.layers.remove_selected()
    assert not both & set(viewer.layers)
    qtbot.waitUntil(lambda: not roles(viewer) & {layers.GENERATED, layers.OUTLINES})
    assert list(context.state.runs) == []


def test_a_dock_that_is_closed_during_a_run_leaves_nothing_of_it(opened_home, viewer, until):
    context = opened_home.context
    draw_region(opened_home)
    opened_home.run_panel.start()
    until(lambda: list(context.scene.generated()))
    cells = context.scene.active_layer
    assert (cells.face_color[:, 3] == 0).any()
    viewer.window.remove_dock_widget(opened_home)
    assert not roles(viewer) & {layers.GENERATED, layers.OUTLINES, CHECKED_DEPTH}
    assert (cells.face_color[:, 3] == 1).all()


def test_a_scene_removes_what_another_left_unfinished(opened_home, viewer, until):
    context = opened_home.context
    draw_region(opened_home)
    opened_home.run_panel.start()
    until(lambda: list(context.scene.generated()))
    layer = next(one for _, one in context.scene.generated())
    about = dict(layer.metadata[META])
    opened_home.detach()
    dead = viewer.add_points(layer.data, metadata={META: about})
    second = Home(viewer)
    assert dead not in viewer.layers
    second.detach()


def test_a_second_dock_says_that_there_is_one(opened_home, viewer, qtbot):
    context, first = opened_home.context, opened_home.parentWidget()
    first.hide()
    second = Home(viewer)
    dock = viewer.window.add_dock_widget(second, name="GeST again", area="right")
    assert [label.text() for label in second.findChildren(QLabel)] == [OPEN_ALREADY]
    assert first.isVisible()
    cells = context.scene.active_layer
    viewer.window.remove_dock_widget(dock)
    assert context.scene.active_layer is cells
    viewer.layers.remove(cells)
    assert context.state.sections == {}
    opened_home.detach()
    third = Home(viewer)
    assert third.context.session is context.session
    third.detach()


def test_rings_and_lines_leave_with_the_last_section(opened_home, viewer, qtbot):
    context = opened_home.context
    opened, area = context.opened, square(context.opened)
    context.scene.mark(opened.section.coords_um[:3])
    show_boundaries(context.scene, {opened.label: [area]}, ["n"], ["#ff0000"])
    assert roles(viewer) == {layers.CELLS, layers.EDITED_CELLS, BOUNDARIES}
    viewer.layers.remove(context.scene.active_layer)
    qtbot.waitUntil(lambda: not roles(viewer))


def test_lines_of_another_section_stay(home, viewer, tissue, qtbot):
    context = home.context
    context.do(OpenSections.of(open_sections(tissue), context.state))
    areas = {label: [square(one)] for label, one in context.state.sections.items()}
    drawn = show_boundaries(context.scene, areas, ["n"], ["#ff0000"])
    first, second = areas
    assert list(drawn.features[layers.SECTION]) == [first, second]
    context.do(CloseSections(labels=(first,)))
    assert list(drawn.features[layers.SECTION]) == [second]
    assert len(drawn.data) == 1
    context.do(CloseSections(labels=(second,)))
    assert drawn not in viewer.layers
