"""Where in the section generation works well, as colours of its cells."""

from __future__ import annotations

from pathlib import Path

from napari_gest.app.actions import ChangeView, Keep
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.check_map import CheckMapRun
from napari_gest.canvas.event_loop import call_later
from napari_gest.canvas.runner import CLOSED
from napari_gest.errors import GestError
from napari_gest.files import write_table
from napari_gest.tasks.generation.check_map_report import CHECK_MAP_TABLE
from napari_gest.widgets.color.legend import LegendView
from napari_gest.widgets.common.controls import Panel, allow, button, note, row
from napari_gest.widgets.common.saving import choose_file, save_now
from napari_gest.widgets.context import Context

_TIP = "Hide the whole section tile by tile, generate it, and compare: it takes some minutes"


class CheckMapPanel(Panel):
    """Maps the check over the section in use, and shows the map."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.ask_button = button("Where will it work well?", self.ask)
        self.page = Panel()
        self.verdict, self.legend = note(name="gestFacts"), LegendView()
        self.show_button = button("Show the map", self.show_map)
        self.keep_button = button("Keep the map", self.keep)
        self.save_button = button("Export…", self._choose_file, "Write all tiles as csv")
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.addWidget(self.ask_button)
        self.column.addWidget(self.page)
        for widget in (self.legend, self.verdict):
            self.page.column.addWidget(widget)
        self.page.column.addLayout(row(self.show_button, self.keep_button, self.save_button))

    @property
    def entry(self) -> RunEntry | None:
        """The map that is looked at, where it is of the section in use."""
        entry = self.context.state.shown_run("map")
        if entry is None or entry.run.snapshot.label != self.context.state.active:
            return None
        return entry

    def ask(self) -> None:
        """Map the section in use, with tiles of the region's size if one is drawn."""
        context = self.context
        if context.why_not() is not None:
            return
        try:
            run = CheckMapRun.of(context.state, context.model)
            run.check()
        except GestError as error:
            context.report(self, error)
            return
        follower = context.follower(run)

        def done(outcome: object) -> None:
            entry = follower.on_done(outcome)
            said = "The section is mapped. Keep the map, or delete it in Runs." if entry else CLOSED
            call_later(lambda: context.job_bar.say(said))

        def cancelled() -> str | None:
            entry = follower.on_cancelled()
            if entry is None:
                return None if context.session.is_open(run.snapshot) else CLOSED
            return "Cancelled. What was checked until then is shown."

        context.job_bar.start(
            lambda: run.work(context.registry.load),
            done,
            owner=self,
            on_tick=follower.on_tick,
            on_cancelled=cancelled,
        )

    def show_map(self) -> None:
        """Colour the tissue by the map."""
        if self.entry is not None:
            view = ChangeView.of(of_run=(self.entry.id, "gain"), view="measured")
            self.context.do(view, self)

    def keep(self) -> None:
        """Write the expected gain of each cell into the open tissue, never into X."""
        if self.entry is not None and self.entry.id not in self.context.state.kept:
            self.context.do(Keep(id=self.entry.id), self)

    def save(self, path: Path, overwrite: bool = False) -> None:
        """Write the table of all tiles as csv."""

        def write() -> None:
            table = self.entry.outcome.report.table
            write_table(table, path, CHECK_MAP_TABLE, index=True, overwrite=overwrite)

        save_now(self.context, self, path, write)

    def refresh(self) -> None:
        """Show the map that is looked at, and enable what is possible now."""
        entry, state = self.entry, self.context.state
        allow(self.ask_button, self.context.why_not(), _TIP)
        self.page.setVisible(entry is not None)
        if entry is None:
            return
        shown = state.view.of_run == (entry.id, "gain")
        self.legend.setVisible(shown)
        if shown:
            self.legend.show_legend(self.context.painter.legend, state.view.hidden)
        said = entry.outcome.report.verdict.replace(" um", " µm")
        if entry.partial:
            at_work = self.context.job_bar.running(self)
            said = f"{'So far' if at_work else 'Cancelled before the end'}: {said}"
        self.verdict.setText(said)
        allow(self.show_button, "It is shown." if shown else None, "Colour the tissue by it")
        running = "Wait until the run has ended." if self.context.jobs.busy else None
        kept = "This map is kept already." if entry.id in state.kept else None
        allow(self.keep_button, running or kept, "Write it into the open tissue, as obs"
              " gest_check_gain")  # fmt: skip

    def _choose_file(self) -> None:
        path = choose_file(self, "Save table", self.context.opened, "_check_map.csv",
                           "Table (*.csv)")  # fmt: skip
        if path is not None:
            # The dialog has asked before it lets an existing file be chosen.
            self.save(path, overwrite=True)
