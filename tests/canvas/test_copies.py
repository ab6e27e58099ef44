"""A copy of a layer, as napari's Duplicate makes it, is a picture. No Qt."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Layer
from test_scene import ONE, TWO, add_run, around, draw, shapes_of

from napari_gest.app.actions import CloseSections
from napari_gest.canvas import layers
from napari_gest.canvas.scene import Scene
from napari_gest.canvas.shapes import region_settings, role_of


def duplicated(scene: Scene, layer: Layer) -> Layer:
    """Return a copy that lies above a layer, made as napari makes it."""
    data, settings, kind = layer.as_layer_data_tuple()
    copy = Layer.create(np.copy(data) if kind == "points" else list(data), settings, kind)
    scene.viewer.layers.insert(scene.viewer.layers.index(layer) + 1, copy)
    return copy


def test_a_copy_of_a_section_is_no_section(scene):
    cells = scene.cells()[ONE]
    copy = duplicated(scene, cells)
    assert role_of(copy) is None
    assert scene.cells()[ONE] is cells
    before = scene.session.state
    scene.viewer.layers.remove(copy)
    assert scene.session.state is before
    assert role_of(cells) == layers.CELLS


def test_a_copy_of_generated_cells_is_no_run(scene):
    draw(scene, ONE)
    add_run(scene, "run-1")
    copy = duplicated(scene, scene.generated_layer("run-1"))
    assert len(list(scene.generated())) == 1
    scene.viewer.layers.remove(copy)
    assert not scene.session.state.entry("run-1").discarded
    assert scene.generated_layer("run-1") is not None


def test_shapes_on_a_copy_of_a_region_do_not_count(scene):
    layer = draw(scene, ONE)
    copy = duplicated(scene, layer)
    assert scene.regions.layer("unseen") is layer
    copy.add([around(scene, TWO)], shape_type="polygon")
    assert [s.section for s in shapes_of(scene)] == [ONE]
    scene.viewer.layers.remove(copy)
    assert [s.section for s in shapes_of(scene)] == [ONE]
    assert len(layer.data) == 1


def test_a_copy_that_was_made_without_a_dock_is_a_picture_too(scene):
    cells, region = scene.cells()[ONE], draw(scene, ONE)
    scene.detach()
    copies = [duplicated(scene, cells), duplicated(scene, region)]
    other = Scene(scene.viewer, scene.journal, scene._registry)
    assert [role_of(copy) for copy in copies] == [None, None]
    assert other.cells()[ONE] is cells
    assert other.regions.layer("unseen") is region
    other.detach()


def test_what_is_left_on_another_layer_of_regions_counts(scene):
    first = draw(scene, ONE)
    second = scene.viewer.add_shapes(ndim=2, metadata=region_settings()["metadata"])
    assert scene.viewer.layers.selection.active is second
    second.add([around(scene, TWO)], shape_type="polygon")
    assert [s.section for s in shapes_of(scene)] == [TWO]
    scene.viewer.layers.remove(second)
    assert [s.section for s in shapes_of(scene)] == [ONE]
    assert len(first.data) == 1


@pytest.mark.parametrize("role", ["unseen", "edited"])
def test_regions_leave_with_the_last_section(scene, role):
    layer = draw(scene, ONE, role=role)
    scene.journal.do(CloseSections(labels=(ONE, TWO)))
    assert len(layer.data) == 0
