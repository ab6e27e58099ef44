"""Step "Niches": find niches, choose how many, name them, see what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QColor, QGuiApplication
from qtpy.QtWidgets import (
    QCheckBox,
    QColorDialog,
    QDoubleSpinBox,
    QFileDialog,
    QMenu,
    QPushButton,
    QWidget,
)
from superqt import QLabeledSlider
from superqt.utils import qdebounced

from napari_gest import keys
from napari_gest.app.preview import Preview, named
from napari_gest.app.runs.niches import NichePlan, NicheSearch
from napari_gest.errors import GestError, InputError
from napari_gest.files import write_table
from napari_gest.tasks.progress import Progress
from napari_gest.widgets.common.controls import Panel, Segments, allow, button, note, row
from napari_gest.widgets.common.job_bar import JobBar
from napari_gest.widgets.common.saving import save_opened
from napari_gest.widgets.context import Context
from napari_gest.widgets.model.model_panel import problem
from napari_gest.widgets.niches.final_niches import FinalNiches
from napari_gest.widgets.niches.niche_pages import CompositionPage, MarkerPage
from napari_gest.widgets.niches.niche_table import NicheTable

if TYPE_CHECKING:
    from napari_gest.tasks.niches.generated_niches import GeneratedNiches
    from napari_gest.tasks.niches.niches import Clustered

_HELP = (
    "A niche is a kind of surroundings. The model (step 4) reads those of every cell; alike ones"
    " get one colour. Nothing is drawn or marked beforehand."
)
_BY = {"number": "By number", "resolution": "By resolution"}
_PAGES = {"legend": "Legend", "composition": "Composition", "markers": "Marker genes"}
_FIRST = 8  # niches
_PREVIEW = "This is a preview; the niches themselves are being found."
_SLIDER_WAIT_MS = 30
_PAGE_WAIT_MS = 150


@dataclass(frozen=True, eq=False)
class NicheEdit:
    """Niches as they were found, and what was changed by hand since."""

    niches: Clustered
    edits: tuple[str, ...] = ()


class NichesPanel(Panel):
    """Finds niches in the background.

    The slider shows a cut of a tree at once. Once it rests, the niches of that number themselves,
    those of ``cluster_niches`` and of the command line, are found and take the place of the cut.
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.found: NicheSearch | None = None
        self.kept: Clustered | None = None
        self._generated_kept: frozenset[GeneratedNiches] = frozenset()
        self._tried: WeakSet[Any] = WeakSet()  # generated cells compared after they were kept
        self._embedded: dict[Any, Any] = {}
        # By what they were asked for: ("number", n) or ("resolution", r).
        self._cuts: dict[tuple[str, float], list[NicheEdit]] = {}
        self._stability: dict[tuple[str, float], NDArray[np.float64]] = {}
        self._preview: Preview | None = None

        self.help = note(_HELP)
        self.job = JobBar(context)
        self.find = button("Find niches", self.start, primary=True)
        self.together = QCheckBox("All open sections together")
        self.together.setChecked(True)
        self.together.setToolTip("A niche has the same colour and name in all of them")
        self.number = QLabeledSlider(Qt.Orientation.Horizontal)
        self.number.setAccessibleName("Number of niches")
        self.number.valueChanged.connect(lambda _: self._cut())
        self.final = FinalNiches(context)
        self.final.found.connect(self._on_final)
        self.final.stable.connect(self._on_stable)
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
        self.files = QMenu(self)
        self.files.addAction("Table of niches (.csv)…", self._choose_table)
        self.tissue_action = self.files.addAction(
            "Tissue with niches (.h5ad)…", self._choose_tissue
        )
        self.files.setToolTipsVisible(True)
        self.save_button = QPushButton("Save")
        self.save_button.setMenu(self.files)
        self._page = "legend"
        self._lay_out()
        self.refresh()

    @property
    def niches(self) -> Clustered | None:
        """The niches shown."""
        return None if self.found is None else self._cuts[self._asked][-1].niches

    @property
    def is_preview(self) -> bool:
        """Whether what is shown is a cut of the tree, in place of which niches are being found."""
        return self.niches is not None and self.niches.settings["method"] == "tree"

    @property
    def stability(self) -> NDArray[np.float64] | None:
        """(K,) stability of the niches shown, if it is known; merged niches have none."""
        known = self._stability.get(self._asked)
        return known if known is not None and len(known) == self.niches.n_niches else None

    @property
    def running(self) -> bool:
        """Whether a job of this panel is at work."""
        return self.job.running

    @property
    def summary(self) -> str:
        """What was found, in a few words."""
        if self.niches is None:
            return ""
        state = "kept" if self.kept is self.niches else "undecided"
        return f"{self.niches.n_niches} niches · {'preview' if self.is_preview else state}"

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
        self.job.start(lambda: plan.work(self.context.registry.load), self._on_found)

    def cut(self, n_niches: int) -> None:
        """Show this many niches. What was renamed, merged or recoloured there is still so.

        Where they were not found yet, a cut of the tree is shown until they are.
        """
        if self.found is None:
            return
        asked = ("number", n_niches)
        if asked not in self._cuts:
            self._cuts[asked] = [NicheEdit(self.found.tree.cut(n_niches))]
        self._ask(asked)

    def cluster(self, resolution: float) -> None:
        """Find niches at a resolution (Leiden), in the background; nothing is embedded again."""
        found = self.found
        if found is None:
            return
        asked = ("resolution", resolution)
        if asked in self._cuts:
            self._ask(asked)
            return
        request = found.request(*asked)
        try:
            request.check()
        except GestError as error:
            self.context.report(self, error)
            return

        def show(niches: Clustered) -> None:
            self._cuts[asked] = [NicheEdit(niches)]
            self.job.say(f"{niches.n_niches} niches at resolution {resolution:g}.")
            self._ask(asked)

        self.job.start(request.run, show)

    def paint(self) -> None:
        """Colour the cells by niche."""
        if self.niches is not None:
            self._preview = self.found.preview(self.niches)
            self.context.painter.show(preview=self._preview, hidden=frozenset(), value_limits=None)
            self._fill_table()
            self._fill_page_soon()

    def _show_changed(self) -> None:
        """Bring legend and pages up to date, and the canvas if niches are what it shows."""
        if self.context.painter.view_state.preview is self._preview:
            self.paint()
        else:
            self._fill_table()
            self._fill_page_soon()

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
        hidden = frozenset() if self.context.painter.view_state.hidden == others else others
        self.context.painter.show(hidden=hidden)

    def undo(self) -> None:
        """Take back the last rename, merge or colour at this number of niches."""
        if self.found is not None and len(self._cuts[self._asked]) > 1:
            self._cuts[self._asked].pop()
            self.paint()

    def keep(self) -> None:
        """Write niches, their colours and embeddings into the open tissue (never into X)."""
        if self.niches is None or self.is_preview:
            return
        self.kept = self.niches
        replaced = self._commit()
        text = f"Kept in obs['{keys.NICHE}']."
        if replaced:
            text += " Niches kept earlier for other sections of the file were replaced."
        self.job.say(text)
        self.context.chosen.emit()

    def keep_generated(self) -> None:
        """See to the niches of generated cells that were kept after niches were found or kept."""
        found = self.found
        if found is None or self.context.jobs.busy:
            return
        missing = [g for g in found.not_compared() if g not in self._tried]
        if missing:
            self._tried.update(missing)  # once, even if it fails
            self.job.start(
                lambda: found.compare(missing, self.context.registry.load), self._compared
            )
        elif self.kept is not None and found.generated_kept() != self._generated_kept:
            self._commit()

    def _compared(self, found: NicheSearch) -> None:
        self.found = found
        self.job.say("The generated cells that were kept have niches now.")
        if self.kept is not None:
            self._commit()
        self._show_changed()

    def _commit(self) -> bool:
        """Write what is kept; return whether niches of other sections gave way to it."""
        session, replaced = self.context.session, False
        self._generated_kept = self.found.generated_kept()
        for opened, kept in self.found.kept(self.kept):
            old = opened[0].adata.obs.get(keys.NICHE)
            n_cells = sum(o.section.n_obs for o in opened)
            replaced |= old is not None and bool(old.notna().to_numpy().sum() > n_cells)
            first, *others = (session.snapshot(o.label) for o in opened)
            session.commit(first, kept, *others)
        return replaced

    def save_table(self, path: Path, overwrite: bool = False) -> None:
        """Write a row for each niche (see ``Clustered.report``) as csv, in the background."""
        column = self.composition.likely(self.found)
        values = None if column is None else self.found.values(column)
        niches = replace(self.niches, stability=self.stability)

        def work() -> Generator[Progress, None, Path]:
            yield Progress(f"Saving {path.name}", 0, 1)
            from napari_gest.tasks.niches.niches import REPORT

            report = niches.report(values)
            write_table(report, path, REPORT, index=True, overwrite=overwrite)
            return path

        self.job.start(work, lambda done: self.job.say(f"Saved {done.name}."))

    def save_tissue(self, path: Path, overwrite: bool = False) -> None:
        """Write the section's file with all that was kept, in the background."""
        opened = self.context.scene.active
        save_opened(self.context, self, opened, path, overwrite, self.job.say)

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
            shown = self.context.painter.view_state.preview is self._preview
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
        shown = self.context.painter.view_state.preview is self._preview
        self.show_button.setVisible(not shown)
        kept = "These niches are kept already." if self.kept is self.niches else None
        busy = "Wait until the present job has ended." if self.context.jobs.busy else None
        not_yet = busy or (_PREVIEW if self.is_preview else None)
        allow(self.keep_button, not_yet or kept, f"Write obs['{keys.NICHE}'] and its colours")
        allow(self.cluster_button, busy, "Find as many niches as the resolution gives")
        allow(self.boundary_button, not_yet, "Draw a line around each niche, on a Shapes layer")
        allow(self.save_button, not_yet, "Write a table or tissue")
        active = self.context.scene.active
        nothing = active is None or not active.results
        self.tissue_action.setEnabled(not nothing)
        self.tissue_action.setToolTip("Press Keep first." if nothing else "All that was kept")
        if shown:
            self._show_hidden()
        self._allow_edits()
        if self._page == "markers":
            self.markers.refresh()

    def _on_found(self, found: NicheSearch) -> None:
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

    def rest(self) -> None:
        """Stop what nobody waits for."""
        self.final.rest()

    def _ask(self, asked: tuple[str, float]) -> None:
        """Show the niches asked for, or their preview, and have found what is not known of them."""
        self._asked = asked
        if self.kept is not None and self.niches is not self.kept:
            self.job.say("")  # that those were kept
        self.paint()
        self._want()
        self.refresh()

    def _want(self) -> None:
        niches = None if self.is_preview else self._cuts[self._asked][0].niches
        request = self.found.request(*self._asked)
        self.final.want(request, niches, self._asked in self._stability)

    def _on_final(self, niches: Clustered) -> None:
        """Put niches in the place of their preview, in its colours as far as they are alike."""
        colored = niches.colored_like(self.niches)
        pairs = zip(niches.names, niches.colors, colored.colors, strict=True)
        changed = {name: new for name, old, new in pairs if new != old}
        self._cuts[self._asked] = [
            NicheEdit(colored, (f"recolored({changed!r})",) if changed else ())
        ]
        self._show_changed()
        self._want()
        self.context.chosen.emit()

    def _on_stable(self, niches: Clustered) -> None:
        self._stability[self._asked] = niches.stability
        self._fill_table()

    def _edit(self, change: Callable[[Clustered], Clustered], call: str) -> None:
        cuts = self._cuts[self._asked]
        if self.is_preview:
            self._fill_table()
            self.job.say(_PREVIEW)
            return
        try:
            changed = change(cuts[-1].niches)
        except InputError as error:
            self._fill_table()
            self.context.report(self, error)
            return
        cuts.append(NicheEdit(changed, (*cuts[-1].edits, call)))
        self.paint()

    def _forget(self) -> None:
        self.final.rest()
        self.found, self.kept, self._preview = None, None, None
        self._cuts, self._stability, self._generated_kept = {}, {}, frozenset()
        self.composition.forget()
        self.markers.forget()

    def _sections(self) -> tuple:
        sections = self.context.session.sections
        if self.together.isChecked() and len(sections) > 1:
            return tuple(sections.values())
        return (self.context.scene.active,)

    def _generated(self) -> list:
        """Return the results of runs on the sections to embed: those shown, and those kept."""
        from napari_gest.tasks.generation.generated import Generated

        own = {o.section for o in self._sections()}
        results = [trial.result for trial, _ in self.context.scene.trials()]
        results += [r for o in self._sections() for r in o.results if isinstance(r, Generated)]
        return [r for r in dict.fromkeys(results) if r is not None and r.section in own]

    def _fill_table(self) -> None:
        niches = self.niches
        count = self.found.generated_counts(niches) if self.found.generated else None
        whole = named(niches.labels, niches.names, niches.colors)
        area_mm2 = niches.summary()["area_um2"].to_numpy() / 1e6
        hidden = self.context.painter.view_state.hidden
        self.table.show_niches(whole, hidden, area_mm2, count, self.stability)
        same, total = self.found.same_niche(niches)
        self.generated.setVisible(total > 0)
        if total:
            draws = f" ({self.found.draws})" if self.found.draws else ""
            self.generated.setText(
                f"{same:,} of {total:,} generated cells{draws} are in the niche of the measured"
                " cell."
            )
        self._allow_edits()

    def _show_hidden(self) -> None:
        """Tick the names that are shown, after the legend of step 2 or Solo hid some."""
        hidden = self.context.painter.view_state.hidden
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
        preview = _PREVIEW if self.is_preview else None
        several = None if n > 1 else "Select two niches or more."
        allow(self.merge_button, preview or several, "Make them one niche")
        one = None if n == 1 else "Select one niche."
        allow(self.recolor_button, preview or one, "Choose another colour")
        allow(self.solo_button, none, "Show only the selected niches, or all again")
        edited = len(self._cuts[self._asked]) > 1
        allow(self.undo_button, None if edited else "Nothing was changed.", "Take back a change")

    def _choose_color(self) -> None:
        (name,) = self.table.selected
        color = dict(zip(self.niches.names, self.niches.colors, strict=True))[name]
        dialog = QColorDialog(QColor(color), self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.colorSelected.connect(lambda chosen: self.recolor(name, chosen.name()))
        dialog.open()

    def _choose_table(self) -> None:
        self._choose("Save table", "_niches.csv", "Table (*.csv)", self.save_table)

    def _choose_tissue(self) -> None:
        self._choose("Save tissue", "_niches.h5ad", "AnnData (*.h5ad *.zarr)", self.save_tissue)

    def _choose(self, title: str, ending: str, kinds: str, save: Callable[..., None]) -> None:
        opened = self.context.scene.active
        folder = opened.path.parent if opened.path is not None else Path.home()
        start = str(folder / f"{opened.label}{ending}")
        path, _ = QFileDialog.getSaveFileName(self, title, start, kinds)
        if path:
            # The dialog has asked before it lets an existing file be chosen.
            save(Path(path), overwrite=True)

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

    @qdebounced(timeout=_SLIDER_WAIT_MS)
    def _cut(self) -> None:
        self.cut(self.number.value())

    @qdebounced(timeout=_PAGE_WAIT_MS)
    def _fill_page_soon(self) -> None:
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
        self.result.column.addWidget(self.final)
        self.result.column.addWidget(self.pages)
        for widget in (*self._page_widgets.values(), self.generated, self.show_button):
            self.result.column.addWidget(widget)
        self.result.column.addLayout(row(self.keep_button, self.save_button))
        self.result.column.addLayout(row(self.boundary_button, self.copy_button))
        self.composition.hide()
        self.markers.hide()
        self.column.addWidget(self.result)
