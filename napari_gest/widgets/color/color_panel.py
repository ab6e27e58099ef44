"""Step 2: colour cells by a gene or by an obs column."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QSignalBlocker, QTimer
from superqt import QLabeledDoubleRangeSlider

from napari_gest import keys
from napari_gest.app import colors
from napari_gest.app.session import Opened
from napari_gest.app.view_state import CENTRED, Legend
from napari_gest.tissue.symbols import gene_texts
from napari_gest.widgets.color.legend import LegendView
from napari_gest.widgets.common.controls import Panel, SearchBox, Segments, button, fill, note, row
from napari_gest.widgets.context import Context

_HELP = "By a gene, or by any column of obs: type part of its name."
_LIKELY = ("cell_type", "celltype", "type", "cluster", "class", "region", "leiden")
_MOST_CATEGORIES = 300
_SLIDER_WAIT_MS = 60  # a style change sends every cell to the GPU again
_CELLS_RANKED = 5000


class ColorPanel(Panel):
    """Chooses what the colours show, their limits, and explains them."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self._gene_of: dict[str, str] = {}  # text that is searched, with a symbol perhaps
        self.kind = Segments({"gene": "Gene", "column": "Cell annotation"})
        self.kind.picked.connect(self._pick_kind)
        self.gene = SearchBox("Gene…")
        self.gene.picked.connect(lambda text: self.show_gene(self._gene_of.get(text, text)))
        self.obs = SearchBox("Column of obs…")
        self.obs.picked.connect(self.show_column)
        self.limits = QLabeledDoubleRangeSlider()
        self.limits.setHandleLabelPosition(QLabeledDoubleRangeSlider.LabelPosition.NoLabel)
        self.limits.setEdgeLabelMode(QLabeledDoubleRangeSlider.EdgeLabelMode.LabelIsValue)
        self.limits.valueChanged.connect(lambda _: self._wait.start())
        self.auto = button(
            "Auto", self._automatic, "Limits from the data, without the outermost 1%"
        )
        self.legend = LegendView()
        self.legend.hidden_changed.connect(lambda hidden: context.painter.show(hidden=hidden))
        self._wait = QTimer(self, singleShot=True, interval=_SLIDER_WAIT_MS)
        self._wait.timeout.connect(self._set_limits)
        self._kind = "gene"
        self._greeted = False
        self.help = note(_HELP)
        for widget in (self.help, self.kind, self.gene, self.obs, self.legend):
            self.column.addWidget(widget)
        self.column.addLayout(row(self.limits, self.auto, stretch=0))
        self.refresh()

    def show_gene(self, gene: str) -> None:
        """Colour by a gene."""
        self._kind = "gene"
        self.context.painter.show(gene=gene, column=None, value_limits=None, hidden=frozenset(),
                                  difference_limits=None, uncertainty_limits=None,
                                  delta_limits=None)  # fmt: skip

    def show_column(self, column: str) -> None:
        """Colour by a column of obs."""
        self._kind = "column"
        view = self.context.painter.view_state.view
        self.context.painter.show(
            gene=None,
            column=column,
            value_limits=None,
            hidden=frozenset(),
            view="measured" if view in CENTRED else view,
        )

    def refresh(self) -> None:
        """Show the genes and columns of the section in use, and the present colours."""
        opened, painter = self.context.scene.active, self.context.painter
        self.setEnabled(opened is not None)
        if opened is None:
            self._greeted = False
        else:
            self._gene_of = gene_texts(opened.adata, opened.section.genes)
            texts = list(self._gene_of)
            shown = dict(zip(self._gene_of.values(), texts, strict=True))
            fill(self.gene, texts, shown.get(painter.view_state.gene))
            fill(self.obs, columns(opened), painter.view_state.column)
            view_state = painter.view_state
            if (
                not self._greeted
                and view_state.gene is view_state.column is view_state.preview is None
            ):
                self._greeted = True
                self._greet(opened)
                return
        self.help.setVisible(opened is None)
        if (
            painter.view_state.gene is not None or painter.view_state.column is not None
        ):  # another may choose
            self._kind = "gene" if painter.view_state.gene is not None else "column"
        self.kind.set_current(self._kind)
        self.gene.setVisible(self._kind == "gene")
        self.obs.setVisible(self._kind == "column")
        # A preview is explained in the step that made it.
        preview = painter.view_state.preview
        legend = painter.legend if preview is None else Legend(f"Coloured by {preview.title}")
        self.legend.show_legend(legend, painter.view_state.hidden)
        scaled = isinstance(legend.colors, colors.Scale)
        self.limits.setVisible(scaled)
        self.auto.setVisible(scaled)
        if scaled and not self._wait.isActive():
            self._show_limits()

    def _greet(self, opened: Opened) -> None:
        """Start a tissue with the annotation that looks like cell types, or else a gene."""
        named = [c for c in columns(opened) if colors.is_categorical(opened.obs_values(c))]
        likely = likely_column(named)
        if likely is not None:
            self.show_column(likely)
        else:
            self.show_gene(telling_gene(opened))

    def _pick_kind(self, kind: str) -> None:
        opened = self.context.scene.active
        if opened is None or kind == self._kind:
            return
        box = self.gene if kind == "gene" else self.obs
        text = box.currentText()
        self._kind = kind
        if kind == "gene":
            self.show_gene(self._gene_of.get(text, text) or telling_gene(opened))
        elif text or columns(opened):
            self.show_column(text or columns(opened)[0])
        else:
            self.refresh()

    def _show_limits(self) -> None:
        scale = self.context.painter.legend.colors
        low, high = self.context.painter.legend.range
        with QSignalBlocker(self.limits):
            self.limits.setDecimals(2 if high - low > 0.5 else 4)
            self.limits.setRange(low, max(high, low + 1e-6))
            self.limits.setValue((scale.low, scale.high))

    def _set_limits(self) -> None:
        view_state = self.context.painter.view_state
        low, high = (float(v) for v in self.limits.value())
        if view_state.view in CENTRED:  # whichever handle moved, zero stays in the middle
            scale = self.context.painter.legend.colors
            reach = abs(low) if abs(low - scale.low) > abs(high - scale.high) else abs(high)
            low, high = -reach, reach
        if high > low:
            self.context.painter.show(**{view_state.limits_field: (low, high)})

    def _automatic(self) -> None:
        self.context.painter.show(**{self.context.painter.view_state.limits_field: None})


def likely_column(names: list[str]) -> str | None:
    """Return the one of some obs columns that looks most like cell types, if any does."""
    found = [c for likely in _LIKELY for c in names if likely in c.lower()]
    return found[0] if found else None


def columns(opened: Opened) -> list[str]:
    """Return the obs columns one can colour by: numbers, and names that repeat."""
    found = []
    for key in opened.adata.obs:
        named = colors.is_categorical(opened.adata.obs[key])
        few = not named or opened.n_names(key) <= _MOST_CATEGORIES
        if few and key != keys.META_CELL:
            found.append(str(key))
    return found


def telling_gene(opened: Opened) -> str:
    """Return the gene that varies most between cells, on a log scale."""
    section = opened.section
    expression = section.expression[:: max(section.n_obs // _CELLS_RANKED, 1)].copy()
    expression.data = np.log1p(expression.data)
    mean = np.asarray(expression.mean(axis=0)).ravel()
    variance = np.asarray(expression.multiply(expression).mean(axis=0)).ravel() - mean**2
    return section.genes[int(variance.argmax())]
