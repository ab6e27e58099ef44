"""Step 3: choose the cells to generate, by drawing or by an obs column."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from superqt.utils import qdebounced

from napari_gest.app.session import Opened
from napari_gest.canvas.shapes import to_roi
from napari_gest.errors import GestError
from napari_gest.tissue.roi import Roi, mask_from_obs
from napari_gest.widgets.common.controls import (
    Panel,
    Segments,
    allow,
    button,
    combo,
    fill,
    note,
    row,
)
from napari_gest.widgets.context import Context

_HELP = (
    "Draw around the cells to generate. Their measured expression is hidden from the model."
    " Around an empty spot, new cells are placed first."
)
_DRAWN = "Region drawn on the canvas"
TOOLS = {
    "add_polygon": "Polygon",
    "add_polygon_lasso": "Lasso",
    "add_rectangle": "Rectangle",
    "add_ellipse": "Ellipse",
}
TIPS = {
    "add_polygon": "Click the corners; double-click or press Esc to close it",
    "add_polygon_lasso": "Press, drag around the cells, release",
    "add_rectangle": "Press, drag, release",
    "add_ellipse": "Press, drag, release",
}
_WAIT_MS = 120


class RegionPanel(Panel):
    """Draws regions and says how many cells they hold."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.source = combo("What marks the cells to generate", self._pick_source)
        self.tools = Segments(TOOLS)
        self.tools.picked.connect(self._draw)
        self.clear = button("Clear", self._clear, "Remove the shapes drawn")
        self.count = note(name="gestFacts")
        self.help = note(_HELP)
        for tool, tip in TIPS.items():
            self.tools.option(tool).setToolTip(tip)
        for widget in (self.help, self.source, self.tools):
            self.column.addWidget(widget)
        self.column.addLayout(row(self.count, self.clear, stretch=0))
        self.refresh()

    def selection(self) -> tuple[NDArray[np.bool_], Roi | None]:
        """Return (n_obs,) bool which cells are to be generated, and the region if drawn.

        Raises
        ------
        InputError
            If nothing is drawn, or the column is no mask.
        """
        opened = self.context.scene.active
        key = self.context.choices.mask_key
        if key is not None:
            return mask_from_obs(opened.adata, key, opened.section.rows), None
        region = self.context.scene.region()
        roi = to_roi(region, self.context.scene.active_layer) if region is not None else None
        if roi is None:
            return np.zeros(opened.section.n_obs, bool), None
        return roi.contains(opened.section.coords_um), roi

    @property
    def is_ready(self) -> bool:
        """Whether there is something to generate."""
        region = self.context.scene.region()
        drawn = region is not None and len(region.data) > 0
        return self.context.scene.active is not None and (
            drawn or self.context.choices.mask_key is not None
        )

    def refresh(self) -> None:
        """Show the choices for the section in use and count again."""
        opened = self.context.scene.active
        self.setEnabled(opened is not None)
        keys = masks(opened) if opened is not None else []
        if self.context.choices.mask_key not in keys:
            self.context.choices.mask_key = None
        key = self.context.choices.mask_key
        items = [_DRAWN, *(f"Column: {k}" for k in keys)]
        fill(self.source, items, _DRAWN if key is None else f"Column: {key}")
        self.source.setVisible(bool(keys))
        self.tools.setVisible(key is None)
        self.clear.setVisible(key is None)
        self._show_count()

    def region_changed(self) -> None:
        """Count again, but not at every step of a drag."""
        self._recount()

    @qdebounced(timeout=_WAIT_MS)
    def _recount(self) -> None:
        self._show_count()
        self.context.chosen.emit()

    def _show_count(self) -> None:
        region = self.context.scene.region()
        drawn = region is not None and len(region.data) > 0
        allow(self.clear, None if drawn else "Nothing is drawn yet.", "Remove the shapes drawn")
        self.help.setVisible(not self.is_ready)
        self.count.setText(self._count_text(drawn))

    def _count_text(self, drawn: bool) -> str:
        if self.context.scene.active is None:
            return ""
        if not drawn and self.context.choices.mask_key is None:
            return "Choose a tool, then draw on the canvas."
        try:
            unseen, roi = self.selection()
        except GestError as error:
            return error.cause
        inside = int(unseen.sum())
        area = f" · {roi.area_um2 / 1e6:.3f} mm²" if roi is not None else ""
        if not inside and roi is not None:
            return f"No cells inside{area}: new ones will be placed."
        return f"{inside:,} cell{'s' if inside != 1 else ''} inside{area}"

    def _draw(self, tool: str) -> None:
        self.context.scene.draw(tool)

    def _clear(self) -> None:
        region = self.context.scene.region()
        if region is not None:
            region.selected_data = set(range(len(region.data)))
            region.remove_selected()

    def _pick_source(self, text: str) -> None:
        self.context.choices.mask_key = None if text == _DRAWN else text.removeprefix("Column: ")
        self.refresh()
        self.context.chosen.emit()


def masks(opened: Opened) -> list[str]:
    """Return the boolean obs columns that mark some but not all cells of a section."""
    found = []
    for key in opened.adata.obs:
        if pd.api.types.is_bool_dtype(opened.adata.obs[key]):
            values = opened.obs_values(str(key))
            if values.any() and not values.all():
                found.append(str(key))
    return found
