"""What the canvas says of generated cells: layer, outline, names under the mouse. No Qt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_gest.app.actions import (
    AddRun,
    ChangeView,
    CloseSections,
    Discard,
    SetShapes,
    ShowDraw,
)
from napari_gest.app.model_registry import ModelRegistry
from napari_gest.app.opened import Snapshot
from napari_gest.app.regions import Shape
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.generated_cells import GeneratedCells
from napari_gest.app.runs.generation import GenerationRun, unseen_cells
from napari_gest.canvas import layers, line_layer
from napari_gest.canvas.painter import Painter
from napari_gest.canvas.scene import Scene
from napari_gest.canvas.shapes import role_of
from napari_gest.tasks.generation.generated import Draw, Generated

ONE = "section_1"


@pytest.fixture
def painter(scene: Scene, monkeypatch) -> Painter:
    monkeypatch.setattr(line_layer, "call_later", lambda step: step())  # no window, no turns
    made = Painter(scene, ModelRegistry())
    yield made
    made.detach()


def result_of(snapshot: Snapshot, unseen: np.ndarray, **more) -> Generated:
    """Return cells that nobody generated: each is a copy of the first known ones."""
    section, rng = snapshot.section, np.random.default_rng(0)
    index, known = np.flatnonzero(unseen), np.flatnonzero(~unseen)
    n, shape = len(index), (len(index), len(section.genes))
    made = Generated(
        section,
        section.rows[index],
        index,
        section.coords_um[index],
        rng.random(shape, np.float32),
        rng.random(shape, np.float32),
        rng.random(n, np.float32),
        np.zeros(n, np.int32),
        np.zeros(n, np.float32),
        section.genes,
        {"mode": "sample", "draw": 1, "draws": 1},
        donor=known[:n],
        expected=rng.random(shape, np.float32),
        candidates=np.stack([known[:n], known[:n], known[1 : n + 1], known[2 : n + 2]], axis=1),
    )
    return replace(made, **more)


def add_run(scene: Scene, right_um: float = 0.0, **more) -> RunEntry:
    """Add a run that has generated the cells of a square."""
    section = scene.session.state.sections[ONE].section
    x, y = section.coords_um.mean(0) + np.array([right_um, 0.0])
    corners = [(x + 60 * i, y + 60 * j) for i, j in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
    drawn = Shape(role="unseen", section=ONE, kind="polygon", corners=corners)
    scene.journal.do(SetShapes(role="unseen", shapes=(drawn,)))
    unseen, shapes = unseen_cells(scene.session.state)
    snapshot = Snapshot(ONE, section)
    run = GenerationRun(snapshot, unseen, None, shapes=shapes)
    outcome = run.outcome(result_of(snapshot, unseen, **more))
    scene.journal.do(AddRun.of(RunEntry("run-1", run.title, run, outcome)))
    gene = section.genes[0]
    scene.journal.do(ChangeView.of(gene=gene, view="generated"))
    return scene.session.state.entry("run-1")


def outline(scene: Scene):
    found = [one for one in scene.viewer.layers if role_of(one) == layers.OUTLINES]
    assert len(found) < 2
    return found[0] if found else None


def look(scene: Scene, **changes) -> None:
    scene.journal.do(ChangeView.of(**changes))


def test_generated_cells_look_like_measured_ones(scene, painter):
    add_run(scene)
    layer, cells = scene.generated_layer("run-1"), scene.cells()[ONE]
    assert layer.size[0] == np.median(cells.size)
    assert (layer.border_width == 0).all()
    assert layer.canvas_size_limits == cells.canvas_size_limits
    assert layer.antialiasing == cells.antialiasing
    made, scale = painter.cells_of(layer), painter.legend.colors
    np.testing.assert_allclose(layer.face_color, scale.rgba(made.expression[:, 0]))
    look(scene, view="expected")
    assert painter.legend.colors == scale  # one scale for measured, typical and expected
    np.testing.assert_allclose(layer.face_color, scale.rgba(made.expected[:, 0]))


def test_layer_legend_and_outline_say_what_is_seen(scene, painter):
    add_run(scene)
    entry = scene.session.state.entry("run-1")
    layer, lines = scene.generated_layer("run-1"), outline(scene)
    assert layer.name == f"generated · typical · {ONE}"
    assert painter.told == "Outlined · generated: draw 1"
    assert list(lines.features["caption"]) == ["generated: draw 1"]
    corners = np.array(entry.run.shapes[0].outline)[:, ::-1]
    np.testing.assert_allclose(lines.data[0][:4], corners)
    look(scene, view="expected")
    assert layer.name == f"generated · expected · {ONE}"
    assert list(lines.features["caption"]) == ["generated: expected"]
    result = entry.outcome.result
    second = Draw(result.expression + 1, result.meta_cell, result.donor)
    look(scene, view="generated")
    scene.journal.do(ShowDraw(id="run-1", draw=2, added=(second,)))
    assert layer.name == f"generated · typical (draw 2 of 2) · {ONE}"
    assert list(outline(scene).features["caption"]) == ["generated: draw 2"]
    look(scene, view="measured")
    assert list(outline(scene).features["caption"]) == [""]
    assert painter.told == ""
    assert outline(scene) is lines  # nothing was drawn anew


@pytest.mark.parametrize(("right_um", "side"), [(-60.0, "left"), (60.0, "right")])
def test_a_caption_goes_on_towards_the_middle_of_the_tissue(scene, painter, right_um, side):
    others = [label for label in scene.session.state.sections if label != ONE]
    scene.journal.do(CloseSections(labels=tuple(others)))
    add_run(scene, right_um)
    assert outline(scene).text.anchor == f"upper_{side}"


def test_the_outline_can_be_hidden_and_goes_with_the_run(scene, painter):
    add_run(scene)
    outline(scene).visible = False
    look(scene, view="expected")
    assert not outline(scene).visible
    scene.viewer.layers.remove(outline(scene))
    look(scene, view="generated")
    assert outline(scene) is None  # a user does not want it
    scene.journal.do(Discard(id="run-1"))
    scene.journal.undo()
    assert outline(scene) is not None
    scene.journal.do(Discard(id="run-1"))
    assert outline(scene) is None
    assert not [one for one in scene.viewer.layers if role_of(one) == layers.GENERATED]


def test_the_outline_is_no_region(scene, painter):
    add_run(scene)
    before = scene.session.state.shapes
    outline(scene).data = [np.array([[0.0, 0.0], [0.0, 5.0], [5.0, 5.0]])]
    assert scene.session.state.shapes == before
    again = Scene(scene.viewer, scene.journal, ModelRegistry())
    assert scene.session.state.shapes == before
    again.detach()


def test_cells_of_a_column_are_outlined_too(scene, painter):
    section = scene.session.state.sections[ONE].section
    unseen = np.linalg.norm(section.coords_um - section.coords_um.mean(0), axis=1) < 60
    run = GenerationRun(Snapshot(ONE, section), unseen, None, mask_key="hole")
    outcome = run.outcome(result_of(run.snapshot, unseen))
    scene.journal.do(AddRun.of(RunEntry("run-1", run.title, run, outcome)))
    look(scene, view="generated")
    assert outline(scene) is not None
    captions = list(outline(scene).features["caption"])
    assert captions.count("generated: draw 1") == 1


def test_other_cells_are_shown_while_draws_are_played(scene, painter):
    entry = add_run(scene)
    layer, before = scene.generated_layer("run-1"), scene.session.state
    result = replace(entry.outcome.result, expression=entry.outcome.result.expression * 0)
    made = GeneratedCells.showing(entry.run.snapshot, result, 3, 5)
    plain = layer.face_color.copy()
    painter.play("run-1", made)
    assert not np.allclose(layer.face_color, plain)
    assert list(outline(scene).features["caption"]) == ["generated: draw 3"]
    assert scene.session.state is before
    painter.play("run-1", None)
    np.testing.assert_allclose(layer.face_color, plain)
    painter.play("run-1", made)
    look(scene, hidden=frozenset({"x"}))  # whatever changes in the session ends it
    np.testing.assert_allclose(layer.face_color, plain)


def test_cells_have_the_names_of_their_donors(scene, painter):
    entry = add_run(scene)
    look(scene, column="cell_type", view="generated")
    layer, opened = scene.generated_layer("run-1"), scene.session.state.sections[ONE]
    names = opened.obs_values("cell_type").astype(str).to_numpy()
    colors = painter.legend.colors
    for cell, donor in enumerate(entry.outcome.result.donor):
        code = colors.names.index(names[donor])
        np.testing.assert_allclose(layer.face_color[cell], colors.colors[code])


def test_the_status_bar_names_the_cell_under_the_mouse(scene, painter):
    entry = add_run(scene)
    look(scene, column="cell_type", view="generated")
    opened, result = scene.session.state.sections[ONE], entry.outcome.result
    names = opened.obs_values("cell_type").astype(str).to_numpy()
    at = result.coords_um[4, ::-1]
    share = (names[result.candidates[4]] == names[result.donor[4]]).mean()
    told = f"cell_type: {names[result.donor[4]]} ({share:.2f})"
    assert painter.hover.text_at(at) == told
    assert painter.hover.text_at(at + 1e5) == ""
    for layer in scene.viewer.layers:
        if role_of(layer) in (layers.CELLS, layers.GENERATED, "unseen"):
            status = layer.get_status(at, view_direction=None, dims_displayed=[0, 1], world=True)
            assert (told in status["coordinates"]) == bool(told)
    gene = opened.section.genes[2]
    look(scene, gene=gene, view="expected")
    assert painter.hover.text_at(at) == f"{gene}: {result.expected[4, 2]:.2f}"
    look(scene, view="uncertainty")
    assert painter.hover.text_at(at) == f"{gene} (sd): {result.sd[4, 2]:.2f}"
    look(scene, view="measured")
    cell = result.index[4]
    told = f"{gene}: {opened.gene_values(gene, painter.normalization.target_sum)[cell]:.2f}"
    assert painter.hover.text_at(at) == told
    look(scene, column="cell_type")
    assert painter.hover.text_at(at) == f"cell_type: {names[cell]}"
    painter.hover.detach()
    assert "get_status" not in vars(scene.cells()[ONE])
    painter.hover = type(painter.hover)(painter)


def test_measured_cells_are_hidden_where_generated_ones_are_seen(scene, painter):
    """Their smoothed edges would show around the cells above."""
    entry = add_run(scene)
    cells = scene.cells()[ONE]
    covered = np.zeros(len(cells.data), bool)
    covered[entry.outcome.result.index] = True
    for view in ("generated", "expected", "uncertainty", "difference"):
        scene.journal.do(ChangeView.of(view=view))
        np.testing.assert_array_equal(cells.face_color[:, 3] == 0, covered, err_msg=view)
    scene.journal.do(ChangeView.of(view="measured"))
    assert (cells.face_color[:, 3] == 1).all()
    scene.journal.do(ChangeView.of(view="generated"))
    scene.journal.do(Discard(id="run-1"))
    assert (cells.face_color[:, 3] == 1).all()


def test_measured_cells_are_hidden_as_soon_as_a_run_begins(scene, painter):
    unseen, _ = unseen_cells(add_run(scene) and scene.session.state)
    scene.journal.do(Discard(id="run-1"))
    scene.journal.do(ChangeView.of(view="generated"))
    section = scene.session.state.sections[ONE].section
    waiting = GeneratedCells(Snapshot(ONE, section), section.genes, unseen)
    scene.add_generated("run-2", waiting, None)
    painter.begin(ONE)
    np.testing.assert_array_equal(scene.cells()[ONE].face_color[:, 3] == 0, unseen)


def test_what_tells_the_status_does_not_hold_its_layer(scene, painter):
    add_run(scene)
    for layer in (scene.generated_layer("run-1"), scene.cells()[ONE]):
        held = [cell.cell_contents for cell in layer.get_status.__closure__]
        assert not any(one is layer for one in held)


def test_generated_cells_that_a_user_hides_stay_hidden_and_leave_no_hole(scene, painter):
    entry = add_run(scene)
    layer, cells = scene.generated_layer("run-1"), scene.cells()[ONE]
    beneath = entry.outcome.cells.cells
    assert (cells.face_color[beneath, 3] == 0).all()
    layer.visible = False
    assert (cells.face_color[beneath, 3] == 1).all()
    look(scene, view="expected")
    assert not layer.visible
    assert (cells.face_color[beneath, 3] == 1).all()
    look(scene, view="measured")
    look(scene, view="generated")
    assert not layer.visible
    layer.visible = True
    assert (cells.face_color[beneath, 3] == 0).all()
    look(scene, view="measured")
    assert not layer.visible  # no user has hidden it
    look(scene, view="generated")
    assert layer.visible


def test_generated_cells_that_are_shown_again_have_the_colours_of_the_view(scene, painter):
    add_run(scene)
    layer = scene.generated_layer("run-1")
    before = layer.face_color.copy()
    layer.visible = False
    look(scene, view="expected")
    np.testing.assert_array_equal(layer.face_color, before)
    layer.visible = True
    made, scale = painter.cells_of(layer), painter.legend.colors
    np.testing.assert_allclose(layer.face_color, scale.rgba(made.expected[:, 0]))
