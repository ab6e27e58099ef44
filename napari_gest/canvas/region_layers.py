"""Shapes layers of the regions, kept in step with the session in both directions.

One layer for each role holds the shapes on all sections. What a user draws, moves or removes by
hand becomes an action; what undo or another action changes is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd
from napari.layers import Points, Shapes
from numpy.typing import NDArray

from napari_gest.app.actions import SetShapes
from napari_gest.app.colors import label_colors
from napari_gest.app.journal import Journal
from napari_gest.app.regions import Role, Shape
from napari_gest.canvas._napari_private.attributes import end_drawing, is_drawing
from napari_gest.canvas.event_loop import call_later
from napari_gest.canvas.layer_list import add_layer
from napari_gest.canvas.shapes import (
    AREAS,
    affine,
    region_settings,
    role_of,
    to_canvas,
    to_um,
)

if TYPE_CHECKING:
    from napari import Viewer

ROLES: tuple[Role, ...] = get_args(Role)
NAMED: Role = "named"
_NAME = "name"
_NAME_ON_WHITE, _NAME_ON_BLACK = "#1F2328", "#F0F3F6"  # its halo has the colour of the canvas
_SELECTING = ("select", "direct")
_BY_CLICKS = ("add_polygon", "add_path", "add_polyline")  # between which keys can be pressed
_DONE = ("added", "changed", "removed")  # what napari calls a change that is complete


class RegionLayers:
    """Mirrors the shapes of the session in Shapes layers of a viewer.

    Parameters
    ----------
    viewer
        The viewer.
    journal
        Takes the actions.
    cells
        Returns the layers of the open sections, by label.
    width_um
        Returns the width of outlines, um: as thin on a large tissue as on a small one.
    """

    def __init__(
        self,
        viewer: Viewer,
        journal: Journal,
        cells: Callable[[], dict[str, Points]],
        width_um: Callable[[], float],
    ) -> None:
        self.viewer, self.journal, self._cells, self._width_um = viewer, journal, cells, width_um
        self._watched: list[Shapes] = []
        self._drawing = False  # whether this draws, so that it is not read as if a user had
        self._reading = False  # whether what a user has drawn is read
        # Layers that fell behind the session while a shape was drawn, and how many were on them.
        self._behind: dict[Shapes, int] = {}
        viewer.events.theme.connect(self._on_theme)

    def detach(self) -> None:
        """Follow the layers no more."""
        self.viewer.events.theme.disconnect(self._on_theme)
        for layer in list(self._watched):
            self.forget(layer)

    def layer(self, role: Role) -> Shapes | None:
        """Return the layer of a role: the selected one, or the topmost."""
        selected = self.viewer.layers.selection.active
        if selected is not None and role_of(selected) == role:
            return selected
        found = [layer for layer in self.viewer.layers if role_of(layer) == role]
        return found[-1] if found else None

    def draw(self, role: Role, mode: str, name: str = "") -> Shapes:
        """Select the layer of a role, made if there is none, ready to draw in ``mode``."""
        layer = self.layer(role) or self._made(role)
        layer.current_edge_width = self._width_um()
        self.viewer.layers.selection.active = layer
        layer.visible = True
        layer.mode = mode
        if role == NAMED:
            self.set_name(name)
        return layer

    def put_aside(self, role: Role) -> None:
        """Let the mouse move the canvas, and mark no shape: marks hide where a region begins."""
        layer = self.layer(role)
        if layer is not None:
            layer.mode = "pan_zoom"
            layer.selected_data = set()

    def set_name(self, name: str, of_selected: bool = True) -> None:
        """Give the next named region this name, and those selected with the select tools too."""
        layer = self.layer(NAMED)
        if layer is None or not name:
            return
        held = [s.name for s in self.journal.session.state.shapes if s.role == NAMED]
        with layer.block_update_properties():  # a shape just drawn is selected, and stays
            layer.current_edge_color = label_colors([*held, name])[name]
            layer.feature_defaults = {_NAME: name}
        selected = sorted(layer.selected_data) if of_selected and layer.mode in _SELECTING else []
        if selected and any(layer.features[_NAME].iloc[selected] != name):
            features = layer.features.copy()
            features.loc[selected, _NAME] = name
            layer.features = features
            self.read(layer)

    def follow(self, layer: Shapes) -> None:
        """Take a layer that was added, and the shapes on it, into the session."""
        layer.events.data.connect(self._on_data)
        self._watched.append(layer)
        if not self._drawing:
            self.read(layer)

    def forget(self, layer: Shapes) -> None:
        """Follow a layer no more."""
        if layer in self._watched:
            layer.events.data.disconnect(self._on_data)
            self._watched.remove(layer)
            self._behind.pop(layer, None)

    def on_removed(self, layer: Shapes) -> None:
        """Take the shapes of a layer that a user has deleted out of the session.

        Where another layer of its role is left, what is on that one counts from now on.
        """
        self.forget(layer)
        role = role_of(layer)
        if self._drawing:
            return
        left = self.layer(role)
        if left is None:
            self.journal.do(SetShapes(role=role, shapes=()))
        else:
            self.read(left)

    def read(self, layer: Shapes | None = None) -> None:
        """Make the shapes on a layer, or on all, those of the session."""
        for one in [layer] if layer is not None else list(self._watched):
            role = role_of(one)
            if one is self.layer(role):
                self.journal.do(SetShapes(role=role, shapes=self._shapes(one, role)))

    def abandon(self) -> bool:
        """Remove the shape that a user has begun and not ended; return whether there is one.

        One that is drawn with the button down stays until the button is released.
        """
        layer = next(filter(is_drawing, self._watched), None)
        if layer is None:
            return False
        if layer.mode not in _BY_CLICKS:
            return True
        drawing, self._drawing = self._drawing, True
        try:
            n = len(layer.data)
            end_drawing(layer)
            if len(layer.data) == n:
                layer.selected_data = {n - 1}
                layer.remove_selected()
        finally:
            self._drawing = drawing
        if self._behind.pop(layer, None) is not None:
            self.mirror()
        return True

    def mirror(self) -> None:
        """Draw the shapes of the session where the layers show others.

        A layer on which a user draws a shape has its turn when that is ended: it would be lost.
        """
        shapes = self.journal.session.state.shapes
        cells = self._cells()
        for role in ROLES:
            wanted = [s for s in shapes if s.role == role and s.section in cells]
            layer = self.layer(role)
            if layer is None and not wanted:
                continue
            layer = layer or self._made(role)
            if is_drawing(layer) and not self._reading:
                self._behind.setdefault(layer, len(layer.data))
                continue
            left_over = not cells and len(layer.data)  # of sections that were closed
            if left_over or list(self._shapes(layer, role)) != wanted:
                self._draw(layer, wanted, cells)
            if role == NAMED:
                self._name(layer, [s.name for s in wanted])

    def _draw(self, layer: Shapes, wanted: Sequence[Shape], cells: dict[str, Points]) -> None:
        drawing, self._drawing = self._drawing, True
        try:
            layer.selected_data = set()
            layer.data = []
            if wanted:
                corners = [
                    affine(
                        layer.world_to_data,
                        affine(cells[s.section].data_to_world, to_canvas(np.array(s.corners))),
                    )
                    for s in wanted
                ]
                layer.add(corners, shape_type=[s.kind for s in wanted], edge_width=self._width_um())
        finally:
            self._drawing = drawing

    def _name(self, layer: Shapes, names: list[str]) -> None:
        """Write the names beside named regions, each in the colour of its label."""
        held = [str(n) for n in layer.features.get(_NAME, pd.Series(dtype=object))]
        if held != names:
            layer.features = pd.DataFrame({_NAME: np.array(names, object)})
        if names:
            of_name = label_colors(names)
            colors = np.array([of_name[name] for name in names], np.float32)
            if not np.allclose(layer.edge_color, colors):
                layer.edge_color = colors
            layer.refresh_text()

    def _made(self, role: Role) -> Shapes:
        drawing, self._drawing = self._drawing, True
        try:
            layer = add_layer(self.viewer, (None, region_settings(role), "shapes"))
        finally:
            self._drawing = drawing
        if role == NAMED:
            layer.features = {_NAME: np.array([], object)}
            layer.text = {"string": "{name}", "size": 12, "color": self._name_color}
            layer.opacity = 1.0
        return layer

    @property
    def _name_color(self) -> str:
        return _NAME_ON_WHITE if self.viewer.theme == "light" else _NAME_ON_BLACK

    def _on_theme(self, _event: Any = None) -> None:
        for layer in self.viewer.layers:
            if role_of(layer) == NAMED:
                layer.text.color = self._name_color

    def _on_data(self, event: Any) -> None:
        action = str(getattr(event, "action", "") or "")
        if self._drawing or action.rsplit(".", 1)[-1].lower() not in _DONE:
            return
        n_before = self._behind.pop(event.source, None)
        if n_before is not None:
            call_later(partial(self._catch_up, event.source, n_before))
            return
        reading, self._reading = self._reading, True  # napari says that it draws until this ends
        try:
            self.read(event.source)
        finally:
            self._reading = reading

    def _catch_up(self, layer: Shapes, n_before: int) -> None:
        """Add the last shape of a layer to those of the session, and draw what came meanwhile."""
        if layer not in self._watched:
            return
        role, n = role_of(layer), len(layer.data)
        if n == n_before and layer.shape_type[-1] in AREAS:
            held = tuple(s for s in self.journal.session.state.shapes if s.role == role)
            self.journal.do(SetShapes(role=role, shapes=(*held, *self._shapes(layer, role)[-1:])))
        self.mirror()

    def _shapes(self, layer: Shapes, role: Role) -> tuple[Shape, ...]:
        """Return the shapes on a layer, each on the section that it lies on."""
        cells = self._cells()
        if not cells:
            return ()
        names = list(layer.features.get(_NAME, [])) if role == NAMED else []
        found = []
        for index, (data, kind) in enumerate(zip(layer.data, layer.shape_type, strict=True)):
            if kind not in AREAS:  # lines and open paths have no area
                continue
            world = affine(layer.data_to_world, np.asarray(data, np.float64)[:, -2:])
            label = self._beneath(world, cells)
            corners = to_um(world, cells[label])
            name = names[index] if index < len(names) else ""
            found.append(
                Shape(
                    role=role,
                    section=label,
                    kind=kind,
                    corners=[tuple(map(float, corner)) for corner in corners],
                    name="" if name is None or name != name else str(name),
                )
            )
        return self._as_held(tuple(found), role)

    def _as_held(self, found: tuple[Shape, ...], role: Role) -> tuple[Shape, ...]:
        """Return the session's own shapes where the canvas differs from them by rounding alone."""
        held = [s for s in self.journal.session.state.shapes if s.role == role]
        return tuple(next((old for old in held if _same(old, new)), new) for new in found)

    def _beneath(self, world: NDArray[np.float64], cells: dict[str, Points]) -> str:
        """Return the label of the section that an outline (n, 2) lies on, or is nearest to."""
        centre = world.mean(axis=0)
        active = self.journal.session.state.active

        def off(label: str) -> tuple[float, bool]:
            low, high = np.asarray(cells[label].extent.world)[:, -2:]
            outside = np.maximum(np.maximum(low - centre, centre - high), 0)
            return float(np.linalg.norm(outside)), label != active

        return min(cells, key=off)


def _same(old: Shape, new: Shape) -> bool:
    if (old.section, old.kind, old.name) != (new.section, new.kind, new.name):
        return False
    a, b = np.array(old.corners), np.array(new.corners)
    # Canvases hold corners in single precision in places: a thousandth of a um is no move.
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-6, atol=1e-3)
