"""Puts a Look on the layers: one colour assignment a layer, and only where colours change."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Points
from numpy.typing import NDArray
from psygnal import Signal

from napari_gest.app.colors import Scale
from napari_gest.app.runs.effect import EFFECT_VIEWS, delta_legend, effect_rgba
from napari_gest.app.runs.generated_cells import Trial
from napari_gest.app.session import Opened
from napari_gest.app.view_state import (
    Legend,
    Normalization,
    ViewState,
    scene_legend,
    section_rgba,
    trial_legend,
    trial_preview_rgba,
    trial_rgba,
    trial_values,
)
from napari_gest.canvas._napari_private.attributes import colors_event
from napari_gest.canvas._napari_private.partial_redraw import PartialRedraw
from napari_gest.canvas.scene import Scene

# The second cue, besides colour, that a cell was generated.
_OUTLINE = np.array([0.88, 0.9, 0.93, 1.0], np.float32)
_OWN = 0.5  # share of a cell's own colour in its outline: of small cells little else is seen
_OUTLINE_WAITING = np.array([0.36, 0.39, 0.44, 1.0], np.float32)
_DIMMED = 0.22  # opacity of the tissue around a difference or an uncertainty
_DIMMING = ("difference", "uncertainty", "delta")


class Painter:
    """Keeps layers and legend in step with a Look.

    ``changed`` follows every repaint, ``trial_painted`` each time cells of a run were painted.
    """

    changed = Signal()
    trial_painted = Signal()

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.drawing = PartialRedraw.of(scene.viewer)
        self.view_state = ViewState()
        self.space = Normalization()
        self.legend = Legend("")
        self._painted: dict[Points, Any] = {}
        scene.changed.connect(self.repaint)
        scene.session.changed.connect(self._on_kept)

    def detach(self) -> None:
        """Follow the viewer no more."""
        self.scene.changed.disconnect(self.repaint)
        self.scene.session.changed.disconnect(self._on_kept)
        self.drawing.release()

    def show(self, **changes: Any) -> None:
        """Change fields of the Look and repaint what that changes.

        What is shown is one of gene, column and preview: a new one takes the place of the others.
        """
        sources = ("gene", "column", "preview")
        if any(changes.get(source) is not None for source in sources):
            changes = dict.fromkeys(sources) | changes
        if changes.get("preview") is not None and self.view_state.limits_field != "value_limits":
            changes = {"view": "generated"} | changes
        view_state = replace(self.view_state, **changes)
        if view_state.gene is None and view_state.view in EFFECT_VIEWS:  # effects are on genes
            view_state = replace(view_state, view="measured")
        if view_state != self.view_state:
            self.view_state = view_state
            self.repaint()

    def set_space(self, space: Normalization) -> None:
        """Show values in another model's space."""
        if space != self.space:
            self.space = space
            self.view_state = replace(self.view_state, value_limits=None)
            self.repaint()

    def repaint(self) -> None:
        """Bring all layers up to date."""
        opened = self.scene.active
        cells = self.scene.cells()
        self._painted = {k: v for k, v in self._painted.items() if k in self.scene.viewer.layers}
        if opened is None:
            self.legend = Legend("")
            self.changed.emit()
            return
        sections = self.scene.session.sections
        own = scene_legend(self.view_state, opened, sections.values(), self.space)
        for label, layer in cells.items():
            self._paint_section(layer, sections[label], own)
        self._paint_trials(own)
        self._paint_effects()
        self.changed.emit()

    def paint_trial(self, trial: Trial) -> None:
        """Bring one layer of generated cells up to date, while it is being filled.

        Its thumbnail waits: with a new one napari draws the list of layers anew.
        """
        layer = self.scene.layer_of(trial)
        if layer is None:
            return
        if self.view_state.preview is not None:
            rgba = trial_preview_rgba(self.view_state, trial, self.legend)
        else:
            scale = self.legend.colors if isinstance(self.legend.colors, Scale) else None
            rgba = trial_rgba(trial, self._values(trial), scale)
        self._color(layer, rgba)
        border = np.tile(_OUTLINE_WAITING, (len(rgba), 1))
        border[trial.filled] = _OWN * rgba[trial.filled] + (1 - _OWN) * _OUTLINE
        again = layer.events.border_color
        sent = colors_event(self.scene.viewer, layer, "border")
        with contextlib.nullcontext() if sent is None else again.blocker():
            layer.border_color = border
        self.trial_painted.emit()

    def _on_kept(self, changed: frozenset[str]) -> None:
        """Paint a column anew whose values or colours a kept result has changed."""
        column = self.view_state.column
        if column is not None and not changed.isdisjoint({column, f"{column}_colors"}):
            self._painted.clear()
            self.repaint()

    def _paint_section(self, layer: Points, opened: Opened, legend: Legend) -> None:
        opacity = _DIMMED if self.view_state.view in _DIMMING else 1.0
        if layer.opacity != opacity:  # napari draws its thumbnail anew, changed or not
            layer.opacity = opacity
        scale = legend.colors if isinstance(legend.colors, Scale) else None
        view_state = self.view_state
        state = (
            view_state.gene,
            view_state.column,
            view_state.preview,
            view_state.hidden,
            self.space,
            scale,
        )
        if self._painted.get(layer) != state:
            self._color(layer, section_rgba(self.view_state, opened, legend, self.space))
            _refresh_thumbnail(layer)
            self._painted[layer] = state

    def _paint_trials(self, own: Legend) -> None:
        trials = list(self.scene.trials())
        self.legend = own
        if self.view_state.view in ("difference", "uncertainty") and trials:
            everything = np.concatenate([self._values(trial) for trial, _ in trials])
            self.legend = trial_legend(self.view_state, everything)
        for trial, layer in trials:
            layer.visible = self.view_state.view not in ("measured", *EFFECT_VIEWS)
            if layer.visible:
                self.paint_trial(trial)
                _refresh_thumbnail(layer)

    def _paint_effects(self) -> None:
        shown = list(self.scene.effects())
        rings = self.scene.marked()
        if rings is not None:  # an effect outlines the cells that were edited
            rings.visible = not shown or self.view_state.view not in EFFECT_VIEWS
        if self.view_state.view == "delta" and self.view_state.gene is not None and shown:
            self.legend = delta_legend(self.view_state, [effect for effect, _ in shown])
        for effect, layer in shown:
            layer.visible = self.view_state.view in EFFECT_VIEWS
            if layer.visible:
                self._color(layer, effect_rgba(effect, self.view_state, self.legend.colors))
                _refresh_thumbnail(layer)

    def _color(self, layer: Points, rgba: NDArray[np.float32]) -> None:
        self.drawing.rasterized.color(layer, rgba)

    def _values(self, trial: Trial) -> NDArray[np.float32]:
        opened = self.scene.session.sections.get(trial.snapshot.label)
        return trial_values(self.view_state, trial, opened, self.space)


def _refresh_thumbnail(layer: Points) -> None:
    layer.refresh(data_displayed=False, highlight=False, extent=False)
