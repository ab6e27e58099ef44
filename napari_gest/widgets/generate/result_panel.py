"""What became of a run: views, agreement, keep or discard, save, the same in Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QCheckBox, QFileDialog

from napari_gest.app.runs.generated_cells import Trial
from napari_gest.app.runs.generation import Plan
from napari_gest.errors import InputError
from napari_gest.widgets.common.controls import Panel, Segments, allow, button, note, rich, row
from napari_gest.widgets.common.saving import save_opened
from napari_gest.widgets.context import Context

if TYPE_CHECKING:
    from napari_gest.tasks.generation.generate import Agreement

_VIEWS = {
    "measured": "Measured",
    "generated": "Generated",
    "difference": "Difference",
    "uncertainty": "Uncertainty",
}
_CLOSED = "The section of these cells was closed."


class ResultPanel(Panel):
    """Shows a finished run and what can be done with it."""

    def __init__(self, context: Context, start_plan: Callable[[Plan], None]) -> None:
        super().__init__()
        self.context = context
        self._start_plan = start_plan
        self.trial: Trial | None = None
        self.views = Segments(_VIEWS)
        self.views.picked.connect(self._pick_view)
        self.entropy = QCheckBox("of the meta cell (entropy), not of the gene")
        self.entropy.toggled.connect(lambda on: context.painter.show(entropy=on))
        self.agreement = note(name="gestFacts")
        self.agreement.setTextFormat(Qt.TextFormat.RichText)  # of numbers; other text is escaped
        self.keep_button = button("Keep", self.keep, primary=True)
        self.discard_button = button("Discard", self.discard)
        self.again_button = button("Another seed", self.again)
        self.save_button = button("Save…", self._choose_file)
        self.copy_button = button("Copy as Python", self.copy)
        for widget in (self.views, self.entropy, self.agreement):
            self.column.addWidget(widget)
        self.column.addLayout(row(self.keep_button, self.discard_button, self.again_button))
        self.column.addLayout(row(self.save_button, self.copy_button))

    def show_result(self, trial: Trial, agreement: Agreement | None) -> None:
        """Show a run that has just finished."""
        self.trial = trial
        self.agreement.setText(agreement_text(agreement))
        self.refresh()

    def keep(self) -> None:
        """Write the result into the AnnData (never into X) and leave it on the canvas."""
        trial = self._undecided()
        if trial is None:
            return
        if not self.context.session.commit(trial.snapshot, trial.result):
            self.discard()
            self.context.report(
                self,
                InputError(_CLOSED, "Open it and run again."),
            )
            return
        trial.kept = True
        self.context.painter.repaint()
        self.context.chosen.emit()

    def discard(self) -> None:
        """Take an undecided result off the canvas."""
        trial = self._undecided()
        if trial is not None:
            self.context.scene.remove_trial(trial)
            self.trial = None
            self.context.painter.show(view="measured")
            self.context.chosen.emit()

    def again(self) -> None:
        """Run the same once more with the next seed."""
        if self.trial is None:
            return
        plan = self.trial.plan
        if not self.context.session.is_open(plan.snapshot):
            self.context.report(self, InputError(_CLOSED, "Open it and run again."))
            return
        self.context.choices.seed = plan.seed + 1
        self._start_plan(plan.restarted(plan.seed + 1))

    def copy(self) -> None:
        """Put the public function calls that give the same result on the clipboard."""
        if self.trial is not None:
            QGuiApplication.clipboard().setText(self.trial.plan.script())

    def save(self, path: Path, overwrite: bool = False) -> None:
        """Write the section's file with all that was kept, in the background."""
        opened = self.context.scene.active
        save_opened(
            self.context,
            self,
            opened,
            path,
            overwrite,
            lambda told: self.agreement.setText(rich(told)),
        )

    def refresh(self) -> None:
        """Enable what is possible now."""
        if self.trial is not None and self.context.scene.layer_of(self.trial) is None:
            self.trial = None  # its layer was deleted
        view_state, busy = self.context.painter.view_state, self.context.jobs.busy
        trials = [trial for trial, _ in self.context.scene.trials()]
        self.setVisible(bool(trials))
        self.views.set_current(view_state.view)
        truth = any(trial.has_truth for trial in trials)
        why_not = None if truth else "These cells were not measured."
        if view_state.gene is None:
            why_not = "Colour by a gene to see differences (step 2)."
        allow(self.views.option("difference"), why_not, "Generated minus measured")
        self.entropy.setVisible(view_state.view == "uncertainty")
        self.entropy.setChecked(view_state.entropy)
        running = "Wait until the run has ended." if busy else None
        undecided = running or (None if self._undecided() else "There is nothing undecided.")
        allow(self.keep_button, undecided, "Write the cells into the open tissue")
        allow(self.discard_button, undecided, "Remove the cells")
        shown = running or (None if self.trial else "There is no result.")
        plan = self.trial.plan if self.trial is not None else None
        if plan is not None and plan.mode != "sample" and plan.unseen.any():
            shown = shown or "Only the read-out 'Sampled' (step 4) varies with the seed."
        if plan is not None and not self.context.session.is_open(plan.snapshot):
            shown = shown or _CLOSED
        allow(self.again_button, shown, "Generate again with the next seed")
        script = None if self.trial else "There is no result."
        if self.trial is not None and self.trial.cut_off:
            script = "The run was cancelled; no code gives the same cells."
        allow(self.copy_button, script, "Code that gives the same cells")
        opened = self.context.scene.active
        kept = opened is not None and bool(opened.results)
        allow(self.save_button, running or (None if kept else "Keep the cells first."),
              "Write an .h5ad or .zarr with what was kept")  # fmt: skip
        self.agreement.setVisible(bool(self.agreement.text()))

    def _undecided(self) -> Trial | None:
        trial = self.trial
        return trial if trial is not None and trial.result is not None and not trial.kept else None

    def _pick_view(self, view: str) -> None:
        self.context.painter.show(view=view)

    def _choose_file(self) -> None:
        opened = self.context.scene.active
        folder = opened.path.parent if opened.path is not None else Path.home()
        start = str(folder / f"{opened.label}_generated.h5ad")
        path, _ = QFileDialog.getSaveFileName(self, "Save tissue", start, "AnnData (*.h5ad *.zarr)")
        if path:
            # The dialog has asked before it lets an existing file be chosen.
            self.save(Path(path), overwrite=True)


def agreement_text(agreement: Agreement | None) -> str:
    """Return agreement with the measured cells in words, beside the simple floor."""
    if agreement is None:
        return ""
    names = {"rmse_z": "RMSE&nbsp;z", "pearson": "Pearson", "spearman": "Spearman"}
    rows = {"generated": agreement, "60&nbsp;neighbours": agreement.floor}
    head = "".join(f"<td align=right>&nbsp;&nbsp;{name}</td>" for name in names.values())
    body = "".join(
        f"<tr><td>{who}</td>"
        + "".join(f"<td align=right>&nbsp;&nbsp;{getattr(one, name):.3f}</td>" for name in names)
        + "</tr>"
        for who, one in rows.items()
    )
    return (
        f"Agreement with {agreement.n_cells:,} measured cells"
        f"<table cellspacing=0><tr><td></td>{head}</tr>{body}</table>"
    )
