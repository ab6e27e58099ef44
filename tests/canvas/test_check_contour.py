"""A line where the gain ends: a picture that no one takes for a region. No Qt."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from checks import check_entry, middle, square

from napari_gest.app.actions import AddRun, CloseSections, Discard, SetShapes
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.canvas import line_layer
from napari_gest.canvas.check_contour import NAME, CheckContour
from napari_gest.canvas.layer_list import remove_layer
from napari_gest.canvas.shapes import CHECKED_DEPTH, role_of, to_um

ONE = "section_1"


@pytest.fixture
def contour(scene, model_info, monkeypatch):
    """Follows a scene in which a region was checked, and the gain ends somewhere in it."""
    monkeypatch.setattr(line_layer, "call_later", lambda step: step())  # no window, no turns
    made = CheckContour(scene)
    journal = scene.journal
    journal.do(SetShapes(role="unseen", shapes=(square(journal.session.state, 60),)))
    inner = middle(journal.session.state, 25)
    journal.do(AddRun.of(check_entry(journal.session.state, "run-1", model_info, inner)))
    yield made
    made.detach()


@pytest.fixture
def model_info():
    return SimpleNamespace(name="m", load_name="m")


def test_it_lies_where_the_gain_ends_and_says_what_it_is(contour, scene):
    layer = contour.lines.layer
    assert layer.name == NAME
    assert "no better than the section's mean" in NAME
    corners = to_um(layer.data[0], scene.cells()[ONE])
    wanted = middle(scene.session.state, 25).geometry
    np.testing.assert_allclose([*corners.min(0), *corners.max(0)], wanted.bounds, atol=1e-6)


def test_it_is_no_region(contour, scene):
    shapes = scene.session.state.shapes
    assert role_of(contour.lines.layer) == CHECKED_DEPTH
    contour.lines.layer.data = [d + 5 for d in contour.lines.layer.data]
    assert scene.session.state.shapes == shapes
    remove_layer(scene.viewer, contour.lines.layer)
    assert scene.session.state.shapes == shapes
    assert scene.session.state.shown_run("check") is not None
    run = GenerationRun.of(scene.session.state, None)
    assert run.shapes == shapes


def test_it_goes_with_the_region_and_with_the_check(contour, scene):
    journal = scene.journal
    journal.do(SetShapes(role="unseen", shapes=(square(journal.session.state, 40),)))
    assert contour.lines.layer is None
    journal.undo()
    assert contour.lines.layer is not None
    journal.do(Discard(id="run-1"))
    assert contour.lines.layer is None
    journal.undo()
    assert contour.lines.layer is not None
    journal.do(CloseSections(labels=(ONE,)))
    assert contour.lines.layer is None


def test_a_check_whose_gain_reaches_everywhere_draws_nothing(contour, scene, model_info):
    scene.journal.do(AddRun.of(check_entry(scene.session.state, "run-2", model_info)))
    assert contour.lines.layer is None
