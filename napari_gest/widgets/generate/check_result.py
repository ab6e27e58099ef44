"""What a check says: a verdict in words, the genes, and what to do next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QLineEdit, QPushButton

from napari_gest.app.actions import ChangeView, Choose, Keep, SetShapes
from napari_gest.app.runs.base import RunEntry, why_stale
from napari_gest.app.runs.check import believable
from napari_gest.files import write_table
from napari_gest.tasks.generation.check_report import CHECK_TABLE, Check
from napari_gest.widgets.common.controls import Fold, Panel, allow, button, note, row
from napari_gest.widgets.common.gene_table import Column, GeneTable
from napari_gest.widgets.common.saving import choose_file, save_now
from napari_gest.widgets.context import Context

# A symbol and words, so that colour says nothing alone.
_GRADES = {
    "well": "●  Useful here",
    "partly": "◐  Useful in part",
    "hardly": "○  Hardly useful here",
    "untold": "?  Not known here",
}
_COLUMNS = (
    Column("gene", "Gene"),
    Column(
        "expected_correlation",
        "Corr.",
        lambda v: f"{v:.2f}",
        "Expected correlation of generated with true expression over the cells of the region",
    ),
    Column(
        "gain",
        "Gain",
        lambda v: f"{v:+.2f}",
        "How much higher it is expected to be than that of the neighbours' mean",
    ),
    Column("p_gain", "P(gain)", lambda v: f"{v:.2f}", "Probability that there is a gain at all"),
    Column(
        "claim",
        "Claim",
        lambda v: "yes" if v else "none",
        "none: the patches are too small to say anything of this gene",
    ),
)
_ROWS = 8


class CheckResult(Panel):
    """Shows the check that is looked at. A gene that is clicked is shown on the canvas.

    Parameters
    ----------
    train
        Leads to where a model is trained.
    """

    def __init__(self, context: Context, train: Callable[[], None]) -> None:
        super().__init__()
        self.context = context
        self.grade = note(name="gestGrade")
        self.headline = note(name="gestTitle")
        self.reasons, self.stale = note(), note(name="gestFacts")
        self.train = button("Train on this tissue", train, "Go to training (step 4)")
        self.shrink_button = button("Shrink the region", self.shrink)
        self.only = QPushButton("Believable genes only")
        self.only.setObjectName("gestSegment")
        self.only.setCheckable(True)
        self.only.clicked.connect(lambda on: context.do(Choose.of(believable=bool(on)), self))
        self.search = QLineEdit()
        self.search.setPlaceholderText("Find a gene…")
        self.search.setClearButtonEnabled(True)
        self.genes = GeneTable(_COLUMNS, claimed="claim")
        self.genes.show_rows(_ROWS)
        self.genes.picked.connect(self.show_gene)
        self.search.textChanged.connect(self.genes.search)
        self.keep_button = button("Keep the check", self.keep)
        self.save_button = button("Export table…", self._choose_file, "Write all genes as csv")
        page = Panel()
        page.column.addWidget(self.search)
        page.column.addWidget(self.genes)
        self.fold = Fold("What is expected of each gene", page)
        self.fold.set_open(True)
        self.column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.grade, self.headline, self.reasons, self.stale):
            self.column.addWidget(widget)
        self.column.addLayout(row(self.train, self.shrink_button))
        self.column.addWidget(self.only)
        self.column.addWidget(self.fold)
        self.column.addLayout(row(self.keep_button, self.save_button))
        self._drawn: tuple[object, ...] | None = None

    @property
    def entry(self) -> RunEntry | None:
        """The check that is looked at, where it is of the section in use."""
        entry = self.context.state.shown_run("check")
        if entry is None or entry.run.generation.snapshot.label != self.context.state.active:
            return None
        return entry

    def show_gene(self, gene: str) -> None:
        """Colour the tissue by a gene."""
        self.context.do(ChangeView.of(gene=gene), self)

    def shrink(self) -> None:
        """Leave out of the region what is deeper than the gain reaches."""
        if self.entry is None or self._why_no_shrinking(self.entry) is not None:
            return
        label = self.entry.run.generation.snapshot.label
        others = tuple(
            s for s in self.context.state.shapes if s.role == "unseen" and s.section != label
        )
        shapes = (*others, *self.entry.outcome.shrunk)
        self.context.do(SetShapes(role="unseen", shapes=shapes), self)

    def keep(self) -> None:
        """Write the check into the open tissue, never into X."""
        if self.entry is not None and self.entry.id not in self.context.state.kept:
            self.context.do(Keep(id=self.entry.id), self)

    def save(self, path: Path, overwrite: bool = False) -> None:
        """Write the table of all genes as csv."""

        def write() -> None:
            table = self.entry.outcome.check.table
            write_table(table, path, CHECK_TABLE, index=True, overwrite=overwrite)

        save_now(self.context, self, path, write)

    def refresh(self) -> None:
        """Show the check that is looked at."""
        entry, state = self.entry, self.context.state
        self.setVisible(entry is not None)
        if entry is None:
            self._drawn = None
            return
        check: Check = entry.outcome.check
        self._grade(check)
        self.headline.setText(check.headline)
        self.reasons.setText(" ".join(check.reasons).replace(" um", " µm"))
        told = [why_stale(entry, state)]
        if told[0] is None and entry.outcome.beyond is not None:
            told.append("The line in the region shows how far the gain reaches.")
        if entry.id in state.kept:
            told.append("Kept in the open tissue; save it to a file.")
        self.stale.setText(" ".join(one for one in told if one))
        self.stale.setVisible(bool(self.stale.text()))
        allow(self.shrink_button, self._why_no_shrinking(entry), "Leave out what is deeper than"
              " the line on the tissue")  # fmt: skip
        wanted = believable(state)
        with QSignalBlocker(self.only):
            self.only.setChecked(wanted is not None)
        none = None if check.believable or wanted is not None else "There is none."
        allow(self.only, none, "List no other genes, here and in step 2")
        running = "Wait until the run has ended." if self.context.jobs.busy else None
        kept = "This check is kept already." if entry.id in state.kept else None
        allow(self.keep_button, running or kept, "Write the check into the open tissue")
        drawn = (entry.id, wanted)
        if drawn != self._drawn:
            self._drawn = drawn
            table = check.table.reset_index()
            if wanted is not None:
                table = table[table["gene"].isin(wanted)]
            self.genes.show_table(table, state.view.gene)
        else:
            self.genes.choose(state.view.gene)

    def _grade(self, check: Check) -> None:
        self.grade.setText(_GRADES[check.grade])
        self.train.setText("Train longer" if check.trained_here else "Train on this tissue")
        styled = {self.grade: ("grade", check.grade)}
        for name, made in (("train", self.train), ("shrink", self.shrink_button)):
            styled[made] = ("advised", check.next_step == name)
        for widget, (name, value) in styled.items():
            if widget.property(name) != value:  # to style a widget anew takes a while
                widget.setProperty(name, value)
                widget.style().unpolish(widget)
                widget.style().polish(widget)

    def _why_no_shrinking(self, entry: RunEntry) -> str | None:
        outcome = entry.outcome
        if outcome.run.generation.mask_key is not None:
            return "A column marks the cells: change it, or draw a region."
        if outcome.check.depth_um is None:
            return "The gain reaches to the deepest place that was seen."
        if outcome.beyond is None:
            return "The gain reaches everywhere in the region."
        if not outcome.check.depth_um:
            return "There is no gain at any depth."
        if why_stale(entry, self.context.state) is not None:
            return "The region was changed since: check it again."
        return None

    def _choose_file(self) -> None:
        path = choose_file(self, "Save table", self.context.opened, "_check.csv", "Table (*.csv)")
        if path is not None:
            # The dialog has asked before it lets an existing file be chosen.
            self.save(path, overwrite=True)
