"""Draws regions and names them."""

from __future__ import annotations

from qtpy.QtWidgets import QLineEdit

from napari_gest.app.runs.labels import region_labels
from napari_gest.canvas.named_regions import draw_named, named_regions, recolor, set_name
from napari_gest.canvas.shapes import NAMED
from napari_gest.errors import GestError
from napari_gest.widgets.common.controls import Panel, Segments, allow, button, note, row
from napari_gest.widgets.context import Context
from napari_gest.widgets.regions.region_panel import TIPS, TOOLS


class NameTools(Panel):
    """A name, the tools to draw regions of that name, and what was drawn so far.

    Attributes
    ----------
    section
        Label of the section that the regions are drawn on.
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.section: str | None = None
        self.name = QLineEdit()
        self.name.setPlaceholderText("Name of the next region, such as cortex")
        self.name.setAccessibleName("Name of the region")
        self.name.textChanged.connect(self._rename)
        self.tools = Segments(TOOLS)
        self.tools.picked.connect(self.draw)
        for tool, tip in TIPS.items():
            self.tools.option(tool).setToolTip(tip)
        self.clear = button("Clear", self._clear)
        self.drawn = note(name="gestFacts")
        self.column.addWidget(self.name)
        self.column.addWidget(self.tools)
        self.column.addLayout(row(self.drawn, self.clear, stretch=0))

    @property
    def count(self) -> int:
        """Shapes drawn."""
        layer = self.context.scene.region(NAMED)
        return 0 if layer is None else len(layer.data)

    def draw(self, tool: str) -> None:
        """Get ready to draw regions of the name typed."""
        draw_named(self.context.scene, tool, self.name.text().strip())

    def refresh(self) -> None:
        """Say what was drawn so far."""
        allow(self.clear, None if self.count else "Nothing is drawn yet.", "Remove the regions")
        named = bool(self.name.text().strip())
        for tool, tip in TIPS.items():
            allow(self.tools.option(tool), None if named else "Type a name first.", tip)
        self.drawn.setText(self._drawn_text())
        layer = self.context.scene.region(NAMED)
        if layer is not None:
            recolor(layer)

    def _drawn_text(self) -> str:
        cells = self.context.scene.cells().get(self.section or "")
        if cells is None or not self.count:
            return "Type a name, choose a tool, draw; then the next name."
        try:
            regions = named_regions(self.context.scene, cells)
        except GestError as error:
            return f"{error.cause} {error.remedy}"
        opened = self.context.session.sections[self.section]
        labels = region_labels(regions, opened.section.coords_um)
        names = dict.fromkeys(region.name for region in regions)
        return " · ".join(f"{name}: {(labels == name).sum():,} cells" for name in names)

    def _rename(self, text: str) -> None:
        layer = self.context.scene.region(NAMED)
        if layer is not None and text.strip():
            set_name(layer, text.strip())
        self.refresh()

    def _clear(self) -> None:
        layer = self.context.scene.region(NAMED)
        if layer is not None:
            layer.selected_data = set(range(len(layer.data)))
            layer.remove_selected()
