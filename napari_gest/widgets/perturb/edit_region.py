"""The cells to edit: drawn as shapes, corrected with a brush."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QSpinBox
from superqt.utils import qdebounced

from napari_gest.app.session import Opened
from napari_gest.canvas.brush import Brush, Stroke, brushed
from napari_gest.canvas.shapes import EDITED, to_roi
from napari_gest.errors import GestError, InputError
from napari_gest.tissue.roi import Roi
from napari_gest.widgets.common.controls import Panel, Segments, allow, button, note, row
from napari_gest.widgets.context import Context
from napari_gest.widgets.regions.region_panel import TIPS, TOOLS

_BRUSHES = {"add": "Brush +", "remove": "Brush −"}
_WAIT_MS = 120


class EditRegion(Panel):
    """Draws the region to edit and rings its cells. ``changed`` follows every change of it."""

    changed = Signal()

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.brush = Brush(context.scene, self._recount)
        self.tools = Segments(TOOLS)
        for tool, tip in TIPS.items():
            self.tools.option(tool).setToolTip(tip)
        self.tools.picked.connect(self._draw)
        self.brushes = Segments(_BRUSHES)
        self.brushes.option("add").setToolTip("Drag over cells to edit them too")
        self.brushes.option("remove").setToolTip("Drag over cells to leave them as they are")
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
        self._section: Opened | None = None

    def roi(self) -> Roi:
        """Return the region, shapes and brush together.

        Raises
        ------
        InputError
            If there is none.
        """
        scene = self.context.scene
        region = scene.region(EDITED)
        drawn = None
        if region is not None and len(region.data):
            drawn = to_roi(region, scene.active_layer)
        return brushed(drawn, self.brush.strokes)

    def cells(self) -> NDArray[np.bool_]:
        """Return (n_obs,) the cells inside; none where there is no region."""
        section = self.context.scene.active.section
        try:
            return self.roi().contains(section.coords_um)
        except InputError:
            return np.zeros(section.n_obs, bool)

    @property
    def is_ready(self) -> bool:
        """Whether something was drawn or painted."""
        region = self.context.scene.region(EDITED)
        drawn = region is not None and len(region.data) > 0
        return self.context.scene.active is not None and (drawn or bool(self.brush.strokes))

    def clear_all(self) -> None:
        """Forget shapes and strokes."""
        region = self.context.scene.region(EDITED)
        if region is not None and len(region.data):
            region.selected_data = set(range(len(region.data)))
            region.remove_selected()
        self.brush.strokes = []
        self._recount()

    def set_roi(self, roi: Roi) -> None:
        """Edit exactly this region, in place of what was drawn."""
        self.clear_all()
        self.brush.strokes = [Stroke("add", roi.geometry)]
        self._recount()

    @qdebounced(timeout=_WAIT_MS)
    def _recount_soon(self) -> None:
        self._recount()

    def region_changed(self) -> None:
        """Count again, but not at every step of a drag."""
        self._recount_soon()

    def refresh(self) -> None:
        """Follow the section in use; strokes belong to the section they were painted on."""
        opened = self.context.scene.active
        self.setEnabled(opened is not None)
        if opened is not self._section:
            self._section = opened
            self.brush.stop()
            self.brush.strokes = []
        marked = self.context.scene.marked()
        if self.brush.mode is not None and (
            marked is None or self.context.viewer.layers.selection.active is not marked
        ):
            self.rest()
        self._recount()

    def rest(self) -> None:
        """Put tools and brush aside."""
        self.brush.stop()
        self.brushes.set_current(None)
        self.tools.set_current(None)

    def _draw(self, tool: str) -> None:
        self.brush.stop()
        self.brushes.set_current(None)
        self.context.scene.draw(tool, EDITED)
        self.context.painter.show(view="measured")

    def _paint(self, mode: str) -> None:
        self.tools.set_current(None)
        self.brush.start(mode)
        self.context.painter.show(view="measured")  # effects hide the rings

    def _recount(self) -> None:
        scene = self.context.scene
        allow(
            self.clear,
            None if self.is_ready else "Nothing is drawn yet.",
            "Forget shapes and strokes",
        )
        if scene.active is None:
            self.count.setText("")
            return
        if not self.is_ready:
            self.count.setText("Draw the region to edit on the canvas.")
            if scene.marked() is not None:
                scene.mark(scene.active.section.coords_um[:0])
        else:
            self._count()
        self.changed.emit()

    def _count(self) -> None:
        scene = self.context.scene
        section = scene.active.section
        try:
            roi = self.roi()
        except GestError as error:
            self.count.setText(error.cause)
            scene.mark(section.coords_um[:0])
            return
        inside = roi.contains(section.coords_um)
        scene.mark(section.coords_um[inside])
        n = int(inside.sum())
        painted = f" · {len(self.brush.strokes)} brushed" if self.brush.strokes else ""
        self.count.setText(
            f"{n:,} cell{'s' if n != 1 else ''} inside · {roi.area_um2 / 1e6:.3f} mm²{painted}"
        )
