"""Layers of a viewer that mirror the session, and what users do to them by hand as actions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer, Points, Shapes
from numpy.typing import NDArray

from napari_gest.app.actions import Activate, CloseSections, Discard, OpenSections, ShowRuns
from napari_gest.app.journal import Journal
from napari_gest.app.model_registry import ModelRegistry
from napari_gest.app.opened import Opened
from napari_gest.app.regions import Role
from napari_gest.app.runs.effect import Effect
from napari_gest.app.runs.generated_cells import GeneratedCells
from napari_gest.canvas import layers
from napari_gest.canvas._napari_private.compat import scale_bar
from napari_gest.canvas._napari_private.plain_symbols import hold_plain_symbols
from napari_gest.canvas.event_loop import call_later
from napari_gest.canvas.layer_list import add_layer, draw_in_turns, remove_layer
from napari_gest.canvas.region_layers import ROLES, RegionLayers
from napari_gest.canvas.run_layers import RunLayers, across
from napari_gest.canvas.shapes import CHECKED_DEPTH, META, ROLE, is_copy, role_of, to_canvas

if TYPE_CHECKING:
    from napari import Viewer
    from shapely import MultiPolygon

_ON_TOP = (*ROLES, layers.EDITED_CELLS, layers.OUTLINES, CHECKED_DEPTH)
_MIRRORED = frozenset({"sections", "active", "shapes", "runs", "kept", "shown"})


class Scene:
    """Finds, adds and follows the plugin's layers in one viewer.

    Parameters
    ----------
    viewer
        The viewer.
    journal
        Takes the actions that changes by hand are.
    registry
        Models, of which the one that fits is chosen when the first section is opened.
    """

    def __init__(self, viewer: Viewer, journal: Journal, registry: ModelRegistry) -> None:
        self.viewer, self.journal, self._registry = viewer, journal, registry
        self.session = journal.session
        self.regions = RegionLayers(viewer, journal, self.cells, self.outline_um)
        self.runs = RunLayers(self)
        self._mirroring, self._attached = False, True
        self._by_hand = False  # whether napari is at removing layers that a user has chosen
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.layers.selection.events.active.connect(self._on_selected)
        self.session.changed.connect(self._on_changed)
        there = list(viewer.layers)
        for index, layer in enumerate(there):
            self._adopt(layer, there[:index])
        self.runs.remove_unfinished()

    def detach(self) -> None:
        """Follow the viewer no more."""
        self._attached = False
        self.session.changed.disconnect(self._on_changed)
        events = self.viewer.layers.events
        events.inserted.disconnect(self._on_inserted)
        events.removed.disconnect(self._on_removed)
        self.viewer.layers.selection.events.active.disconnect(self._on_selected)
        self.regions.detach()

    # What there is.

    @property
    def active(self) -> Opened | None:
        """The section in use."""
        return self.session.state.opened

    @property
    def active_layer(self) -> Points | None:
        """Layer of the section in use."""
        opened = self.active
        return None if opened is None else self.cells().get(opened.label)

    def cells(self) -> dict[str, Points]:
        """Return the layers of the open sections, by label."""
        found = {}
        for layer in self.viewer.layers:
            if role_of(layer) == layers.CELLS:
                found[layer.metadata[META][layers.OPENED].label] = layer
        return found

    def generated(self) -> Iterator[tuple[GeneratedCells, Points]]:
        """Yield generated cells and the layer that shows them, in layer order."""
        for layer in self.viewer.layers:
            if role_of(layer) == layers.GENERATED:
                yield layer.metadata[META][layers.GENERATED_CELLS], layer

    def generated_layer(self, run_id: str) -> Points | None:
        """Return the layer of a run's cells, or None."""
        for layer in self.viewer.layers:
            if role_of(layer) == layers.GENERATED and layer.metadata[META][layers.RUN] == run_id:
                return layer
        return None

    def effects(self) -> Iterator[tuple[Effect, Points]]:
        """Yield the effects of edits on the canvas and their layers, in layer order."""
        for layer in self.viewer.layers:
            if role_of(layer) == layers.EFFECT:
                yield layer.metadata[META][layers.EFFECT], layer

    def marked(self) -> Points | None:
        """Return the layer of rings around the cells that are to be edited."""
        found = [one for one in self.viewer.layers if role_of(one) == layers.EDITED_CELLS]
        return found[-1] if found else None

    def outline_um(self) -> float:
        """Return the width of lines that suits the extent of what is open, um."""
        extent = self.viewer.layers.extent.world
        return float(np.nanmax(extent[1] - extent[0])) / 400 or 1.0

    # What panels ask for.

    def draw(self, mode: str, role: Role = "unseen", name: str = "") -> Shapes:
        """Get ready to draw regions of a role in ``mode``; named ones under ``name``."""
        return self.regions.draw(role, mode, name)

    def put_aside(self, role: Role = "unseen") -> None:
        """Draw no more: the mouse moves the canvas again, and no shape is marked."""
        self.regions.put_aside(role)

    def tool(self, role: Role = "unseen") -> str | None:
        """Return the mode in which regions of a role are drawn now, or None."""
        layer = self.regions.layer(role)
        chosen = self.viewer.layers.selection.active
        return layer.mode if layer is not None and layer is chosen else None

    def add_generated(
        self, run_id: str, cells: GeneratedCells, outline: MultiPolygon | None = None
    ) -> Points | None:
        """Show the cells of a run that has just begun, still waiting, above their section."""
        own = self.cells().get(cells.snapshot.label)
        if own is None:
            return None
        return self.add_above(own, layers.generated_layer(run_id, cells, own, outline))

    def remove_generated(self, run_id: str) -> None:
        """Take the cells of a run off the canvas."""
        layer = self.generated_layer(run_id)
        if layer is not None:
            self.remove(layer)

    def add_lines(self, data: tuple) -> None:
        """Add a layer of lines that are a picture, such as outlines, beneath the regions."""
        shown = self.viewer.layers
        on_top = [i for i, one in enumerate(shown) if role_of(one) in ROLES]
        add_layer(self.viewer, data, on_top[0] if on_top else -1)

    def add_marks(self) -> Points:
        """Add the layer of rings around the cells that are to be edited."""
        return add_layer(self.viewer, layers.edited_cells_layer(self.active_layer))

    def mark(self, coords_um: NDArray[np.float64]) -> Points | None:
        """Put rings around cells of the section in use that are to be edited."""
        cells = self.active_layer
        layer = self.marked()
        if cells is None or (layer is None and not len(coords_um)):
            return layer
        if layer is None:
            layer = self.add_marks()
        elif not np.array_equal(layer.translate, cells.translate):
            layer.translate = cells.translate  # another section lies elsewhere
        if not np.array_equal(layer.data, to_canvas(coords_um)):
            layer.data = to_canvas(coords_um)
        return layer

    # From the session to the layers.

    def _on_changed(self, changed: frozenset[str]) -> None:
        if not changed & _MIRRORED:
            return
        before, self._mirroring = self._mirroring, True
        try:
            if "sections" in changed:
                self._mirror_sections()
                self.runs.remove_closed()
            if changed & {"sections", "shapes"}:
                self.regions.mirror()
            if changed & {"sections", "runs", "kept", "shown"}:
                self.runs.mirror_generated()
                self.runs.mirror_effects()
            if "sections" in changed and len(self.cells()) == 1:  # selected, it is made at once
                call_later(self._select_active)
            elif changed & {"sections", "active"}:
                self._mirror_active()
        finally:
            self._mirroring = before

    def _mirror_sections(self) -> None:
        state, shown = self.session.state, self.cells()
        for label, layer in shown.items():
            if state.sections.get(label) is not layer.metadata[META][layers.OPENED]:
                self.remove(layer)
        new = [one for label, one in state.sections.items() if label not in shown]
        first = not shown
        for opened, data in zip(new, layers.side_by_side(new), strict=True):
            layer = layers.made_layer(opened, data)
            alone = first and len(new) == 1  # then in turns; of several one may be selected sooner
            add_layer(self.viewer, layer) if alone else self.viewer.add_layer(layer)
        if new:
            for opened in new:
                self._make_room(self.cells()[opened.label])
            self.viewer.reset_view()
            call_later(self._show_scale_bar)  # its programs take as long as the layer
        for one in new:
            self.cells()[one.label].name = one.label

    def _show_scale_bar(self) -> None:
        if self._attached and not scale_bar(self.viewer).visible:
            draw_in_turns(self.viewer)
            scale_bar(self.viewer).visible = True

    def _select_active(self) -> None:
        if self._attached:
            self._on_changed(frozenset({"active"}))

    def _mirror_active(self) -> None:
        layer = self.active_layer
        active = self.viewer.layers.selection.active
        if layer is None or active is layer:
            return
        if active is None or role_of(active) == layers.CELLS:  # tools in use stay in use
            self.viewer.layers.selection.active = layer

    # From what users do to layers to actions.

    def _adopt(self, layer: Layer, others: Iterable[Layer]) -> None:
        """Take a layer that someone else has added beside others into the session.

        A copy of one of ours is a picture, which users may do with as they like.
        """
        if any(is_copy(layer, other) for other in others):
            del layer.metadata[META]
            return
        role = role_of(layer)
        if role in ROLES:
            self.regions.follow(layer)
        elif role == layers.CELLS:
            hold_plain_symbols(layer)
            opened = layer.metadata[META][layers.OPENED]
            if self.session.state.sections.get(opened.label) is not opened:
                self.journal.do(OpenSections.of([opened], self.session.state, self._registry))
                layer.name = opened.label
                self._make_room(layer)

    def _on_inserted(self, event: Any) -> None:
        if not self._mirroring or role_of(event.value) in ROLES:
            self._adopt(event.value, [one for one in self.viewer.layers if one is not event.value])

    def _on_removed(self, event: Any) -> None:
        layer, before = event.value, self._by_hand
        self._by_hand = not self._mirroring
        try:
            if role_of(layer) in ROLES:
                self.regions.on_removed(layer)
            elif role_of(layer) is not None:
                self._on_own_removed(layer)
        finally:
            self._by_hand = before

    def _on_own_removed(self, layer: Layer) -> None:
        role = role_of(layer)
        about = layer.metadata[META]
        # Only the garbage collector frees napari's layers, and it may not run for a long time.
        layer.metadata[META] = {ROLE: role}
        if self._mirroring:
            return
        if role == layers.CELLS:
            self.journal.do(CloseSections(labels=(about[layers.OPENED].label,)))
        elif role == layers.GENERATED:
            if any(e.id == about[layers.RUN] for e in self.session.state.listed()):
                self.journal.do(Discard(id=about[layers.RUN]))
        elif role == layers.EFFECT:
            ids = self.session.state.shown.get("perturbation", ())
            left = tuple(i for i in ids if i != about[layers.RUN])
            self.journal.do(ShowRuns(kind="perturbation", ids=left))

    def _on_selected(self, event: Any) -> None:
        layer = event.value
        if layer is not None and not self._mirroring and role_of(layer) == layers.CELLS:
            self.journal.do(Activate(label=layer.metadata[META][layers.OPENED].label))

    # Layers.

    def remove(self, layer: Layer) -> None:
        """Take a layer off the canvas, which no user has asked for.

        Where a user has just removed another one, napari may be about to remove this one too, as
        it was selected. It is then a picture of nothing, until a later turn.
        """
        if self._by_hand:
            layer.metadata.pop(META, None)
            layer.visible = False
            call_later(partial(self._take_off, layer))
        else:
            self._take_off(layer)

    def _take_off(self, layer: Layer) -> None:
        if layer not in self.viewer.layers:
            return
        before, self._mirroring = self._mirroring, True
        try:
            remove_layer(self.viewer, layer)
        finally:
            self._mirroring = before

    def add_above(self, cells: Points, data: tuple) -> Layer:
        """Add a layer above that of a section, but beneath outlines and rings."""
        shown = self.viewer.layers
        index = shown.index(cells) + 1
        while index < len(shown) and role_of(shown[index]) not in _ON_TOP:
            index += 1
        # To move it there afterwards would draw everything once more.
        return add_layer(self.viewer, data, index)

    def taken(self) -> list[tuple[float, float]]:
        """Return where sections and copies of them begin and end, from left to right."""
        roles = (layers.CELLS, layers.BACKDROP, layers.COPY)
        return [across(one) for one in self.viewer.layers if role_of(one) in roles]

    def _make_room(self, layer: Layer) -> None:
        others = [across(one) for one in self.cells().values() if one is not layer]
        shift = layers.shift_clear_of(*across(layer), others)
        if shift:
            layer.translate = (layer.translate[0], layer.translate[1] + shift)
