"""Layers mirror the session, and what a user does to them by hand is an action. No Qt."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Layer, Points, Shapes

from napari_gest.app.actions import (
    Activate,
    AddRun,
    CloseSections,
    Discard,
    Keep,
    OpenSections,
    SetShapes,
    ShowRuns,
)
from napari_gest.app.opened import Snapshot, open_sections
from napari_gest.app.regions import Shape, drawn_region
from napari_gest.app.runs.base import RunEntry, why_stale
from napari_gest.app.runs.generated_cells import GeneratedCells
from napari_gest.app.runs.generation import GenerationOutcome, GenerationRun, unseen_cells
from napari_gest.canvas import layers
from napari_gest.canvas.scene import Scene
from napari_gest.canvas.shapes import META, ROLE, role_of, to_tissue

ONE, TWO = "section_1", "section_2"


def around(scene: Scene, label: str, share: float = 0.2, at: float = 0.5) -> np.ndarray:
    """Return the corners (4, 2) of a square on a section, world y x."""
    low, high = scene.cells()[label].extent.world
    centre, half = low + at * (high - low), share * (high - low)[1] / 2
    return centre + half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])


def draw(scene: Scene, label: str, *args: float, role: str = "unseen", name: str = "") -> Shapes:
    """Draw a square on a section, as napari's tools do."""
    layer = scene.draw("add_polygon", role, name)
    layer.add([around(scene, label, *args)], shape_type="polygon")
    return layer


def shapes_of(scene: Scene, role: str = "unseen") -> list[Shape]:
    return [shape for shape in scene.session.state.shapes if shape.role == role]


def add_run(scene: Scene, id: str, label: str = ONE, keep: bool = False) -> RunEntry:
    """Add a run that has generated the cells of what is drawn on a section."""
    scene.journal.do(Activate(label=label))
    state = scene.session.state
    unseen, shapes = unseen_cells(state)
    snapshot = Snapshot(label, state.opened.section)
    cells = GeneratedCells(snapshot, state.opened.section.genes, unseen)
    cells.filled[:] = True
    run = GenerationRun(snapshot, unseen, None, shapes=shapes)
    entry = RunEntry(id, run.title, run, _Outcome(run, None, None, cells))
    scene.journal.do(AddRun.of(entry))
    if keep:
        scene.journal.do(Keep(id=id))
    return entry


class _Outcome(GenerationOutcome):
    """Cells that nobody generated; to keep them writes nothing."""

    def results(self, state) -> list:
        return []


def names(scene: Scene) -> list[str]:
    return [layer.name for layer in scene.viewer.layers]


# What is drawn.


def test_a_rectangle_is_read_as_x_y(scene):
    layer = scene.draw("add_rectangle")
    low = scene.cells()[ONE].extent.world[0]
    box = low + np.array([[0, 0], [0, 30], [10, 30], [10, 0]])  # 10 high, 30 wide
    layer.add([box], shape_type="rectangle")
    (shape,) = shapes_of(scene)
    assert shape.kind == "rectangle"
    assert np.ptp(np.array(shape.corners), axis=0).tolist() == pytest.approx([30, 10])


def test_lines_have_no_area_and_are_left_out(scene):
    layer = draw(scene, ONE)
    layer.add([around(scene, ONE)[:2]], shape_type="line")
    layer.add([around(scene, ONE)], shape_type="path")
    assert len(layer.data) == 3
    assert len(shapes_of(scene)) == 1


def test_a_region_belongs_to_the_section_it_is_drawn_on_which_is_then_in_use(scene):
    draw(scene, TWO)
    assert scene.active.label == TWO
    draw(scene, ONE, 0.1)
    assert scene.active.label == ONE
    assert [s.section for s in shapes_of(scene)] == [TWO, ONE]
    # Each in um of its own section.
    for shape in shapes_of(scene):
        coords = scene.session.state.sections[shape.section].section.coords_um
        middle = (coords.min(axis=0) + coords.max(axis=0)) / 2
        np.testing.assert_allclose(np.mean(shape.corners, axis=0), middle, atol=1e-3)
    assert unseen_cells(scene.session.state)[0].sum() > 0


def test_transforms_of_both_layers_are_respected(scene):
    cells = scene.cells()[ONE]
    layer = scene.draw("add_polygon")
    layer.scale, layer.translate, layer.rotate = (2.0, 0.5), (30.0, -7.0), 25.0
    corners = np.percentile(cells.data, [30, 60], axis=0)
    (y0, x0), (y1, x1) = corners
    square = [(y0, x0), (y0, x1), (y1, x1), (y1, x0)]
    drawn = [layer.world_to_data(cells.data_to_world(corner)) for corner in square]
    layer.add([np.array(drawn)], shape_type="polygon")
    y, x = cells.data.T
    expected = (y > y0) & (y < y1) & (x > x0) & (x < x1)
    np.testing.assert_array_equal(
        drawn_region(shapes_of(scene)).contains(to_tissue(cells.data)), expected
    )


def test_a_named_region_has_the_name_that_is_set(scene):
    draw(scene, ONE, role="named", name="tumour")
    draw(scene, TWO, role="named", name="stroma")
    assert [(s.name, s.section) for s in shapes_of(scene, "named")] == [
        ("tumour", ONE), ("stroma", TWO),
    ]  # fmt: skip
    layer = scene.regions.layer("named")
    assert not np.allclose(layer.edge_color[0], layer.edge_color[1])
    layer.mode = "select"
    layer.selected_data = {0}
    scene.regions.set_name("margin")
    assert [s.name for s in shapes_of(scene, "named")] == ["margin", "stroma"]
    scene.journal.undo()
    assert [s.name for s in shapes_of(scene, "named")] == ["tumour", "stroma"]
    assert list(layer.features["name"]) == ["tumour", "stroma"]


def test_names_of_regions_can_be_read_in_both_themes(scene):
    layer = scene.draw("add_rectangle", "named", "cortex")
    for theme, light in (("light", True), ("dark", False)):
        scene.viewer.theme = theme
        brightness = float(np.mean(layer.text.color.constant[:3]))
        assert (brightness < 0.25) if light else (brightness > 0.75)
    scene.detach()
    scene.viewer.theme = "light"
    assert float(np.mean(layer.text.color.constant[:3])) > 0.75


# What is changed by hand.


def test_a_shape_that_is_moved_comes_back(scene):
    layer = draw(scene, ONE)
    before = shapes_of(scene)
    layer.data = [layer.data[0] + 25.0]
    (moved,) = shapes_of(scene)
    np.testing.assert_allclose(np.array(moved.corners) - np.array(before[0].corners), 25, atol=1e-3)
    scene.journal.undo()
    assert shapes_of(scene) == before
    np.testing.assert_allclose(layer.data[0], around(scene, ONE), atol=1e-3)
    scene.journal.redo()
    assert shapes_of(scene) == [moved]


def test_a_shape_that_is_moved_onto_another_section_belongs_to_it(scene):
    layer = draw(scene, ONE)
    layer.data = [around(scene, TWO)]
    assert [s.section for s in shapes_of(scene)] == [TWO]
    assert scene.active.label == TWO


def test_a_shape_that_is_deleted_can_come_back(scene):
    layer = draw(scene, ONE)
    draw(scene, TWO)
    before = shapes_of(scene)
    scene.journal.do(Activate(label=ONE))
    layer.selected_data = {0}
    layer.remove_selected()
    # The other is the same as it was, to the last digit, and nothing was drawn on its section.
    assert shapes_of(scene) == [before[1]]
    assert shapes_of(scene)[0].corners == before[1].corners
    assert scene.active.label == ONE
    scene.journal.undo()
    assert shapes_of(scene) == before
    assert len(layer.data) == 2


def test_a_run_is_not_stale_when_a_shape_on_another_section_goes(scene):
    draw(scene, TWO)
    layer = draw(scene, ONE)
    entry = add_run(scene, "run-1", TWO)
    layer.selected_data = {1}
    layer.remove_selected()
    assert why_stale(entry, scene.session.state) is None


def test_the_region_layer_that_is_deleted_can_come_back(scene):
    layer = draw(scene, ONE)
    draw(scene, TWO)
    before = shapes_of(scene)
    scene.viewer.layers.remove(layer)
    assert shapes_of(scene) == []
    assert scene.journal.undoes == "region"
    scene.journal.undo()
    assert shapes_of(scene) == before
    assert len(scene.regions.layer("unseen").data) == 2
    scene.journal.redo()
    assert shapes_of(scene) == []
    assert len(scene.regions.layer("unseen").data) == 0


def test_generated_cells_that_are_deleted_are_discarded_and_can_come_back(scene):
    draw(scene, ONE)
    entry = add_run(scene, "run-1", keep=True)
    layer = scene.generated_layer("run-1")
    scene.viewer.layers.remove(layer)
    state = scene.session.state
    assert state.entry("run-1").discarded
    assert state.kept == ()
    scene.journal.undo()
    assert not scene.session.state.entry("run-1").discarded
    assert scene.session.state.kept == ("run-1",)
    again = scene.generated_layer("run-1")
    assert len(again.data) == len(entry.outcome.cells.cells)


def test_layers_that_were_removed_hold_no_tissue(scene):
    """Only the garbage collector frees them, and it may not run for a long time."""
    draw(scene, ONE)
    add_run(scene, "run-1", ONE)
    by_hand, mirrored = scene.generated_layer("run-1"), scene.cells()[ONE]
    scene.viewer.layers.remove(by_hand)
    scene.journal.do(CloseSections(labels=(ONE,)))
    assert by_hand.metadata[META] == {ROLE: layers.GENERATED}
    assert mirrored.metadata[META] == {ROLE: layers.CELLS}


def test_a_section_whose_layer_is_deleted_is_closed(scene):
    draw(scene, ONE)
    draw(scene, TWO)
    add_run(scene, "run-1", ONE)
    add_run(scene, "run-2", TWO)
    scene.viewer.layers.remove(scene.cells()[ONE])
    state = scene.session.state
    assert list(state.sections) == [TWO]
    assert [s.section for s in state.shapes] == [TWO]
    assert [e.id for e in state.runs] == ["run-2"]
    assert scene.generated_layer("run-1") is None
    assert len(scene.regions.layer("unseen").data) == 1
    assert scene.active.label == TWO
    assert scene.session.state.shapes[0].section == TWO


def test_layers_that_are_renamed_are_found_all_the_same(scene):
    region = draw(scene, ONE)
    add_run(scene, "run-1")
    for layer in list(scene.viewer.layers):
        layer.name = f"my {layer.name}"
    assert scene.active_layer is scene.cells()[ONE]
    assert scene.regions.layer("unseen") is region
    scene.journal.do(Discard(id="run-1"))
    assert scene.generated_layer("run-1") is None
    scene.journal.do(CloseSections(labels=(ONE,)))
    assert names(scene) == [f"my {TWO}", f"my {region.name.removeprefix('my ')}"]


def test_the_selected_section_is_in_use(scene):
    scene.viewer.layers.selection.active = scene.cells()[TWO]
    assert scene.active.label == TWO
    scene.journal.do(Activate(label=ONE))
    assert scene.viewer.layers.selection.active is scene.cells()[ONE]
    region = draw(scene, ONE)
    scene.journal.do(Activate(label=TWO))
    assert scene.viewer.layers.selection.active is region  # a tool in use stays in use


# What the session changes.


def test_shapes_that_an_action_sets_are_drawn_on_their_sections(scene):
    draw(scene, ONE)
    (shape,) = shapes_of(scene)
    other = replace_section(shape, TWO)
    scene.journal.do(SetShapes(role="unseen", shapes=(shape, other)))
    layer = scene.regions.layer("unseen")
    shift = scene.cells()[TWO].translate - scene.cells()[ONE].translate
    np.testing.assert_allclose(layer.data[1] - layer.data[0], np.tile(shift, (4, 1)), atol=1e-3)
    assert shapes_of(scene) == [shape, other]  # what was drawn was not read as if by hand
    scene.journal.do(CloseSections(labels=(ONE,)))
    assert len(layer.data) == 1
    scene.journal.do(SetShapes(role="unseen", shapes=()))
    assert len(layer.data) == 0


def replace_section(shape: Shape, section: str) -> Shape:
    return shape.model_copy(update={"section": section})


def test_undo_redraws_step_by_step(scene):
    layer = None
    for share in (0.1, 0.2, 0.3):
        layer = draw(scene, ONE, share)
    drawn = [np.array(data) for data in layer.data]
    for left in (2, 1, 0):
        scene.journal.undo()
        assert len(layer.data) == left
    for there in (1, 2, 3):
        scene.journal.redo()
        assert len(layer.data) == there
    for old, new in zip(drawn, layer.data, strict=True):
        np.testing.assert_allclose(old, new, atol=1e-3)
    assert scene.journal.undoes == "region"
    assert scene.journal.redoes is None


def test_what_is_kept_or_looked_at_is_on_the_canvas(scene):
    draw(scene, ONE)
    for id in ("run-1", "run-2"):
        add_run(scene, id)
    ids = lambda: {layer.metadata["gest"][layers.RUN] for _, layer in scene.generated()}  # noqa: E731
    assert ids() == {"run-2"}
    scene.journal.do(ShowRuns(kind="generation", ids=("run-1",)))
    assert ids() == {"run-1"}
    scene.journal.do(Keep(id="run-2"))
    assert ids() == {"run-1", "run-2"}
    scene.journal.undo()
    assert ids() == {"run-1"}


def test_generated_cells_lie_above_their_section_and_beneath_outlines(scene):
    region = draw(scene, ONE)
    add_run(scene, "run-1")
    cells, generated = scene.cells(), scene.generated_layer("run-1")
    order = list(scene.viewer.layers)
    assert order.index(cells[ONE]) < order.index(generated) < order.index(region)
    np.testing.assert_array_equal(generated.translate, cells[ONE].translate)


def test_cells_of_a_run_that_goes_on_stay_until_it_ends(scene):
    draw(scene, ONE)
    entry = add_run(scene, "run-1")
    waiting = GeneratedCells(entry.run.snapshot, ("g",), entry.run.unseen)
    scene.add_generated("run-2", waiting)
    scene.journal.do(Keep(id="run-1"))
    assert scene.generated_layer("run-2") is not None
    scene.journal.do(CloseSections(labels=(ONE,)))
    assert scene.generated_layer("run-2") is None
    assert scene.add_generated("run-3", waiting) is None


# What was there before, and what others add.


def test_layers_that_others_add_are_taken_into_the_session(empty_scene, tissue):
    scene = empty_scene
    for data in layers.side_by_side(open_sections(tissue)):
        scene.viewer.add_layer(Layer.create(*data))
    assert list(scene.session.state.sections) == [ONE, TWO]
    again = Layer.create(*layers.section_layer(open_sections(tissue)[0]))
    scene.viewer.add_layer(again)
    assert again.name == f"{ONE} (2)"
    assert again.extent.world[0, 1] > scene.cells()[TWO].extent.world[1, 1]
    plain = scene.viewer.add_layer(Points(np.zeros((3, 2))))
    assert role_of(plain) is None
    scene.viewer.layers.remove(plain)
    assert len(scene.session.state.sections) == 3


def test_another_scene_finds_what_is_there(scene):
    draw(scene, ONE)
    add_run(scene, "run-1")
    before, layers_before = scene.session.state, list(scene.viewer.layers)
    scene.detach()
    other = Scene(scene.viewer, scene.journal, scene._registry)
    assert scene.session.state is before
    assert list(scene.viewer.layers) == layers_before
    scene.regions.layer("unseen").add([around(scene, TWO)], shape_type="polygon")
    assert [s.section for s in shapes_of(other)] == [ONE, TWO]
    assert scene.journal.undo()
    assert len(other.regions.layer("unseen").data) == 1
    other.detach()


def test_a_scene_that_was_detached_follows_nothing(scene):
    layer = draw(scene, ONE)
    before = scene.session.state
    scene.detach()
    layer.add([around(scene, TWO)], shape_type="polygon")
    scene.viewer.layers.remove(scene.cells()[TWO])
    assert scene.session.state is before
    scene.journal.do(CloseSections(labels=(ONE,)))
    assert ONE in names(scene)


def test_sections_that_are_opened_again_lie_beside(scene, tissue):
    scene.journal.do(OpenSections.of(open_sections(tissue), scene.session.state))
    spans = sorted(tuple(layer.extent.world[:, 1]) for layer in scene.cells().values())
    assert len(spans) == 4
    for (_, end), (start, _) in itertools.pairwise(spans):
        assert start > end


def test_rings_mark_cells_of_the_section_in_use(scene):
    assert scene.mark(np.empty((0, 2))) is None
    coords = scene.active.section.coords_um[:3]
    rings = scene.mark(coords)
    np.testing.assert_allclose(to_tissue(np.asarray(rings.data)), coords)
    scene.journal.do(Activate(label=TWO))
    assert scene.mark(coords) is rings
    np.testing.assert_array_equal(rings.translate, scene.active_layer.translate)
    assert scene.marked() is rings
    assert len(scene.mark(np.empty((0, 2))).data) == 0


def test_what_replaces_a_section_of_the_same_name_is_shown(scene, tissue):
    section = scene.session.state.sections[ONE]
    other = replace(section, section=open_sections(tissue)[0].section)
    scene.journal.do(CloseSections(labels=(ONE,)))
    scene.journal.do(OpenSections.of([other], scene.session.state))
    assert scene.cells()[ONE].metadata["gest"][layers.OPENED] is other
