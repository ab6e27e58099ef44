"""The legend of niches with its buttons: rename, merge, recolour, show alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog, QLabel

from napari_gest.app.actions import ChangeView, MergeNiches, RecolorNiche, RenameNiche
from napari_gest.app.preview import named
from napari_gest.widgets.common.controls import Panel, allow, button, row
from napari_gest.widgets.context import Context
from napari_gest.widgets.niches.niche_table import NicheTable

if TYPE_CHECKING:
    from napari_gest.app.actions import Action
    from napari_gest.app.runs.base import RunEntry
    from napari_gest.app.runs.niche_outcome import NicheOutcome

PREVIEW = "This is a preview; the niches themselves are being found."


class NicheLegend(Panel):
    """A table of the niches that are looked at, and what one can do with those selected."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.table = NicheTable()
        self.table.hidden_changed.connect(self._hide)
        self.table.renamed.connect(self.rename)
        self.table.itemSelectionChanged.connect(self._allow)
        self.merge_button = button("Merge", self.merge)
        self.recolor_button = button("Colour…", self._choose_color)
        self.solo_button = button("Solo", self.solo)
        self._listed: tuple[Any, ...] = ()
        self.column.addWidget(self.table)
        self.column.addLayout(row(self.merge_button, self.recolor_button, self.solo_button))

    @property
    def entry(self) -> RunEntry | None:
        """The run that is looked at."""
        return self.context.state.shown_run("niches")

    def rename(self, old: str, new: str) -> None:
        """Give a niche another name."""
        if self.entry is not None and new:
            self._edit(RenameNiche(id=self.entry.id, old=old, new=new))
        else:
            self._list_again()

    def merge(self) -> None:
        """Make one niche of the selected ones, under the first of their names."""
        names = self.table.selected
        if self.entry is not None and len(names) > 1:
            self._edit(MergeNiches(id=self.entry.id, names=tuple(names)))
            self.table.select(names[:1])

    def recolor(self, name: str, color: str) -> None:
        """Give a niche another colour, "#rrggbb"."""
        if self.entry is not None:
            self._edit(RecolorNiche(id=self.entry.id, name=name, color=color))

    def solo(self) -> None:
        """Show only the selected niches; once more, show all again."""
        if self.entry is not None:
            names = self.entry.outcome.niches.names
            others = frozenset(names) - frozenset(self.table.selected)
            self._hide(frozenset() if self._hidden() == others else others)

    def refresh(self) -> None:
        """List the niches, where they are others than those listed."""
        if self.entry is not None:
            outcome = self.entry.outcome
            niches, stability = outcome.niches, outcome.stability_shown
            shown = (niches, outcome.search, stability, self._hidden())
            if not _same(shown, self._listed):
                self._listed = shown
                whole = named(niches.labels, niches.names, niches.colors)
                area_mm2 = niches.summary()["area_um2"].to_numpy() / 1e6
                search = outcome.search
                count = search.generated_counts(niches) if search.generated else None
                unit = search.run.opened[0].section.unit
                self.table.show_niches(whole, self._hidden(), area_mm2, count, stability, unit)
        else:
            self._listed = ()
        self._allow()

    def _hidden(self) -> frozenset[str]:
        """Return the niches that are hidden; none where something else is shown."""
        view, entry = self.context.state.view, self.entry
        shown = entry is not None and view.of_run == (entry.id, "niches")
        return view.hidden if shown else frozenset()

    def _hide(self, hidden: frozenset[str]) -> None:
        if self.entry is not None:
            of_run = (self.entry.id, "niches")
            self.context.do(ChangeView.of(of_run=of_run, hidden=hidden), self)

    def _edit(self, action: Action) -> None:
        if self.entry.outcome.is_preview:
            self.context.job_bar.say(PREVIEW)
            self._list_again()
        elif not self.context.do(action, self):
            self._list_again()

    def _list_again(self) -> None:
        """Show the niches as they are, in place of what was typed."""
        self._listed = ()
        self.refresh()

    def _allow(self) -> None:
        if self.entry is None:
            return
        n = len(self.table.selected)
        preview = PREVIEW if self.entry.outcome.is_preview else None
        several = None if n > 1 else "Select two niches or more."
        allow(self.merge_button, preview or several, "Make them one niche")
        one = None if n == 1 else "Select one niche."
        allow(self.recolor_button, preview or one, "Choose another colour")
        none = None if n else "Select a niche in the legend."
        allow(self.solo_button, none, "Show only the selected niches, or all again")

    def _choose_color(self) -> None:
        (name,) = self.table.selected
        niches = self.entry.outcome.niches
        color = dict(zip(niches.names, niches.colors, strict=True))[name]
        dialog = QColorDialog(QColor(color), self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.colorSelected.connect(lambda chosen: self.recolor(name, chosen.name()))
        dialog.open()


class NicheFacts(QLabel):
    """What is to be known of the niches shown: whether they are stale, and generated cells."""

    def __init__(self) -> None:
        super().__init__(objectName="gestFacts")
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        self._of: tuple[Any, ...] = ()
        self._generated = ""

    def show_run(self, entry: RunEntry, stale: str | None) -> None:
        """Say it of a run; ``stale`` is why it no longer belongs to what is open."""
        outcome = entry.outcome
        of = (outcome.niches, outcome.search)
        if not self._of or self._of[0] is not of[0] or self._of[1] is not of[1]:
            self._of, self._generated = of, _generated_text(outcome)
        text = "\n".join(filter(None, (stale, self._generated)))
        self.setText(text)
        self.setVisible(bool(text))

    def forget(self) -> None:
        """Let go of the niches that were shown last."""
        self._of, self._generated = (), ""


def _generated_text(outcome: NicheOutcome) -> str:
    search = outcome.search
    same, total = search.same_niche(outcome.niches)
    if not total:
        return ""
    draws = f" ({search.draws})" if search.draws else ""
    unit = search.run.opened[0].section.unit
    text = f"{same:,} of {total:,} generated {unit}s{draws} are in the niche of the measured {unit}"
    return f"{text}."


def _same(shown: tuple[Any, ...], listed: tuple[Any, ...]) -> bool:
    """Tell whether the same niches, search, stability and hidden names are listed."""
    if not listed or shown[-1] != listed[-1]:
        return False
    return all(a is b for a, b in zip(shown[:-1], listed[:-1], strict=True))
