"""What niches are made of, and the genes that tell them apart."""

from __future__ import annotations

import html
from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QAbstractItemView, QComboBox, QHeaderView, QTableWidget, QTableWidgetItem

from napari_gest import keys
from napari_gest.app import colors
from napari_gest.app.actions import ChangeView
from napari_gest.app.obs_columns import columns, likely_column
from napari_gest.app.opened import Opened
from napari_gest.app.runs.niches import NicheSearch
from napari_gest.canvas.jobs import Job
from napari_gest.canvas.latest_job import LatestJob
from napari_gest.tasks.progress import Progress
from napari_gest.widgets.common.controls import Panel, fill, note
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
        self.box = _combo("Column of obs")
        self.box.textActivated.connect(self._pick)
        self.bars = CompositionBars()
        self.names = note()
        self.names.setTextFormat(Qt.TextFormat.RichText)  # swatches beside escaped names
        self._column: str | None = None
        self._shown: tuple[NicheSearch, Clustered] | None = None
        for widget in (self.box, self.bars, self.names):
            self.column.addWidget(widget)

    def show_niches(self, search: NicheSearch, niches: Clustered) -> None:
        """Show these niches; to count the cells again takes a while."""
        if self._shown is not None and self._shown[0] is search and self._shown[1] is niches:
            return
        self._shown = search, niches
        opened, offered = search.run.opened[0], _offered(search)
        self._column = self.likely(search)
        fill(self.box, offered, self._column)
        self.bars.setVisible(bool(offered))
        if self._column is None:
            self.names.setText("No obs column here has a few names to compare, such as cell types.")
            return
        values = search.values(self._column)
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

    def likely(self, search: NicheSearch) -> str | None:
        """Return the column that was chosen, or else the one that likely would be, if any."""
        offered = _offered(search)
        if self._column in offered:
            return self._column
        return likely_column(offered) or (offered[0] if offered else None)

    def _pick(self, column: str) -> None:
        self._column = column
        shown, self._shown = self._shown, None
        if shown is not None:
            self.show_niches(*shown)


class MarkerPage(Panel):
    """A table of the genes that tell a niche from all others, found in the background."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.box = _combo("Niche")
        self.box.textActivated.connect(lambda _: self._fill())
        self.table = QTableWidget(0, 3)
        self.table.setTabKeyNavigation(False)
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
        self.latest = LatestJob()
        self._wanted: Clustered | None = None
        self._made_for: Clustered | None = None
        self._markers = pd.DataFrame(columns=["niche", "gene", "log_fold_change", "t"])
        for widget in (self.box, self.table, self.note):
            self.column.addWidget(widget)

    def show_niches(self, niches: Clustered) -> None:
        """Show markers of these niches, once they are there."""
        if self._wanted is not None and niches.labels is self._wanted.labels:
            self._wanted = niches  # other names or colours, the same cells
            self._fill()
            return
        self._wanted = niches
        if len({s.genes for s in niches.sections}) > 1:
            self.latest.cancel()
            self.note.setText("Sections with different genes have no common marker genes.")
            return
        self.note.setText("Finding marker genes…")

        def work() -> Generator[Progress, None, pd.DataFrame]:
            yield Progress("Finding marker genes", 0, 1)
            return niches.markers()

        def done(markers: pd.DataFrame) -> None:
            self._made_for, self._markers = niches, markers
            self._fill()

        def failed(error: Exception) -> None:
            self.note.setText("")
            self.context.report(self, error)

        self.latest.start(Job(work, on_done=done, on_error=failed))

    def forget(self) -> None:
        """Let go of what was shown."""
        self.latest.cancel()
        self._wanted = self._made_for = None

    def _fill(self) -> None:
        niches, made_for = self._wanted, self._made_for
        if niches is None or made_for is None or niches.labels is not made_for.labels:
            return
        chosen = self.box.currentText()
        fill(self.box, list(niches.names), chosen if chosen in niches.names else niches.names[0])
        name = made_for.names[niches.names.index(self.box.currentText())]
        own = self._markers[self._markers["niche"] == name]
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
        unit = niches.sections[0].unit
        text = f"Against all other {unit}s, natural logarithm. Double-click colours by it."
        self.note.setText(text)

    def _color(self, row: int, _column: int) -> None:
        gene = self.table.item(row, 0).text()
        self.context.do(ChangeView.of(gene=gene, value_limits=None, hidden=frozenset()), self)


def _combo(name: str) -> QComboBox:
    box = QComboBox()
    box.setAccessibleName(name)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return box


def _offered(search: NicheSearch) -> list[str]:
    opened = search.run.opened[0]
    own = (keys.NICHE, keys.GENERATED_NICHE, keys.GENERATED, keys.NEW_CELL)
    return [
        c
        for c in columns(opened)
        if _is_short(opened, c) and c not in own and _tells_apart(search, c)
    ]


def _is_short(opened: Opened, column: str) -> bool:
    named = colors.is_categorical(opened.adata.obs[column])
    return named and opened.n_names(column) <= _MOST_CATEGORIES


def _tells_apart(search: NicheSearch, column: str) -> bool:
    """Tell whether a column has two names or more: of one, all bars would be alike."""
    having = (o for o in search.run.opened if column in o.adata.obs)
    return len({name for o in having for name in o.names(column)}) > 1


def _hex(rgba) -> str:
    return "#" + "".join(f"{round(float(c) * 255):02x}" for c in rgba[:3])
