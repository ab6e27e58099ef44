"""What niches are made of, and the genes that tell them apart."""

from __future__ import annotations

import html
from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_gest import keys
from napari_gest.app import colors
from napari_gest.app.runs.niches import NicheSearch
from napari_gest.app.session import Opened
from napari_gest.canvas.jobs import Job
from napari_gest.tasks.progress import Progress
from napari_gest.widgets.color.color_panel import columns, likely_column
from napari_gest.widgets.common.controls import Panel, combo, fill, note
from napari_gest.widgets.context import Context
from napari_gest.widgets.plots.composition_bars import CompositionBars

if TYPE_CHECKING:
    from napari_gest.tasks.niches.niches import Clustered

_MOST_CATEGORIES = 40
_MARKERS_SHOWN = 10
_ROW = 20


class CompositionPage(Panel):
    """Bars of the shares of an obs column in each niche."""

    def __init__(self) -> None:
        super().__init__()
        self.box = combo("Column of obs")
        self.box.textActivated.connect(self._pick)
        self.bars = CompositionBars()
        self.names = note()
        self.names.setTextFormat(Qt.TextFormat.RichText)  # swatches beside escaped names
        self._column: str | None = None
        self._shown: tuple[NicheSearch, Clustered] | None = None
        for widget in (self.box, self.bars, self.names):
            self.column.addWidget(widget)

    def show_niches(self, found: NicheSearch, niches: Clustered) -> None:
        """Show these niches."""
        self._shown = found, niches
        opened, offered = found.plan.opened[0], _offered(found)
        self._column = self.likely(found)
        fill(self.box, offered, self._column)
        self.bars.setVisible(bool(offered))
        if self._column is None:
            self.names.setText("This tissue has no obs column of a few names.")
            return
        values = found.values(self._column)
        table = niches.composition(values)
        stored = opened.adata.uns.get(f"{self._column}_colors")
        own = colors.categories(opened.adata.obs[self._column], stored)
        of_name = dict(zip(own.names, own.colors, strict=True))
        rgba = [of_name.get(str(name), colors.MISSING) for name in table.columns]
        self.bars.set_table(table, niches.colors, np.array(rgba))
        self.names.setText(
            " ".join(
                f"<span style='white-space:nowrap'><span style='color:{_hex(c)}'>■</span>&nbsp;"
                f"{html.escape(str(name)).replace(' ', '&nbsp;')}</span>"
                for name, c in zip(table.columns, rgba, strict=True)
            )
        )

    def forget(self) -> None:
        """Let go of what was shown."""
        self._shown = None

    def likely(self, found: NicheSearch) -> str | None:
        """Return the column that was chosen, or else the one that likely would be, if any."""
        offered = _offered(found)
        if self._column in offered:
            return self._column
        return likely_column(offered) or (offered[0] if offered else None)

    def _pick(self, column: str) -> None:
        self._column = column
        if self._shown is not None:
            self.show_niches(*self._shown)


class MarkerPage(Panel):
    """A table of the genes that tell a niche from all others, found in the background."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.box = combo("Niche")
        self.box.textActivated.connect(lambda _: self._fill())
        self.table = QTableWidget(0, 3)
        self.table.setAccessibleName("Marker genes")
        self.table.setHorizontalHeaderLabels(["Gene", "log fold change", "t"])
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(_ROW)
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.cellDoubleClicked.connect(self._color)
        self.note = note()
        self._wanted: tuple[NicheSearch, Clustered] | None = None
        self._made_for: Clustered | None = None
        self._markers = pd.DataFrame(columns=["niche", "gene", "log_fold_change", "t"])
        for widget in (self.box, self.table, self.note):
            self.column.addWidget(widget)

    def show_niches(self, found: NicheSearch, niches: Clustered) -> None:
        """Show markers of these niches, once they are there."""
        self._wanted = found, niches
        self.refresh()

    def forget(self) -> None:
        """Let go of what was shown."""
        self._wanted = self._made_for = None

    def refresh(self) -> None:
        """Find markers if other niches are wanted than those they are of."""
        if self._wanted is None:
            return
        _, niches = self._wanted
        if self._made_for is niches:
            return
        panels = {s.genes for s in niches.sections}
        if len(panels) > 1:
            self.note.setText("Sections with different genes have no common marker genes.")
            return
        self.note.setText("Finding marker genes…")
        if self.context.jobs.busy:
            return  # asked again when the job has ended

        def work() -> Generator[Progress, None, pd.DataFrame]:
            yield Progress("Finding marker genes", 0, 1)
            return niches.markers()

        def done(markers: pd.DataFrame) -> None:
            self._made_for, self._markers = niches, markers
            self._fill()

        def failed(error: Exception) -> None:
            self._made_for = niches  # it is not tried again and again
            self.note.setText("")
            self.context.report(self, error)

        self.context.jobs.start(Job(work, on_done=done, on_error=failed))

    def _fill(self) -> None:
        niches = self._made_for
        if niches is None:
            return
        chosen = self.box.currentText()
        fill(self.box, list(niches.names), chosen if chosen in niches.names else niches.names[0])
        own = self._markers[self._markers["niche"] == self.box.currentText()]
        heading = self.table.horizontalHeader().sizeHint().height()  # in the dock's style by now
        self.table.setFixedHeight(heading + _MARKERS_SHOWN * _ROW + 4)
        with QSignalBlocker(self.table):
            self.table.setRowCount(len(own))
            for index, (_, gene, change, t) in enumerate(own.itertuples(index=False)):
                for column, text in enumerate((gene, f"{change:+.2f}", f"{t:.1f}")):
                    item = QTableWidgetItem(text)
                    if column:
                        item.setTextAlignment(
                            Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                        )
                    self.table.setItem(index, column, item)
        self.note.setText("Against all other cells, natural logarithm. Double-click colours by it.")

    def _color(self, row: int, _column: int) -> None:
        self.context.painter.show(gene=self.table.item(row, 0).text(), value_limits=None,
                                  hidden=frozenset())  # fmt: skip


def _offered(found: NicheSearch) -> list[str]:
    opened = found.plan.opened[0]
    own = (keys.NICHE, keys.GENERATED_NICHE)
    return [c for c in columns(opened) if _is_short(opened, c) and c not in own]


def _is_short(opened: Opened, column: str) -> bool:
    named = colors.is_categorical(opened.adata.obs[column])
    return named and opened.n_names(column) <= _MOST_CATEGORIES


def _hex(rgba) -> str:
    return "#" + "".join(f"{round(float(c) * 255):02x}" for c in rgba[:3])
