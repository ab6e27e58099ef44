"""The cells to edit: drawn as shapes, corrected with a brush."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QSpinBox

from napari_gest.app.actions import ChangeView, SetStrokes
from napari_gest.app.regions import Stroke, brushed_region
from napari_gest.app.view_state import EFFECT_VIEWS
from napari_gest.app.wording import counted
from napari_gest.canvas.brush import Brush
from napari_gest.errors import GestError, InputError
from napari_gest.tissue.roi import Roi
from napari_gest.widgets.common.controls import Panel, Segments, allow, button, note, row
from napari_gest.widgets.context import Context
from napari_gest.widgets.regions.region_panel import TIPS, TOOLS

_BRUSHES = {"add": "Brush +", "remove": "Brush −"}


class EditRegion(Panel):
    """Draws the region to edit and rings its cells."""

    inputs = frozenset({"sections", "active", "shapes", "strokes"})

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.brush = Brush(context.scene, self._preview, self._painted, self.rest)
        self.tools = Segments(TOOLS)
        for tool, tip in TIPS.items():
            self.tools.option(tool).setToolTip(tip)
        self.tools.picked.connect(self._draw)
        self.brushes = Segments(_BRUSHES)
        self.brushes.option("add").setToolTip("Drag over cells to add them to the region")
        self.brushes.option("remove").setToolTip("Drag over cells to take them out of the region")
        self.brushes.picked.connect(self._paint)
        self.size = QSpinBox()
        self.size.setAccessibleName("Radius of the brush")
        self.size.setRange(1, 1000)
        self.size.setValue(round(self.brush.radius_um))
        self.size.setSuffix(" µm")
        self.size.setFixedWidth(108)
        self.size.valueChanged.connect(lambda radius: setattr(self.brush, "radius_um", radius))
        self.clear = button("Clear", self.clear_all)
        self.count = note(name="gestFacts")
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.addWidget(self.tools)
        self.column.addLayout(row(self.brushes, self.size, stretch=0))
        self.column.addLayout(row(self.count, self.clear, stretch=0))
        self.refresh()

    @property
    def is_ready(self) -> bool:
        """Whether something was drawn or painted on the section in use."""
        state = self.context.state
        return bool(state.region("edited") or state.active_strokes())

    def roi(self) -> Roi:
        """Return the region, shapes and brush together.

        Raises
        ------
        InputError
            If there is none.
        """
        state = self.context.state
        return brushed_region(state.region("edited"), state.active_strokes())

    def cells(self) -> NDArray[np.bool_]:
        """Return (n_obs,) the cells inside; none where there is no region."""
        section = self.context.opened.section
        try:
            return self.roi().contains(section.coords_um)
        except InputError:
            return np.zeros(section.n_obs, bool)

    def clear_all(self) -> None:
        """Remove shapes and strokes from the section in use; those on others stay."""
        self.context.do(SetStrokes(strokes=self._others(), clear_shapes=True), self)

    def set_roi(self, roi: Roi) -> None:
        """Edit exactly this region, in place of what was drawn."""
        stroke = Stroke.of(self.context.state.active, "add", roi.geometry)
        self.context.do(SetStrokes(strokes=(*self._others(), stroke), clear_shapes=True), self)

    def rest(self) -> None:
        """Put tools and brush aside."""
        self.brush.stop()
        self.context.scene.put_aside("edited")
        self.brushes.set_current(None)
        self.tools.set_current(None)

    def refresh(self) -> None:
        """Ring the cells of the region, and say how many there are."""
        opened = self.context.opened
        self.setEnabled(opened is not None)
        if opened is None:
            self.rest()
        why_not = None if self.is_ready else "Nothing is drawn yet."
        allow(self.clear, why_not, "Remove shapes and strokes")
        self._count(self.context.state.active_strokes())

    def _others(self) -> tuple[Stroke, ...]:
        """Return the strokes on other sections than the one in use."""
        state = self.context.state
        return tuple(stroke for stroke in state.strokes if stroke.section != state.active)

    def _draw(self, tool: str) -> None:
        self.brush.stop()
        self.brushes.set_current(None)
        self.context.scene.draw(tool, "edited")
        self._show_rings()

    def _paint(self, mode: str) -> None:
        self.tools.set_current(None)
        self.brush.start(mode)
        self._show_rings()

    def _show_rings(self) -> None:
        """Show the rings where a view hides them; those of effects are left for it."""
        if self.context.state.view.view in EFFECT_VIEWS:
            self.context.do(ChangeView.of(view="measured"), self)
        rings = self.context.scene.marked()
        if rings is not None:
            rings.visible = True

    def _preview(self, stroke: Stroke) -> None:
        self._count((*self.context.state.active_strokes(), stroke))

    def _painted(self, stroke: Stroke) -> None:
        if not self.context.do(SetStrokes(strokes=(*self.context.state.strokes, stroke)), self):
            self.refresh()

    def _count(self, strokes: Sequence[Stroke]) -> None:
        """Ring and count the cells of the shapes after strokes of the brush."""
        scene, opened = self.context.scene, self.context.opened
        if opened is None:
            self.count.setText("")
            return
        section, shapes = opened.section, self.context.state.region("edited")
        if not shapes and not strokes:
            self.count.setText("Draw the region to edit on the canvas.")
            scene.mark(section.coords_um[:0])
            return
        try:
            roi = brushed_region(shapes, strokes)
        except GestError as error:
            self.count.setText(error.cause)
            scene.mark(section.coords_um[:0])
            return
        inside = roi.contains(section.coords_um)
        scene.mark(section.coords_um[inside])
        n = int(inside.sum())
        painted = f" · {len(strokes)} brushed" if strokes else ""
        self.count.setText(f"{counted(n, section)} inside · {roi.area_um2 / 1e6:.3f} mm²{painted}")
