"""Puts the view on the layers: one colour assignment a layer, and only where colours change."""

from __future__ import annotations

from functools import partial
from typing import Any
from weakref import WeakSet

import numpy as np
from napari.layers import Points
from numpy.typing import NDArray
from psygnal import Signal

from napari_gest.app.colors import Scale
from napari_gest.app.generated_view import (
    Kind,
    caption,
    described,
    generated_legend,
    generated_rgba,
    generated_values,
    shown_kind,
)
from napari_gest.app.model_registry import ModelRegistry
from napari_gest.app.opened import Normalization, Opened
from napari_gest.app.preview import Preview
from napari_gest.app.run_preview import preview_of
from napari_gest.app.runs.effect import Effect, delta_legend, effect_rgba
from napari_gest.app.runs.generated_cells import GeneratedCells
from napari_gest.app.view_state import (
    EFFECT_VIEWS,
    Legend,
    ViewState,
    scene_legend,
    section_rgba,
)
from napari_gest.canvas import layers
from napari_gest.canvas._napari_private.partial_redraw import PartialRedraw
from napari_gest.canvas.event_loop import call_later
from napari_gest.canvas.hover import Hover
from napari_gest.canvas.outlines import Outlined, RunOutlines
from napari_gest.canvas.scene import Scene
from napari_gest.canvas.thumbnail import refresh_thumbnail

_DIMMED = 0.22  # opacity of the tissue around a difference or an uncertainty
_DIMMING = ("difference", "uncertainty", "delta")
_PAINTED = frozenset({"sections", "active", "view", "choices", "runs", "kept", "shown"})


class Painter:
    """Keeps colours and legend in step with the session.

    ``cells_painted`` is emitted each time cells of a run that goes on were painted.
    """

    cells_painted = Signal()

    def __init__(self, scene: Scene, registry: ModelRegistry) -> None:
        self.scene, self.registry = scene, registry
        self.drawing = PartialRedraw.of(scene.viewer)
        self.legend = Legend("")
        self.told = ""  # what is shown of generated cells, for the legend
        self._painted: dict[Points, Any] = {}
        self._followed: WeakSet[Points] = WeakSet()  # whose eye is watched
        self._hidden: WeakSet[Points] = WeakSet()  # by a user
        self._showing = False  # whether this shows and hides layers, not a user
        self._covered: Points | None = None  # the rings, where this has hidden them
        self._outlines, self.hover = RunOutlines(scene), Hover(self)
        self.section_legend = Legend("")
        self._played: tuple[str, GeneratedCells] | None = None
        scene.session.changed.connect(self._on_changed)
        if scene.active is not None:
            self.repaint()

    def detach(self) -> None:
        """Follow the viewer no more. Of a run that goes on, and will not end, nothing is left."""
        if self.scene.runs.remove_unfinished():
            self.repaint()  # the cells in whose place it was
            self._outlines.draw()
        self.scene.session.changed.disconnect(self._on_changed)
        self.drawing.release()
        self.hover.detach()
        self._outlines.close()
        self._played = None
        for layer in self._followed:
            layer.events.visible.disconnect(self._on_eye)

    @property
    def view_state(self) -> ViewState:
        """What is shown."""
        return self.scene.session.state.view

    @property
    def normalization(self) -> Normalization:
        """The space that values of the section in use are shown in."""
        opened = self.scene.active
        name = self.scene.session.state.choices.model
        return self.registry.normalization(name, () if opened is None else opened.section.genes)

    @property
    def preview(self) -> Preview | None:
        """Colours of the run that is shown, or None."""
        return preview_of(self.scene.session.state)

    def repaint(self) -> None:
        """Bring all layers up to date."""
        opened, cells = self.scene.active, self.scene.cells()
        self._painted = {k: v for k, v in self._painted.items() if k in self.scene.viewer.layers}
        if self._covered is not None and self._covered not in self.scene.viewer.layers:
            self._covered = None
        self.hover.forget()
        if opened is None:
            self.legend, self.told = Legend(""), ""
            self._outlines.show([])
            return
        sections = self.scene.session.state.sections
        space, preview = self.normalization, self.preview
        own = scene_legend(self.view_state, opened, sections.values(), space, preview)
        for label, layer in cells.items():
            self._paint_section(layer, sections[label], own)
        self.section_legend = own
        self._paint_generated(own)
        self._paint_effects()

    def paint_cells(self, layer: Points) -> None:
        """Bring one layer of generated cells up to date, while it is being filled.

        Its thumbnail waits: with a new one napari draws the list of layers anew.
        """
        made, view = self.cells_of(layer), self.view_state
        opened = self.scene.session.state.sections.get(made.snapshot.label)
        space, preview = self.normalization, self.preview
        self._color(layer, generated_rgba(view, made, opened, self.legend, space, preview))
        self.cells_painted.emit()

    def cells_of(self, layer: Points) -> GeneratedCells:
        """Return the generated cells that a layer shows now."""
        about = layer.metadata[layers.META]
        if self._played is not None and self._played[0] == about[layers.RUN]:
            return self._played[1]
        made: GeneratedCells = about[layers.GENERATED_CELLS]
        return made

    def play(self, run_id: str, made: GeneratedCells | None) -> None:
        """Show other cells in the place of a run's, such as another draw; None ends it.

        Nothing of it is in the session: it ends with the next thing that changes there.
        """
        self._played = None if made is None else (run_id, made)
        layer = self.scene.generated_layer(run_id)
        if layer is not None and layer.visible:
            self.paint_cells(layer)
            self.outline_generated()

    def _on_changed(self, changed: frozenset[str]) -> None:
        """Paint what an action has changed; a column anew whose values a kept result changed."""
        column = self.view_state.column
        if column is not None and not changed.isdisjoint({column, f"{column}_colors"}):
            self._painted.clear()
        elif not changed & _PAINTED:
            return
        self._played = None
        self.repaint()

    def _paint_section(self, layer: Points, opened: Opened, legend: Legend) -> None:
        opacity = _DIMMED if self.view_state.view in _DIMMING else 1.0
        if layer.opacity != opacity:  # napari draws its thumbnail anew, changed or not
            layer.opacity = opacity
        scale = legend.colors if isinstance(legend.colors, Scale) else None
        view, space, preview = self.view_state, self.normalization, self.preview
        covering = self._covering(opened)
        runs = tuple(covering)  # each of which covers the same cells throughout
        state = (view.gene, view.column, view.of_run, preview, view.hidden, space, scale, runs)
        if self._painted.get(layer) != state:
            rgba = section_rgba(view, opened, legend, space, preview)
            for cells in covering.values():
                rgba[cells, 3] = 0.0
            self._color(layer, rgba)
            call_later(partial(refresh_thumbnail, layer))
            self._painted[layer] = state

    def _paint_generated(self, own: Legend) -> None:
        shown = list(self.scene.generated())
        self.legend = own
        if self.view_state.view in ("difference", "uncertainty") and shown:
            everything = np.concatenate([self._values(made) for made, _ in shown])
            self.legend = generated_legend(self.view_state, everything)
        told = ""
        for made, layer in shown:
            self._show(layer, self.view_state.view not in ("measured", *EFFECT_VIEWS))
            if layer.visible:
                view, kind = self.view_state.view, self._kind(made)
                name = f"generated · {described(view, made, kind)} · {made.snapshot.label}"
                if layer.name != name:
                    layer.name = name
                self.paint_cells(layer)
                refresh_thumbnail(layer)
                told = told or f"Outlined · {caption(view, made, kind)}"
        self.told = told
        self.outline_generated()

    def _covering(self, opened: Opened) -> dict[str, NDArray[np.int64]]:
        """Return the cells of a section in whose place generated ones are seen, by run.

        They are hidden then: smoothed edges of what lies beneath would show around the others.
        """
        found: dict[str, NDArray[np.int64]] = {}
        if self.view_state.view in ("measured", *EFFECT_VIEWS):
            return found
        for made, layer in self.scene.generated():
            about = layer.metadata[layers.META]
            if layer in self._hidden or about[layers.BESIDE]:
                continue
            if made.snapshot.section is opened.section:
                found[about[layers.RUN]] = made.cells[made.cells >= 0]
        return found

    def begin(self, label: str) -> None:
        """Show that the cells of a run are to be generated: hide measured ones, outline them."""
        layer, opened = self.scene.cells().get(label), self.scene.session.state.sections.get(label)
        if layer is not None and opened is not None:
            self._paint_section(layer, opened, self.section_legend)
        for _, generated in self.scene.generated():
            self._follow(generated)
        self.outline_generated()

    def outline_generated(self) -> None:
        """Outline what is generated, and say what is shown of it."""
        view, wanted = self.view_state.view, []
        for _, layer in self.scene.generated() if view not in EFFECT_VIEWS else ():
            area, made = layer.metadata[layers.META][layers.OUTLINE], self.cells_of(layer)
            if area is not None:
                text = caption(view, made, self._kind(made)) if layer.visible else ""
                wanted.append(Outlined(area, layer, text))
        self._outlines.show(wanted)

    def _paint_effects(self) -> None:
        shown, view = list(self.scene.effects()), self.view_state
        # An effect outlines the cells that were edited; rings would cover niches and labels.
        covered = bool(shown) and view.view in EFFECT_VIEWS
        self._cover_rings(covered or view.of_run is not None)
        if view.view == "delta" and view.gene is not None and shown:
            self.legend = delta_legend(view, [effect for effect, _ in shown])
        for effect, layer in shown:
            self._show(layer, view.view in EFFECT_VIEWS)
            if layer.visible:
                self._paint_effect(effect, layer)

    def _paint_effect(self, effect: Effect, layer: Points) -> None:
        rgba = effect_rgba(effect, self.view_state, self.legend.colors)
        self._color(layer, rgba)
        _color_rims(layer, effect, rgba)
        refresh_thumbnail(layer)

    def _show(self, layer: Points, show: bool) -> None:
        """Show or hide a layer as the view asks for, but never one that a user has hidden."""
        self._follow(layer)
        before, self._showing = self._showing, True
        try:
            layer.visible = show and layer not in self._hidden
        finally:
            self._showing = before

    def _follow(self, layer: Points) -> None:
        if layer not in self._followed:
            self._followed.add(layer)
            layer.events.visible.connect(self._on_eye)

    def _on_eye(self, event: Any) -> None:
        """Show the measured cells in whose place a layer was that a user hides, and back."""
        layer = event.source
        if self._showing or layer not in self.scene.viewer.layers:
            return
        (self._hidden.discard if layer.visible else self._hidden.add)(layer)
        for made, one in self.scene.generated():
            if one is layer and layer.visible:
                self.paint_cells(layer)
            if one is layer:
                self.begin(made.snapshot.label)
        for effect, one in self.scene.effects():
            if one is layer and layer.visible:
                self._paint_effect(effect, layer)

    def _cover_rings(self, cover: bool) -> None:
        """Hide the rings of cells to edit, or show them again unless a user has hidden them."""
        rings = self.scene.marked()
        if rings is None:
            return
        if cover and rings.visible and self._covered is not rings:
            rings.visible, self._covered = False, rings
        elif not cover and self._covered is rings:
            rings.visible, self._covered = True, None

    def _color(self, layer: Points, rgba: NDArray[np.float32]) -> None:
        self.drawing.rasterized.color(layer, rgba)

    def _kind(self, made: GeneratedCells) -> Kind:
        opened = self.scene.session.state.sections.get(made.snapshot.label)
        return shown_kind(self.view_state, made, opened, self.normalization, self.preview)

    def _values(self, made: GeneratedCells) -> NDArray[np.float32]:
        opened = self.scene.session.state.sections.get(made.snapshot.label)
        return generated_values(self.view_state, made, opened, self.normalization)


def _color_rims(layer: Points, effect: Effect, rgba: NDArray[np.float32]) -> None:
    """Give the cells around an edit rims of their own colours; those of edited cells stay.

    Seen from afar, cells are drawn larger than they are, and then with a rim even where its width
    is zero: all would have the colour of the edit.
    """
    rims = layer.border_color.copy()
    rims[: effect.n_around] = rgba[: effect.n_around]
    layer.border_color = rims
