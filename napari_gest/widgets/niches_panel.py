"""Step "Niches": find niches, choose how many, name them, see what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtGui import QColor, QGuiApplication
from qtpy.QtWidgets import QCheckBox, QColorDialog, QDoubleSpinBox, QWidget
from superqt import QLabeledSlider

from napari_gest import keys
from napari_gest.errors import GestError, InputError
from napari_gest.tasks.progress import Progress
from napari_gest.viewer.niche_plan import Found, NichePlan
from napari_gest.viewer.preview import Preview, named
from napari_gest.widgets.context import Context
from napari_gest.widgets.job_bar import JobBar
from napari_gest.widgets.model_panel import problem
from napari_gest.widgets.niche_pages import CompositionPage, MarkerPage
from napari_gest.widgets.niche_table import NicheTable
from napari_gest.widgets.parts import Panel, Segments, allow, button, note, row

if TYPE_CHECKING:
    from napari_gest.tasks.niches import Clustered

_HELP = (
    "A niche is a kind of surroundings. The model (step 4) reads those of every cell; alike ones"
    " get one colour. Nothing is drawn or marked beforehand."
)
_BY = {"number": "By number", "resolution": "By resolution"}
_PAGES = {"legend": "Legend", "composition": "Composition", "markers": "Marker genes"}
_FIRST = 8  # niches
_SLIDER_WAIT_MS = 30
_PAGE_WAIT_MS = 150


@dataclass(frozen=True, eq=False)
class Cut:
    """Niches as they were found, and what was changed by hand since."""

    niches: Clustered
    edits: tuple[str, ...] = ()


class NichesPanel(Panel):
    """Finds niches in the background; everything after that is immediate."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.found: Found | None = None
        self.kept: Clustered | None = None
        self._embedded: dict[Any, Any] = {}
        # By what they were asked for: ("number", n) or ("resolution", r).
        self._cuts: dict[tuple[str, float], list[Cut]] = {}
        self._preview: Preview | None = None

        self.help = note(_HELP)
        self.job = JobBar(context)
        self.find = button("Find niches", self.start, primary=True)
        self.together = QCheckBox("All open sections together")
        self.together.setChecked(True)
        self.together.setToolTip("A niche has the same colour and name in all of them")
        self.number = QLabeledSlider(Qt.Orientation.Horizontal)
        self.number.setAccessibleName("Number of niches")
        self.number.valueChanged.connect(lambda _: self._slider_wait.start())
        self.by = Segments(_BY)
        self.by.picked.connect(self._choose_by)
        self.resolution = QDoubleSpinBox()
        self.resolution.setAccessibleName("Resolution")
        self.resolution.setRange(0.05, 10.0)
        self.resolution.setSingleStep(0.1)
        self.resolution.setValue(1.0)
        self.resolution.setToolTip("A higher one gives more niches")
        self.cluster_button = button("Cluster", lambda: self.cluster(self.resolution.value()))
        self.pages = Segments(_PAGES)
        self.pages.picked.connect(self._turn)
        self.table = NicheTable()
        self.table.hidden_changed.connect(lambda hidden: context.painter.show(hidden=hidden))
        self.table.renamed.connect(self.rename)
        self.table.itemSelectionChanged.connect(self._allow_edits)
        self.merge_button = button("Merge", self.merge)
        self.recolor_button = button("Colour…", self._choose_color)
        self.solo_button = button("Solo", self.solo)
        self.undo_button = button("Undo", self.undo)
        self.composition = CompositionPage()
        self.markers = MarkerPage(context)
        self.generated = note(name="gestFacts")
        self.show_button = button("Colour by niches", self.paint, "Show the niches again")
        self.keep_button = button("Keep", self.keep, primary=True)
        self.boundary_button = button("Boundaries", self.draw_boundaries)
        self.copy_button = button("Copy as Python", self.copy, "Code that gives the same niches")
        self._slider_wait = QTimer(self, singleShot=True, interval=_SLIDER_WAIT_MS)
        self._slider_wait.timeout.connect(lambda: self.cut(self.number.value()))
        self._page_wait = QTimer(self, singleShot=True, interval=_PAGE_WAIT_MS)
        self._page_wait.timeout.connect(self._fill_page)
        self._page = "legend"
        self._lay_out()
        self.refresh()

    @property
    def niches(self) -> Clustered | None:
        """The niches shown."""
        return None if self.found is None else self._cuts[self._asked][-1].niches

    @property
    def running(self) -> bool:
        """Whether a job of this panel is at work."""
        return self.job.running

    @property
    def summary(self) -> str:
        """What was found, in a few words."""
        if self.niches is None:
            return ""
        n = f"{self.niches.n_niches} niches"
        return f"{n} · {'kept' if self.kept is self.niches else 'undecided'}"

    def start(self) -> None:
        """Embed what has not been embedded, and find niches."""
        if self.why_not() is not None:
            return
        plan = NichePlan(
            self._sections(),
            self.context.model,
            tuple(self._generated()),
            dict(self._embedded),
        )
        try:
            plan.check()
        except GestError as error:
            self.context.report(self, error)
            return
        self.job.start(lambda: plan.work(self.context.shelf.load), self._on_found)

    def cut(self, n_niches: int) -> None:
        """Show this many niches. What was renamed, merged or recoloured there is still so."""
        if self.found is None:
            return
        self._asked = ("number", n_niches)
        if self._asked not in self._cuts:
            self._cuts[self._asked] = [Cut(self.found.tree.cut(n_niches))]
        self.paint()

    def cluster(self, resolution: float) -> None:
        """Find niches at a resolution (Leiden), in the background; nothing is embedded again."""
        found = self.found
        if found is None:
            return
        asked = ("resolution", resolution)
        if asked in self._cuts:
            self._asked = asked
            self.paint()
            return
        request = found.at_resolution(resolution)
        try:
            request.check()
        except GestError as error:
            self.context.report(self, error)
            return

        def show(niches: Clustered) -> None:
            self._asked, self._cuts[asked] = asked, [Cut(niches)]
            self.job.say(f"{niches.n_niches} niches at resolution {resolution:g}.")
            self.paint()
            self.refresh()

        self.job.start(request.run, show)

    def paint(self) -> None:
        """Colour the cells by niche."""
        if self.niches is not None:
            self._preview = self.found.preview(self.niches)
            self.context.painter.show(preview=self._preview, hidden=frozenset(), value_limits=None)
            self._fill_table()
            self._page_wait.start()

    def rename(self, old: str, new: str) -> None:
        """Give a niche another name."""
        if new:
            self._edit(lambda n: n.renamed({old: new}), f"renamed({{{old!r}: {new!r}}})")
        else:
            self._fill_table()

    def merge(self) -> None:
        """Make one niche of the selected ones, under the first of their names."""
        names = self.table.selected
        self._edit(lambda n: n.merged(names), f"merged({names!r})")
        self.table.select(names[:1])

    def recolor(self, name: str, color: str) -> None:
        """Give a niche another colour, "#rrggbb"."""
        self._edit(lambda n: n.recolored({name: color}), f"recolored({{{name!r}: {color!r}}})")

    def solo(self) -> None:
        """Show only the selected niches; once more, show all again."""
        others = frozenset(self.niches.names) - frozenset(self.table.selected)
        hidden = frozenset() if self.context.painter.look.hidden == others else others
        self.context.painter.show(hidden=hidden)

    def undo(self) -> None:
        """Take back the last rename, merge or colour at this number of niches."""
        if self.found is not None and len(self._cuts[self._asked]) > 1:
            self._cuts[self._asked].pop()
            self.paint()

    def keep(self) -> None:
        """Write niches, their colours and embeddings into the open tissue (never into X)."""
        session, niches = self.context.session, self.niches
        if niches is None:
            return
        replaced = False
        for opened, kept in self.found.kept(niches):
            old = opened[0].adata.obs.get(keys.NICHE)
            replaced |= old is not None and bool(old.notna().to_numpy().sum() > len(kept.rows))
            self.kept = niches  # before the session tells everyone
            first, *others = (session.snapshot(o.label) for o in opened)
            session.commit(first, kept, *others)
        text = f"Kept in obs['{keys.NICHE}']."
        if replaced:
            text += " Niches kept earlier for other sections of the file were replaced."
        self.job.say(text)
        self.context.chosen.emit()

    def draw_boundaries(self) -> None:
        """Draw lines around the niches, in a Shapes layer."""
        found, niches = self.found, self.niches
        if found is None:
            return

        def work() -> Generator[Progress, None, dict]:
            areas = {}
            for done, opened in enumerate(found.plan.opened):
                yield Progress("Drawing boundaries", done, len(found.plan.opened))
                areas[opened.label] = found.outlines(niches, done)
            return areas

        def show(areas: dict) -> None:
            drawn = self.context.scene.show_boundaries(areas, niches.names, niches.colors)
            self.job.say(
                "No niche is large enough to draw."
                if drawn is None
                else f"{len(drawn.data):,} lines on the layer '{drawn.name}'."
            )

        self.job.start(work, show)

    def copy(self) -> None:
        """Put the public function calls that give the same niches on the clipboard."""
        if self.found is not None:
            edits = self._cuts[self._asked][-1].edits
            QGuiApplication.clipboard().setText(self.found.plan.script(*self._asked, edits))

    def why_not(self) -> str | None:
        """Return why niches cannot be found now, or None."""
        opened = self.context.scene.active
        if opened is None:
            return "Open tissue first (step 1)."
        if self.context.jobs.busy:
            return "A job is running."
        for one in self._sections():
            why_not = problem(self.context.model, one.section.genes)
            if why_not is not None:
                return why_not
        return None

    def refresh(self) -> None:
        """Enable what is possible now; forget niches of sections that were closed."""
        if self.found is not None and not self.found.is_open(self.context.session):
            shown = self.context.painter.look.preview is self._preview
            self._forget()
            if shown:
                self.context.painter.show(preview=None)
        session = self.context.session
        open_now = {o.section for o in session.sections.values()}
        self._embedded = {k: v for k, v in self._embedded.items() if k[0] in open_now}
        self.together.setVisible(len(session.sections) > 1)
        allow(self.find, self.why_not(), "Embed every cell and group alike surroundings")
        self.help.setVisible(self.found is None)
        if self.context.scene.active is None:
            self.job.say("Open tissue first (step 1).")
        elif self.job.message.text() == "Open tissue first (step 1).":
            self.job.say("")
        self.job.refresh()
        self.result.setVisible(self.found is not None)
        if self.found is None:
            return
        shown = self.context.painter.look.preview is self._preview
        self.show_button.setVisible(not shown)
        kept = "These niches are kept already." if self.kept is self.niches else None
        busy = "Wait until the present job has ended." if self.context.jobs.busy else None
        allow(self.keep_button, busy or kept, f"Write obs['{keys.NICHE}'] and its colours")
        allow(self.cluster_button, busy, "Find as many niches as the resolution gives")
        allow(self.boundary_button, busy, "Draw a line around each niche, on a Shapes layer")
        if shown:
            self._show_hidden()
        self._allow_edits()
        if self._page == "markers":
            self.markers.refresh()

    def _on_found(self, found: Found) -> None:
        self._forget()
        for one, embedded in zip(found.plan.opened, found.embedded, strict=True):
            self._embedded[one.section, found.plan.model.path] = embedded
        self.found = found
        most = found.tree.n_leaves
        with QSignalBlocker(self.number):
            self.number.setRange(min(2, most), most)
            self.number.setValue(min(_FIRST, most))
        n = sum(o.section.n_obs for o in found.plan.opened)
        self.job.say(f"{n:,} cells embedded. Move the slider; nothing is embedded again.")
        self.by.set_current("number")
        self._show_by("number")
        self.cut(self.number.value())
        self.refresh()

    def _edit(self, change: Callable[[Clustered], Clustered], call: str) -> None:
        cuts = self._cuts[self._asked]
        try:
            changed = change(cuts[-1].niches)
        except InputError as error:
            self._fill_table()
            self.context.report(self, error)
            return
        cuts.append(Cut(changed, (*cuts[-1].edits, call)))
        self.paint()

    def _forget(self) -> None:
        self.found, self.kept, self._preview, self._cuts = None, None, None, {}

    def _sections(self) -> tuple:
        sections = self.context.session.sections
        if self.together.isChecked() and len(sections) > 1:
            return tuple(sections.values())
        return (self.context.scene.active,)

    def _generated(self) -> list:
        """Return the finished results of runs on the sections to embed."""
        own = {o.section for o in self._sections()}
        results = [trial.result for trial, _ in self.context.scene.trials()]
        return [r for r in results if r is not None and r.section in own]

    def _fill_table(self) -> None:
        niches = self.niches
        count = self.found.generated_counts(niches) if self.found.generated else None
        whole = named(niches.labels, niches.names, niches.colors)
        self.table.show_niches(whole, self.context.painter.look.hidden, count)
        same, total = self.found.same_niche(niches)
        self.generated.setVisible(total > 0)
        if total:
            self.generated.setText(
                f"{same:,} of {total:,} generated cells are in the niche of the measured cell."
            )
        self._allow_edits()

    def _show_hidden(self) -> None:
        """Tick the names that are shown, after the legend of step 2 or Solo hid some."""
        hidden = self.context.painter.look.hidden
        with QSignalBlocker(self.table):
            for index in range(self.table.rowCount()):
                item = self.table.item(index, 0)
                state = Qt.CheckState.Unchecked if item.text() in hidden else Qt.CheckState.Checked
                item.setCheckState(state)

    def _allow_edits(self) -> None:
        if self.found is None:
            return
        n = len(self.table.selected)
        none = None if n else "Select a niche in the legend."
        allow(
            self.merge_button,
            None if n > 1 else "Select two niches or more.",
            "Make them one niche",
        )
        allow(self.recolor_button, None if n == 1 else "Select one niche.", "Choose another colour")
        allow(self.solo_button, none, "Show only the selected niches, or all again")
        edited = len(self._cuts[self._asked]) > 1
        allow(self.undo_button, None if edited else "Nothing was changed.", "Take back a change")

    def _choose_color(self) -> None:
        (name,) = self.table.selected
        color = dict(zip(self.niches.names, self.niches.colors, strict=True))[name]
        dialog = QColorDialog(QColor(color), self)
        dialog.colorSelected.connect(lambda chosen: self.recolor(name, chosen.name()))
        dialog.open()

    def _choose_by(self, by: str) -> None:
        self._show_by(by)
        if by == "number":
            self.cut(self.number.value())

    def _show_by(self, by: str) -> None:
        self.number.setVisible(by == "number")
        self.resolution.setVisible(by == "resolution")
        self.cluster_button.setVisible(by == "resolution")

    def _turn(self, page: str) -> None:
        self._page = page
        for name, widget in self._page_widgets.items():
            widget.setVisible(name == page)
        self._fill_page()

    def _fill_page(self) -> None:
        if self.found is None:
            return
        if self._page == "composition":
            self.composition.show_niches(self.found, self.niches)
        elif self._page == "markers":
            self.markers.show_niches(self.found, self.niches)

    def _lay_out(self) -> None:
        self.pages.set_current("legend")
        self.legend = Panel()
        self.legend.column.addWidget(self.table)
        self.legend.column.addLayout(
            row(self.merge_button, self.recolor_button, self.solo_button, self.undo_button)
        )
        self._page_widgets: dict[str, QWidget] = {
            "legend": self.legend,
            "composition": self.composition,
            "markers": self.markers,
        }
        self.column.addWidget(self.help)
        self.column.addWidget(self.together)
        self.column.addLayout(row(self.find, self.job.cancel))
        self.column.addWidget(self.job)
        self.result = Panel()
        self.result.column.addWidget(self.by)
        self.result.column.addLayout(
            row(self.number, self.resolution, self.cluster_button, stretch=0)
        )
        self.result.column.addWidget(self.pages)
        for widget in (*self._page_widgets.values(), self.generated, self.show_button):
            self.result.column.addWidget(widget)
        self.result.column.addLayout(row(self.keep_button, self.boundary_button, self.copy_button))
        self.composition.hide()
        self.markers.hide()
        self.column.addWidget(self.result)
