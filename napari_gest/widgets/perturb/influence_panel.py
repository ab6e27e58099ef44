"""Click a cell: which of the measured cells around it drove what the model says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QPushButton

from napari_gest.app.colors import is_categorical
from napari_gest.app.session import Opened
from napari_gest.app.wording import influence_text
from napari_gest.canvas.jobs import Job
from napari_gest.canvas.picking import CellPicker, hide_drivers, show_drivers
from napari_gest.tasks.progress import Progress
from napari_gest.widgets.color.color_panel import columns, likely_column
from napari_gest.widgets.common.controls import Panel, allow, note, reveal
from napari_gest.widgets.context import Context
from napari_gest.widgets.model.model_panel import problem

if TYPE_CHECKING:
    from napari_gest.tasks.perturbation.influence import Influence
    from napari_gest.tasks.perturbation.neighborhood_context import Around

_SETTLE_MS = 60  # until the layout has grown
_HELP = "Click a cell on the canvas. Each cell around it is left out in turn."


class InfluencePanel(Panel):
    """Asks which neighbours drove the prediction of a cell, and circles them."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.pointer = CellPicker(context.scene, self.ask)
        self.drove: Influence | None = None
        self._around: Around | None = None
        self._settled = QTimer(self, singleShot=True, interval=_SETTLE_MS)
        self._settled.timeout.connect(lambda: reveal(self))
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
        section, model = context.scene.active.section, context.model
        known, seed = self._around, context.choices.seed  # the worker looks at no panel
        if context.jobs.busy or model is None:
            return

        def work() -> Any:
            yield Progress("Loading the model", 0, 1)
            from napari_gest.tasks.perturbation.influence import InfluenceRequest
            from napari_gest.tasks.perturbation.neighborhood_context import Around
            from napari_gest.tasks.threads import share_processors

            share_processors()
            loaded, around = context.registry.load(model.name), known
            if around is None or (around.section, around.model) != (section, loaded):
                around = Around(section, loaded)
            drove = yield from InfluenceRequest(
                section, loaded, cell, seed=seed, around=around
            ).run()
            return around, drove

        job = Job(
            work,
            on_tick=lambda tick: self._say(f"{tick.progress.stage}…"),
            on_done=self._show,
            on_error=lambda error: context.report(self, error),
        )
        context.jobs.start(job)

    def refresh(self) -> None:
        """Enable what is possible now."""
        opened = self.context.scene.active
        around = self._around
        if around is not None and (opened is None or opened.section is not around.section):
            self._around = None
        why_not = "Open tissue first (step 1)."
        if opened is not None:
            why_not = problem(self.context.model, opened.section.genes)
        allow(self.toggle, why_not, "Then click a cell on the canvas")
        if why_not is not None:
            self.toggle.setChecked(False)
        self.text.setVisible(self.toggle.isChecked())

    def _toggled(self, on: bool) -> None:
        if on:
            self.pointer.start()
            self._say(_HELP)
        else:
            self.pointer.stop()
            hide_drivers(self.context.scene)
            self.drove = None
        self.text.setVisible(on)

    def _show(self, found: tuple[Around, Influence]) -> None:
        around, drove = found
        opened = self.context.scene.active
        if opened is None or opened.section is not around.section or not self.toggle.isChecked():
            return
        self._around, self.drove = around, drove
        show_drivers(self.context.scene, drove)
        self._say(influence_text(drove, opened.section.obs_names, cell_types(opened)))
        self._settled.start()

    def _say(self, text: str) -> None:
        self.text.setText(text)


def cell_types(opened: Opened) -> list[str | None] | None:
    """Return (n_obs,) cell types of the obs column that looks like them; None if none does."""
    named = [c for c in columns(opened) if is_categorical(opened.obs_values(c))]
    column = likely_column(named)
    if column is None:
        return None
    values = opened.obs_values(column)
    return [str(v) if known else None for v, known in zip(values, values.notna(), strict=True)]
