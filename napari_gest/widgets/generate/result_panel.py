"""What became of a run: views, agreement, keep or discard, save, the same in Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QCheckBox

from napari_gest.app.actions import ChangeView, Choose, Discard, Keep
from napari_gest.app.from_file import WHY_NOT, is_from_file
from napari_gest.app.runs.base import RunEntry, is_closed, why_stale
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.widgets.common.controls import Panel, Segments, allow, button, note, rich, row
from napari_gest.widgets.common.saving import choose_file, save_opened
from napari_gest.widgets.context import Context

if TYPE_CHECKING:
    from napari_gest.tasks.generation.generate import Agreement

_VIEWS = {
    "measured": "Measured",
    "generated": "Generated",
    "difference": "Difference",
    "uncertainty": "Uncertainty",
}
_NOTHING = "There is no result."


class ResultPanel(Panel):
    """Shows the run that is looked at and what can be done with it."""

    def __init__(self, context: Context, start_run: Callable[[GenerationRun], None]) -> None:
        super().__init__()
        self.context = context
        self._start_run = start_run
        self.views = Segments(_VIEWS)
        self.views.picked.connect(lambda view: context.do(ChangeView.of(view=view), self))
        self.entropy = QCheckBox("of the meta cell (entropy), not of the gene")
        self.entropy.toggled.connect(lambda on: context.do(ChangeView.of(entropy=on), self))
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

    @property
    def entry(self) -> RunEntry | None:
        """The run that is looked at."""
        return self.context.state.shown_run("generation")

    def keep(self) -> None:
        """Write the result into the AnnData (never into X) and leave it on the canvas."""
        if self.entry is not None and self.entry.id not in self.context.state.kept:
            self.context.do(Keep(id=self.entry.id), self)

    def discard(self) -> None:
        """Take the result off the canvas, and out of the AnnData where it was kept."""
        if self.entry is not None:
            self.context.do(Discard(id=self.entry.id), self)

    def again(self) -> None:
        """Run the same once more with the next seed."""
        if self.entry is not None:
            seed = self.entry.run.seed + 1
            self.context.do(Choose.of(seed=seed), self)
            self._start_run(self.entry.run.restarted(seed))

    def copy(self) -> None:
        """Put the public function calls that give the same result on the clipboard."""
        if self.entry is not None:
            QGuiApplication.clipboard().setText(self.entry.run.script())

    def save(self, path: Path, overwrite: bool = False) -> None:
        """Write the section's file with all that was kept, in the background."""
        save_opened(self.context, self, self.context.opened, path, overwrite)

    def refresh(self) -> None:
        """Enable what is possible now."""
        context, state, entry = self.context, self.context.state, self.entry
        view = state.view
        on_canvas = [made for made, _ in context.scene.generated()]
        self.setVisible(entry is not None or bool(on_canvas))
        self.views.set_current(view.view)
        why_not = None if any(m.has_truth for m in on_canvas) else "These cells were not measured."
        if view.gene is None:
            why_not = "Colour by a gene to see differences (step 2)."
        allow(self.views.option("difference"), why_not, "Generated minus measured")
        self.entropy.setVisible(view.view == "uncertainty")
        with QSignalBlocker(self.entropy):
            self.entropy.setChecked(view.entropy)
        running = "Wait until the run has ended." if context.jobs.busy else None
        nothing = running or (None if entry is not None else _NOTHING)
        kept = entry is not None and entry.id in state.kept
        stale = None if entry is None else why_stale(entry, state)
        closed = stale if entry is not None and is_closed(entry, state) else None
        already = "These cells are kept already." if kept else None
        allow(
            self.keep_button, nothing or closed or already, "Write the cells into the open tissue"
        )
        allow(self.discard_button, nothing, "Remove the cells, also where they were kept")
        allow(self.again_button, nothing or closed or self._same_again(), "Generate again with the"
              " next seed; this result stays in the list")  # fmt: skip
        script = None
        if entry is not None and is_from_file(entry):
            script = WHY_NOT
        elif entry is not None and entry.partial:
            script = "The run was cancelled; no code gives the same cells."
        allow(self.copy_button, nothing if entry is None else script, "Code that gives the same"
              " cells")  # fmt: skip
        opened = context.opened
        saveable = opened is not None and bool(opened.results)
        allow(self.save_button, running or (None if saveable else "Keep the cells first."),
              "Write an .h5ad or .zarr with what was kept")  # fmt: skip
        self.agreement.setText(self._facts(entry, kept, stale))
        self.agreement.setVisible(bool(self.agreement.text()))

    def _same_again(self) -> str | None:
        if self.entry is not None and is_from_file(self.entry):
            return WHY_NOT
        run = None if self.entry is None else self.entry.run
        if run is not None and run.mode != "sample" and run.unseen.any():
            return "Only the read-out 'Sampled' (step 4) varies with the seed."
        return None

    def _facts(self, entry: RunEntry | None, kept: bool, stale: str | None) -> str:
        if entry is None:
            return ""
        text = agreement_text(entry.outcome.agreement)
        about = [rich(stale)] if stale is not None else []
        if kept:
            about.append("Kept in the open tissue; save it to a file.")
        return "<br>".join([*([text] if text else []), *about])

    def _choose_file(self) -> None:
        path = choose_file(self, "Save tissue", self.context.opened, "_generated.h5ad",
                           "AnnData (*.h5ad *.zarr)")  # fmt: skip
        if path is not None:
            # The dialog has asked before it lets an existing file be chosen.
            self.save(path, overwrite=True)


def agreement_text(agreement: Agreement | None) -> str:
    """Return agreement with the measured cells in words, beside the simple baseline."""
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
