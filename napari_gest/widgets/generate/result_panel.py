"""What became of a run: views, draws, agreement, keep or discard, save, the same in Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QCheckBox

from napari_gest.app.actions import ChangeView, Discard, Keep
from napari_gest.app.from_file import KEEPS, WHY_NOT, is_from_file
from napari_gest.app.generated_view import NO_DRAWS, NO_MEAN, shown_view
from napari_gest.app.runs.base import RunEntry, is_closed, why_stale
from napari_gest.app.runs.generated_cells import GeneratedCells
from napari_gest.app.script import Script
from napari_gest.widgets.color.legend import LegendView
from napari_gest.widgets.common.controls import Panel, Segments, allow, button, note, rich, row
from napari_gest.widgets.common.saving import choose_file, save_opened
from napari_gest.widgets.context import Context
from napari_gest.widgets.generate.draws_panel import DrawsPanel

if TYPE_CHECKING:
    from napari_gest.tasks.generation.generate import Agreement

_VIEWS = {
    "generated": "Typical",
    "expected": "Expected",
    "uncertainty": "Uncertainty",
    "difference": "Difference",
    "measured": "Measured",
}
_TIPS = {
    "generated": "Cells as varied as tissue: each was measured elsewhere in this section",
    "expected": "The mean at each place; smoother than tissue",
    "uncertainty": "How far cells can be from the mean",
    "difference": "Expected minus measured",
    "measured": "What was measured there",
}
_OWN_SCALE = ("uncertainty", "difference")  # views of other numbers than expression
_NOTHING = "There is no result."


class ResultPanel(Panel):
    """Shows the run that is looked at and what can be done with it."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.views = Segments(_VIEWS)
        self.views.picked.connect(lambda view: context.do(ChangeView.of(view=view), self))
        self.entropy = QCheckBox("of the meta cell (entropy), not of the gene")
        self.entropy.toggled.connect(lambda on: context.do(ChangeView.of(entropy=on), self))
        self.legend = LegendView()  # that of the colours is in step 2, out of sight
        self.agreement = note(name="gestFacts")
        self.agreement.setTextFormat(Qt.TextFormat.RichText)  # of numbers; other text is escaped
        self.keep_button = button("Keep", self.keep, primary=True)
        self.discard_button = button("Discard", self.discard)
        self.draws = DrawsPanel(context)
        self.save_button = button("Save…", self._choose_file)
        self.copy_button = button("Copy as Python", self.copy)
        for widget in (self.views, self.entropy, self.legend, self.draws, self.agreement):
            self.column.addWidget(widget)
        self.column.addLayout(row(self.keep_button, self.discard_button))
        self.column.addLayout(row(self.save_button, self.copy_button))

    @property
    def entry(self) -> RunEntry | None:
        """The run that is looked at."""
        return self.context.state.shown_run("generation")

    def keep(self) -> None:
        """Write the draw that is shown into the AnnData (never into X)."""
        self.draws.stop()  # it is the one that is seen
        if self.entry is not None and not self._is_kept(self.entry):
            self.context.do(Keep(id=self.entry.id), self)

    def discard(self) -> None:
        """Take the result off the canvas, and out of the AnnData where it was kept."""
        if self.entry is not None:
            self.context.do(Discard(id=self.entry.id), self)

    def copy(self) -> None:
        """Put the public function calls that give the same result on the clipboard."""
        if self.entry is not None:
            script = Script()
            self.entry.outcome.add_to(script, self.entry.outcome.number)
            QGuiApplication.clipboard().setText(script.text("generated"))

    def save(self, path: Path, overwrite: bool = False) -> None:
        """Write the section's file with all that was kept, in the background."""
        save_opened(self.context, self, self.context.opened, path, overwrite)

    def refresh(self) -> None:
        """Enable what is possible now."""
        context, state, entry = self.context, self.context.state, self.entry
        view = state.view
        on_canvas = [made for made, _ in context.scene.generated()]
        self.setVisible(entry is not None or bool(on_canvas))
        own = entry.outcome.cells if entry is not None else next(iter(on_canvas), None)
        self.views.set_current(view.view if own is None else shown_view(view.view, own))
        for option, why_not in self._why_no_view(own, any(m.has_truth for m in on_canvas)).items():
            allow(self.views.option(option), why_not, _TIPS[option])
        self.draws.refresh()
        self.entropy.setVisible(view.view == "uncertainty")
        with QSignalBlocker(self.entropy):
            self.entropy.setChecked(view.entropy)
        own_scale = view.view in _OWN_SCALE and bool(on_canvas)
        self.legend.setVisible(own_scale)
        if own_scale:
            self.legend.show_legend(context.painter.legend, view.hidden)
        running = "Wait until the run has ended." if context.jobs.busy else None
        nothing = running or (None if entry is not None else _NOTHING)
        kept = entry is not None and self._is_kept(entry)
        stale = None if entry is None else why_stale(entry, state)
        closed = stale if entry is not None and is_closed(entry, state) else None
        already = "This draw is kept already." if kept else None
        allow(
            self.keep_button, nothing or closed or already, "Write the cells into the open tissue"
        )
        in_file = KEEPS if entry is not None and is_from_file(entry) else None
        allow(
            self.discard_button, nothing or in_file, "Remove the cells, also where they were kept"
        )
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

    def _is_kept(self, entry: RunEntry) -> bool:
        """Tell whether the draw that is shown of a run is kept."""
        draw = getattr(entry.outcome, "kept_draw", None)
        return entry.id in self.context.state.kept and (
            draw is None or draw.number == entry.outcome.number
        )

    def _why_no_view(self, made: GeneratedCells | None, measured: bool) -> dict[str, str | None]:
        """Return why each view cannot be shown, or None where it can."""
        view = self.context.state.view
        no_gene = "Colour by a gene (step 2): names have no such view."
        no_gene = None if view.gene is not None else no_gene
        return {
            "generated": None if made is None or made.draws else NO_DRAWS,
            "expected": None if made is None or made.has_expected else NO_MEAN,
            "uncertainty": None if view.entropy else no_gene,
            "difference": no_gene or (None if measured else "These cells were not measured."),
            "measured": None,
        }

    def _facts(self, entry: RunEntry | None, kept: bool, stale: str | None) -> str:
        if entry is None:
            return ""
        text = agreement_text(entry.outcome.agreement, entry.run.snapshot.section.unit)
        about = [rich(stale)] if stale is not None else []
        if kept:
            about.append("Kept in the open tissue; save it to a file.")
        elif entry.id in self.context.state.kept:
            about.append(f"Draw {entry.outcome.kept_draw.number} is kept.")
        return "<br>".join([*([text] if text else []), *about])

    def _choose_file(self) -> None:
        path = choose_file(self, "Save tissue", self.context.opened, "_generated.h5ad",
                           "AnnData (*.h5ad *.zarr)")  # fmt: skip
        if path is not None:
            # The dialog has asked before it lets an existing file be chosen.
            self.save(path, overwrite=True)


def agreement_text(agreement: Agreement | None, unit: str) -> str:
    """Return agreement with the measured cells in words, beside the simple baseline."""
    if agreement is None:
        return ""
    names = {"rmse_z": "RMSE&nbsp;z", "pearson": "Pearson", "spearman": "Spearman"}
    rows = {"expected": agreement, "60&nbsp;neighbours": agreement.neighbours}
    head = "".join(f"<td align=right>&nbsp;&nbsp;{name}</td>" for name in names.values())
    body = "".join(
        f"<tr><td>{who}</td>"
        + "".join(f"<td align=right>&nbsp;&nbsp;{getattr(one, name):.3f}</td>" for name in names)
        + "</tr>"
        for who, one in rows.items()
    )
    return (
        f"Agreement with {agreement.n_cells:,} measured {unit}s"
        f"<table cellspacing=0><tr><td></td>{head}</tr>{body}</table>"
    )
