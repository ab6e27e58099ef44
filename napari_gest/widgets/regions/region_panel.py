"""Step 3: choose the cells to generate, by drawing or by an obs column."""

from __future__ import annotations

import numpy as np
from qtpy.QtWidgets import QComboBox

from napari_gest.app.actions import Choose, SetShapes
from napari_gest.app.obs_columns import masks
from napari_gest.app.opened import Opened
from napari_gest.app.regions import drawn_region
from napari_gest.app.runs.generation import unseen_cells
from napari_gest.app.wording import counted
from napari_gest.errors import GestError
from napari_gest.tissue.roi import Roi
from napari_gest.widgets.common.controls import Panel, Segments, allow, button, fill, note, row
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
_FAR = 5.0  # typical distances between cells from which a region lies off the tissue


class RegionPanel(Panel):
    """Draws regions and says how many cells they hold."""

    inputs = frozenset({"sections", "active", "shapes", "choices", "jobs"})

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.source = QComboBox()
        self.source.setAccessibleName("What marks the cells to generate")
        self.source.textActivated.connect(self._pick_source)
        self.tools = Segments(TOOLS)
        self.tools.picked.connect(lambda tool: context.scene.draw(tool))
        self.clear = button("Clear", self.clear_shapes, "Remove the shapes drawn")
        self.count = note(name="gestFacts")
        self.help = note(_HELP)
        for tool, tip in TIPS.items():
            self.tools.option(tool).setToolTip(tip)
        for widget in (self.help, self.source, self.tools):
            self.column.addWidget(widget)
        self.column.addLayout(row(self.count, self.clear, stretch=0))
        self.refresh()

    @property
    def is_ready(self) -> bool:
        """Whether there is something to generate on the section in use."""
        state = self.context.state
        return state.opened is not None and bool(state.region("unseen") or state.mask_key)

    def clear_shapes(self) -> None:
        """Remove the shapes drawn on the section in use; those on others stay."""
        state = self.context.state
        others = [s for s in state.shapes if s.role == "unseen" and s.section != state.active]
        self.context.do(SetShapes(role="unseen", shapes=tuple(others)), self)

    def refresh(self) -> None:
        """Show the choices for the section in use and count its cells again."""
        state, opened = self.context.state, self.context.opened
        self.setEnabled(opened is not None)
        keys = masks(opened) if opened is not None else []
        items = [_DRAWN, *(f"Column: {k}" for k in keys)]
        key = state.mask_key
        fill(self.source, items, _DRAWN if key is None else f"Column: {key}")
        self.source.setVisible(bool(keys))
        self.tools.setVisible(key is None)
        self.tools.set_current(self.context.scene.tool())
        self.clear.setVisible(key is None)
        drawn = bool(state.region("unseen"))
        allow(self.clear, None if drawn else "Nothing is drawn yet.", "Remove the shapes drawn")
        self.help.setVisible(not self.is_ready)
        self.count.setText(self._count_text(drawn))

    def _count_text(self, drawn: bool) -> str:
        state, opened = self.context.state, self.context.opened
        if opened is None:
            return ""
        if not drawn and state.mask_key is None:
            return "Choose a tool, then draw on the canvas."
        try:
            unseen, shapes = unseen_cells(state)
            roi = drawn_region(shapes) if shapes else None
        except GestError as error:
            return error.cause
        inside = int(unseen.sum())
        area = f" · {roi.area_um2 / 1e6:.3f} mm²" if roi is not None else ""
        if not inside and roi is not None:
            far = _off_tissue_um(roi, opened)
            if far:
                return (
                    f"The region lies {far:,.0f} µm off the tissue{area}. Move it to the tissue:"
                    " the model generates from what surrounds a region."
                )
            return f"No {opened.section.unit}s inside{area}: new ones will be placed."
        return f"{counted(inside, opened.section)} inside{area}"

    def _pick_source(self, text: str) -> None:
        key = None if text == _DRAWN else text.removeprefix("Column: ")
        self.context.do(Choose.of(mask_key=key), self)


def _off_tissue_um(roi: Roi, opened: Opened) -> float:
    """Return how far a region without cells is from the tissue, um; 0 where it is near."""
    outline = np.vstack(
        [
            np.asarray(part.exterior.coords)
            for part in getattr(roi.geometry, "geoms", [roi.geometry])
        ]
    )
    near = float(opened.tree.query(outline)[0].min())
    return near if near > _FAR * max(opened.spacing_um, 1e-9) else 0.0
