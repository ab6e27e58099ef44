"""Draws regions and names them."""

from __future__ import annotations

from qtpy.QtWidgets import QLineEdit

from napari_gest.app.actions import SetShapes
from napari_gest.app.regions import Shape
from napari_gest.app.runs.labels import named_regions, region_labels
from napari_gest.app.wording import counted
from napari_gest.errors import GestError
from napari_gest.widgets.common.controls import Panel, Segments, allow, button, note, row
from napari_gest.widgets.context import Context
from napari_gest.widgets.regions.region_panel import TIPS, TOOLS


class NameTools(Panel):
    """A name, the tools to draw regions of that name, and what was drawn so far.

    Attributes
    ----------
    sections
        Labels of the sections that regions are learned from.
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.sections: tuple[str, ...] = ()
        self.name = QLineEdit()
        self.name.setPlaceholderText("Name of the next region, such as cortex")
        self.name.setAccessibleName("Name of the region")
        self.name.textChanged.connect(self._name_next)
        self.name.editingFinished.connect(self._rename_selected)
        self.tools = Segments(TOOLS)
        self.tools.picked.connect(self.draw)
        self.clear = button("Clear", self.clear_regions)
        self.drawn = note(name="gestFacts")
        self.column.addWidget(self.name)
        self.column.addWidget(self.tools)
        self.column.addLayout(row(self.drawn, self.clear, stretch=0))

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """The named regions on the sections that are learned from."""
        own = set(self.sections)
        return tuple(s for s in self.context.state.shapes if s.role == "named" and s.section in own)

    @property
    def count(self) -> int:
        """Shapes drawn."""
        return len(self.shapes)

    @property
    def why_not(self) -> str | None:
        """Why nothing can be learned from what is drawn, or None."""
        names = {shape.name for shape in self.shapes}
        if "" in names:
            return "A region has no name: select it on the canvas, then type one."
        return None if len(names) > 1 else "Draw regions of two names at least."

    def draw(self, tool: str) -> None:
        """Get ready to draw regions of the name typed."""
        self.context.scene.draw(tool, "named", self.name.text().strip())

    def clear_regions(self) -> None:
        """Remove the regions on the sections that are learned from; those on others stay."""
        own = set(self.sections)
        named = (s for s in self.context.state.shapes if s.role == "named")
        left = tuple(s for s in named if s.section not in own)
        self.context.do(SetShapes(role="named", shapes=left), self)

    def refresh(self) -> None:
        """Say what was drawn so far."""
        allow(self.clear, None if self.count else "Nothing is drawn yet.", "Remove the regions")
        self._allow_tools()
        self.drawn.setText(self._drawn_text())

    def _allow_tools(self) -> None:
        named = bool(self.name.text().strip())
        for tool, tip in TIPS.items():
            allow(self.tools.option(tool), None if named else "Type a name first.", tip)

    def _drawn_text(self) -> str:
        if not self.count:
            drawn = [s.section for s in self.context.state.shapes if s.role == "named"]
            if drawn:
                return f"The regions drawn lie on '{drawn[-1]}'. Tick it above to learn from them."
            return "Type a name, choose a tool, draw; then the next name."
        try:
            regions = named_regions(self.shapes)
        except GestError as error:
            return f"{error.cause} {error.remedy}"
        counts = dict.fromkeys((region.name for region in regions), 0)
        for label in self.sections:
            section = self.context.state.sections[label].section
            own = [region for region in regions if region.section == label]
            labels = region_labels(own, section.coords_um)
            for name in counts:
                counts[name] += int((labels == name).sum())
        return " · ".join(f"{name}: {counted(n, section)}" for name, n in counts.items())

    def _name_next(self, text: str) -> None:
        """Give the next region the name; one that is selected gets it once it is typed."""
        self.context.scene.regions.set_name(text.strip(), of_selected=False)
        self._allow_tools()

    def _rename_selected(self) -> None:
        self.context.scene.regions.set_name(self.name.text().strip())
