"""Click a cell: which of the measured cells around it drove what the model says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QPushButton
from superqt.utils import qdebounced

from napari_gest.canvas.jobs import Job
from napari_gest.canvas.picking import CellPicker, hide_drivers, show_drivers
from napari_gest.tasks.progress import Progress
from napari_gest.widgets.common.controls import Panel, allow, note, reveal
from napari_gest.widgets.common.numbers import p_text
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
        self._say(influence_text(drove, opened.section.obs_names))
        self._reveal()

    @qdebounced(timeout=_SETTLE_MS)
    def _reveal(self) -> None:
        reveal(self)

    def _say(self, text: str) -> None:
        self.text.setText(text)


def influence_text(drove: Influence, names: Any) -> str:
    """Return in words what drove a cell, and whether removing the top cells confirms it."""
    top = np.argsort(-drove.influence, kind="stable")[:3]
    listed = ", ".join(f"{names[drove.neighbours[i]]} ({drove.distance_um[i]:.0f} µm)" for i in top)
    ordered = np.sort(drove.influence)[::-1]
    half = min(int(np.searchsorted(np.cumsum(ordered), ordered.sum() / 2)) + 1, len(ordered))
    times = drove.top_k / max(float(drove.random_k.mean()), 1e-12)
    return (
        f"{names[drove.cell]}: {half} of {len(drove.neighbours)} neighbours hold half of the"
        f" influence; most have {listed}. Without its top neighbours the prediction moves"
        f" {times:.1f} × as far as without random ones (p = {p_text(drove.fidelity_p)})."
    )
