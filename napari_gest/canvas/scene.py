"""Which layers of a viewer show what. Layers are the truth: they may come and go by any means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer, Points, Shapes
from numpy.typing import NDArray
from psygnal import Signal

from napari_gest.app.runs.effect import Effect
from napari_gest.app.runs.generated_cells import Trial
from napari_gest.app.session import Opened, Session
from napari_gest.canvas import layers
from napari_gest.canvas._napari_private.compat import scale_bar
from napari_gest.canvas._napari_private.insert_layer import add_layer, remove_layer
from napari_gest.canvas.shapes import (
    BOUNDARIES,
    META,
    REGIONS,
    UNSEEN,
    region_settings,
    role_of,
    to_canvas,
    to_lines,
)

if TYPE_CHECKING:
    import shapely
    from napari import Viewer

_ON_TOP = (*REGIONS, layers.EDITED_CELLS)


class Scene:
    """Finds, adds and follows the plugin's layers in one viewer.

    Signals
    -------
    changed
        Sections came or went, or another one became active.
    region_changed
        Shapes were drawn, moved or removed.
    """

    changed = Signal()
    region_changed = Signal()

    def __init__(self, viewer: Viewer, session: Session) -> None:
        self.viewer = viewer
        self.session = session
        self._active: str | None = None
        self._watched: list[Shapes] = []
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.layers.selection.events.active.connect(self._on_selected)
        for layer in list(viewer.layers):
            self._adopt(layer)

    def detach(self) -> None:
        """Follow the viewer no more."""
        layers = self.viewer.layers
        layers.events.inserted.disconnect(self._on_inserted)
        layers.events.removed.disconnect(self._on_removed)
        layers.selection.events.active.disconnect(self._on_selected)
        for region in self._watched:
            region.events.set_data.disconnect(self._on_region)
        self._watched = []

    def cells(self) -> dict[str, Points]:
        """Return the layers of the open sections, by label."""
        found = {}
        for layer in self.viewer.layers:
            if role_of(layer) == layers.CELLS:
                found[layer.metadata[META][layers.OPENED].label] = layer
        return found

    def trials(self) -> Iterator[tuple[Trial, Points]]:
        """Yield generated cells and the layer that shows them, in layer order."""
        for layer in self.viewer.layers:
            if role_of(layer) == layers.GENERATED:
                yield layer.metadata[META][layers.TRIAL], layer

    def layer_of(self, trial: Trial) -> Points | None:
        """Return the layer of some generated cells, or None if it was removed."""
        return next((layer for other, layer in self.trials() if other is trial), None)

    @property
    def active(self) -> Opened | None:
        """The section in use: the one selected last, or else the first."""
        if self._active not in self.session.sections:
            self._active = next(iter(self.session.sections), None)
        return None if self._active is None else self.session.sections[self._active]

    @property
    def active_layer(self) -> Points | None:
        """Layer of the active section."""
        opened = self.active
        return None if opened is None else self.cells().get(opened.label)

    def activate(self, label: str) -> None:
        """Make another section the one in use."""
        if label != self._active and label in self.session.sections:
            self._active = label
            cells = self.cells().get(label)
            if cells is not None:
                self.viewer.layers.selection.active = cells
            self.changed.emit()

    def add_sections(self, opened: list[Opened]) -> None:
        """Show sections side by side and look at them."""
        for data in layers.side_by_side(opened):
            self.viewer.add_layer(Layer.create(*data))
        scale_bar(self.viewer).visible = True
        self.viewer.reset_view()
        if opened:
            self._active = None  # so that the first of them is selected, even if it was before
            self.activate(opened[0].label)

    def close_untouched(self, paths: Sequence[Path]) -> None:
        """Close the sections of files, except those on which cells or effects were made."""
        files = {path.resolve() for path in paths}
        made_on = {made.snapshot.label for made, _ in (*self.trials(), *self.effects())}
        cells = self.cells()
        for label, opened in list(self.session.sections.items()):
            ours = opened.path is not None and opened.path.resolve() in files
            if ours and not opened.results and label not in made_on:
                remove_layer(self.viewer, cells[label])

    def add_trial(self, trial: Trial) -> Points:
        """Show the cells of a run, still waiting, above their section."""
        cells = self.cells()[trial.snapshot.label]
        return self._add_above(cells, layers.trial_layer(trial, cells))

    def remove_trial(self, trial: Trial) -> None:
        """Take generated cells off the canvas."""
        layer = self.layer_of(trial)
        if layer is not None:
            remove_layer(self.viewer, layer)

    def effects(self) -> Iterator[tuple[Effect, Points]]:
        """Yield the effects of edits on the canvas and their layers, in layer order."""
        for layer in self.viewer.layers:
            if role_of(layer) == layers.EFFECT:
                yield layer.metadata[META][layers.EFFECT], layer

    def show_effects(self, effects: Sequence[Effect]) -> None:
        """Show these effects and no others: the first in place, others each on a dim copy beside.

        All are of one section. Colours are left to the painter.
        """
        before = sorted(self.effects(), key=lambda shown: float(shown[1].translate[-1]))
        n_before = len(before)
        if n_before == len(effects) and all(
            old.snapshot.section is new.snapshot.section and np.array_equal(old.cells, new.cells)
            for (old, _), new in zip(before, effects, strict=True)
        ):  # the same cells: making layers anew would take a second
            for (_, layer), new in zip(before, effects, strict=True):
                layer.metadata[META][layers.EFFECT] = new
                layer.name = new.name
            return
        chosen, shown = self.viewer.layers.selection.active, None
        for layer in [one for one in self.viewer.layers if role_of(one) in layers.EFFECT_LAYERS]:
            remove_layer(self.viewer, layer)
        for effect in effects:
            cells = self.cells().get(effect.snapshot.label)
            if cells is None:
                continue
            beside = effect is not effects[0]
            shift = layers.shift_clear_of(*_across(cells), self._taken()) if beside else 0.0
            if beside:
                self._add_above(cells, layers.backdrop_layer(cells, shift))
            shown = self._add_above(cells, layers.effect_layer(effect, cells, shift))
        if shown is not None and chosen is not None and role_of(chosen) in layers.EFFECT_LAYERS:
            self.viewer.layers.selection.active = shown  # in place of the one that was
        if max(n_before, len(effects)) > 1 and n_before != len(effects):
            self.viewer.reset_view()

    def marked(self) -> Points | None:
        """Return the layer of rings around the cells that are to be edited."""
        found = [one for one in self.viewer.layers if role_of(one) == layers.EDITED_CELLS]
        return found[-1] if found else None

    def mark(self, coords_um: NDArray[np.float64]) -> Points:
        """Put rings around cells of the active section that are to be edited."""
        layer = self.marked()
        if layer is None:
            layer = add_layer(self.viewer, layers.edited_cells_layer(self.active_layer))
        elif not np.array_equal(layer.translate, self.active_layer.translate):
            layer.translate = self.active_layer.translate  # another section lies elsewhere
        if not np.array_equal(layer.data, to_canvas(coords_um)):
            layer.data = to_canvas(coords_um)
        return layer

    def region(self, role: str = UNSEEN) -> Shapes | None:
        """Return the layer with the region of a role: the selected one, or the topmost."""
        selected = self.viewer.layers.selection.active
        if selected is not None and role_of(selected) == role:
            return selected
        regions = [layer for layer in self.viewer.layers if role_of(layer) == role]
        return regions[-1] if regions else None

    def draw(self, mode: str, role: str = UNSEEN) -> Shapes:
        """Select the region layer, made if there is none, ready to draw in ``mode``."""
        region = self.region(role)
        if region is None:
            region = self.viewer.add_shapes(**region_settings(role))
        # In um, so that the outline is as thin on a large tissue as on a small one.
        region.current_edge_width = self._outline_um()
        self.viewer.layers.selection.active = region
        region.visible = True
        region.mode = mode
        return region

    def show_boundaries(
        self,
        areas: Mapping[str, Sequence[shapely.MultiPolygon]],
        names: Sequence[str],
        colors: Sequence[str],
    ) -> Shapes | None:
        """Draw lines around niches, in place of those drawn before.

        Parameters
        ----------
        areas
            Per label of a section, the area of each niche, um, x y.
        names, colors
            Name and colour of each niche.
        """
        for layer in [one for one in self.viewer.layers if role_of(one) == BOUNDARIES]:
            remove_layer(self.viewer, layer)
        width = 0.8 * self._outline_um()
        lines, of_line = [], []
        for label, cells in self.cells().items():
            for index, area in enumerate(areas.get(label, ())):
                # Each niche's line runs inside it, so that neighbours do not cover each other.
                drawn = to_lines(area.buffer(-width / 2), cells)
                lines += drawn
                of_line += [index] * len(drawn)
        if not lines:
            return None
        data = layers.boundary_layer(
            lines, [names[i] for i in of_line], [colors[i] for i in of_line], width
        )
        return add_layer(self.viewer, data)

    def _outline_um(self) -> float:
        extent = self.viewer.layers.extent.world
        return float(np.nanmax(extent[1] - extent[0])) / 400 or 1.0

    def _adopt(self, layer: Layer) -> None:
        role = role_of(layer)
        if role in REGIONS:
            layer.events.set_data.connect(self._on_region)
            self._watched.append(layer)
            self.region_changed.emit()
        elif role == layers.CELLS:
            opened = layer.metadata[META][layers.OPENED]
            if self.session.sections.get(opened.label) is not opened:
                self.session.add(opened)
                layer.name = opened.label
                self._make_room(layer)
            self.changed.emit()

    def _add_above(self, cells: Points, data: tuple) -> Layer:
        """Add a layer above that of a section, but beneath outlines and rings."""
        shown = self.viewer.layers
        index = shown.index(cells) + 1
        while index < len(shown) and role_of(shown[index]) not in _ON_TOP:
            index += 1
        # To move it there afterwards would draw everything once more.
        return add_layer(self.viewer, data, index)

    def _taken(self) -> list[tuple[float, float]]:
        roles = (layers.CELLS, layers.BACKDROP)
        return [_across(one) for one in self.viewer.layers if role_of(one) in roles]

    def _make_room(self, layer: Layer) -> None:
        others = [_across(one) for one in self.cells().values() if one is not layer]
        shift = layers.shift_clear_of(*_across(layer), others)
        if shift:
            layer.translate = (layer.translate[0], layer.translate[1] + shift)

    def _on_inserted(self, event: Any) -> None:
        self._adopt(event.value)

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        role = role_of(layer)
        if role == layers.CELLS:
            self.session.remove(layer.metadata[META][layers.OPENED].label)
        elif role in REGIONS:
            self._watched = [one for one in self._watched if one is not layer]
            self.region_changed.emit()
        if role is not None and role not in (*layers.EFFECT_LAYERS, layers.EDITED_CELLS):
            self.changed.emit()

    def _on_selected(self, event: Any) -> None:
        layer = event.value
        if layer is not None and role_of(layer) == layers.CELLS:
            self.activate(layer.metadata[META][layers.OPENED].label)

    def _on_region(self, event: Any = None) -> None:
        self.region_changed.emit()


def _across(layer: Layer) -> tuple[float, float]:
    """Return where a layer begins and ends on the canvas, from left to right."""
    extent = layer.extent.world
    return float(extent[0, -1]), float(extent[1, -1])
