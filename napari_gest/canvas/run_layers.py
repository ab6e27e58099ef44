"""Layers of the runs: generated cells and effects that are kept or looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Layer, Points

from napari_gest.app.runs.base import RunEntry
from napari_gest.canvas import layers
from napari_gest.canvas.shapes import BOUNDARIES, META, role_of

if TYPE_CHECKING:
    from napari_gest.canvas.scene import Scene


class RunLayers:
    """Keeps the layers of the runs in a scene in step with its session."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def remove_unfinished(self) -> bool:
        """Take off what runs that never ended have left, and return whether there was any.

        Lines around it go too, all of them: what paints draws those of other runs again.
        """
        known = {entry.id for entry in self.scene.session.state.runs}
        there = [
            one for _, one in self.scene.generated() if one.metadata[META][layers.RUN] not in known
        ]
        if there:
            there += [one for one in self.scene.viewer.layers if role_of(one) == layers.OUTLINES]
        for layer in there:
            self.scene.remove(layer)
        return bool(there)

    def remove_closed(self) -> None:
        """Take off the rings and lines that were drawn on sections which are closed now."""
        labels = self.scene.session.state.sections
        for layer in list(self.scene.viewer.layers):
            if role_of(layer) == layers.EDITED_CELLS and not labels:
                self.scene.remove(layer)
            elif role_of(layer) == BOUNDARIES:
                closed = np.flatnonzero(~layer.features[layers.SECTION].isin(list(labels)))
                if len(closed) == len(layer.data):
                    self.scene.remove(layer)
                elif len(closed):
                    layer.selected_data = set(closed.tolist())
                    layer.remove_selected()

    def mirror_generated(self) -> None:
        """Show the runs that are kept or looked at in place, and a second one on a copy beside."""
        state, cells = self.scene.session.state, self.scene.cells()
        shown = state.shown_runs("generation")[:2]
        beside = shown[1].id if len(shown) > 1 and shown[1].id not in state.kept else None
        wanted = {
            entry.id: entry
            for entry in state.listed("generation")
            if entry.id in state.kept or entry in shown
        }
        known = {entry.id for entry in state.runs}
        for layer in [layer for _, layer in self.scene.generated()]:
            about = layer.metadata[META]
            entry, made = wanted.get(about[layers.RUN]), about[layers.GENERATED_CELLS]
            if entry is None:
                running = about[layers.RUN] not in known and made.result is None
                if not running or made.snapshot.label not in cells:
                    self.scene.remove(layer)
            elif len(layer.data) != len(entry.outcome.cells.cells) or about[layers.BESIDE] != (
                entry.id == beside
            ):
                self.scene.remove(layer)
            else:
                about[layers.GENERATED_CELLS] = entry.outcome.cells
        if beside is None or self.scene.generated_layer(beside) is None:
            for layer in [one for one in self.scene.viewer.layers if role_of(one) == layers.COPY]:
                self.scene.remove(layer)
        for id_, entry in wanted.items():
            own = cells.get(entry.run.snapshot.label)
            if own is not None and self.scene.generated_layer(id_) is None:
                self._add_generated(entry, own, beside=id_ == beside)

    def _add_generated(self, entry: RunEntry, cells: Points, beside: bool) -> None:
        shift = layers.shift_clear_of(*across(cells), self.scene.taken()) if beside else 0.0
        if beside:
            self.scene.add_above(cells, layers.backdrop_layer(cells, shift, layers.COPY))
        made = entry.outcome.cells
        outline = entry.run.outline
        self.scene.add_above(cells, layers.generated_layer(entry.id, made, cells, outline, shift))
        if beside:
            self.scene.viewer.reset_view()

    def mirror_effects(self) -> None:
        """Show the effects looked at and no others: the first in place, one on a copy beside."""
        wanted = list(self.scene.session.state.shown_runs("perturbation"))[:2]
        before = sorted(self.scene.effects(), key=lambda shown: float(shown[1].translate[-1]))
        if len(before) == len(wanted) and all(
            old.snapshot.section is new.outcome.snapshot.section
            and np.array_equal(old.cells, new.outcome.cells)
            for (old, _), new in zip(before, wanted, strict=True)
        ):  # the same cells: making layers anew would take a second
            if [layer.name for _, layer in before] != [new.name for new in wanted]:
                for (_, layer), new in zip(before, wanted, strict=True):
                    layer.name = new.id  # or napari numbers a name that moves to the other one
            for (_, layer), new in zip(before, wanted, strict=True):
                layer.metadata[META].update({layers.EFFECT: new.outcome, layers.RUN: new.id})
                layer.name = new.name
            return
        chosen, shown = self.scene.viewer.layers.selection.active, None
        for layer in [
            one for one in self.scene.viewer.layers if role_of(one) in layers.EFFECT_LAYERS
        ]:
            self.scene.remove(layer)
        for entry in wanted:
            shown = self._add_effect(entry, beside=entry is not wanted[0]) or shown
        if shown is not None and chosen is not None and role_of(chosen) in layers.EFFECT_LAYERS:
            self.scene.viewer.layers.selection.active = shown  # in place of the one that was
        if max(len(before), len(wanted)) > 1 and len(before) != len(wanted):
            self.scene.viewer.reset_view()

    def _add_effect(self, entry: RunEntry, beside: bool) -> Layer | None:
        cells = self.scene.cells().get(entry.run.snapshot.label)
        if cells is None:
            return None
        shift = layers.shift_clear_of(*across(cells), self.scene.taken()) if beside else 0.0
        if beside:
            self.scene.add_above(cells, layers.backdrop_layer(cells, shift))
        return self.scene.add_above(cells, layers.effect_layer(entry, cells, shift))


def across(layer: Layer) -> tuple[float, float]:
    """Return where a layer begins and ends on the canvas, from left to right."""
    extent = layer.extent.world
    return float(extent[0, -1]), float(extent[1, -1])
