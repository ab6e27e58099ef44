"""Click a cell: which of the measured cells around it drove what the model says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QPushButton
from superqt.utils import qdebounced

from napari_gest.app.obs_columns import label_columns, likely_column
from napari_gest.app.opened import Opened
from napari_gest.app.wording import influence_text
from napari_gest.canvas.picking import CellPicker, hide_drivers, show_drivers
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.obs import obs_column
from napari_gest.widgets.common.controls import Panel, allow, note, reveal
from napari_gest.widgets.context import Context

if TYPE_CHECKING:
    from napari_gest.tasks.perturbation.influence import Influence
    from napari_gest.tasks.perturbation.neighborhood_context import Around

_SETTLE_MS = 60  # until the layout has grown
_HELP = "Click a cell on the canvas. Each cell around it is left out in turn."


class InfluencePanel(Panel):
    """Asks which neighbours drove the prediction of a cell, and circles them."""

    inputs = frozenset({"sections", "active", "choices"})

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.pointer = CellPicker(context.scene, self.ask)
        self.drove: Influence | None = None
        self._around: Around | None = None  # what was read of the tissue serves the next clicks
        self.toggle = QPushButton("What drove a cell?", objectName="gestSegment")
        self.toggle.setCheckable(True)
        self.toggle.toggled.connect(self._toggled)
        self.text = note(name="gestFacts")
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.addWidget(self.toggle)
        self.column.addWidget(self.text)
        self.refresh()

    def ask(self, cell: int) -> None:
        """Leave out the neighbours of a cell of the active section one by one, and show them."""
        context = self.context
        why_not = context.why_not()
        if why_not is not None:
            self.text.setText(why_not)
            return
        # The worker looks at no panel and at no state: all it needs is taken now.
        section, model = context.opened.section, context.model.name
        known, choices, load = self._around, context.state.choices, context.registry.load

        def work() -> Any:
            yield Progress("Loading the model", 0, 1)
            from napari_gest.tasks.perturbation.influence import InfluenceRequest
            from napari_gest.tasks.perturbation.neighborhood_context import Around
            from napari_gest.tasks.threads import share_processors

            share_processors()
            loaded, around, device = load(model), known, choices.device
            asked = (section, loaded, device)
            if around is None or (around.section, around.source, around.device) != asked:
                around = Around(*asked)
            request = InfluenceRequest(section, loaded, cell, seed=choices.seed, around=around)
            return around, (yield from request.run())

        def done(found: tuple[Around, Influence]) -> None:
            context.job_bar.say("")
            self._show(*found)

        context.job_bar.start(work, done, owner=self)

    def refresh(self) -> None:
        """Enable what is possible now; what was found on a section goes when it does."""
        opened = self.context.opened
        around = self._around
        if around is not None and (opened is None or opened.section is not around.section):
            self._around = self.drove = None
            hide_drivers(self.context.scene)
            self.text.setText(_HELP)
        why_not = "Open tissue first (step 1)."
        if opened is not None:
            model = self.context.state.choices.model
            why_not = self.context.registry.why_unusable(model, opened.section.genes)
        allow(self.toggle, why_not, "Then click a cell on the canvas")
        if why_not is not None:
            self.toggle.setChecked(False)
        self.text.setVisible(self.toggle.isChecked())

    def _toggled(self, on: bool) -> None:
        if on:
            self.pointer.start()
            self.text.setText(_HELP)
        else:
            self.pointer.stop()
            hide_drivers(self.context.scene)
            self.drove = None
        self.text.setVisible(on)

    def _show(self, around: Around, drove: Influence) -> None:
        opened = self.context.opened
        if opened is None or opened.section is not around.section or not self.toggle.isChecked():
            return
        self._around, self.drove = around, drove
        show_drivers(self.context.scene, drove)
        types = cell_types(opened, [*map(int, drove.neighbours), int(drove.cell)])
        self.text.setText(influence_text(drove, opened.section.obs_names, types))
        self._reveal()

    @qdebounced(timeout=_SETTLE_MS)
    def _reveal(self) -> None:
        reveal(self)


def cell_types(opened: Opened, cells: list[int]) -> dict[int, str | None] | None:
    """Return the types of some cells, by the obs column that looks like it; None if none does."""
    column = likely_column(label_columns(opened))
    if column is None:
        return None
    values = obs_column(opened.adata, column, "Choose another column.", opened.section.rows[cells])
    known = zip(cells, values, values.notna(), strict=True)
    return {cell: str(value) if there else None for cell, value, there in known}
