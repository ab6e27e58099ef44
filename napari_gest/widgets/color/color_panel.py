"""Step 2: colour cells by a gene or by an obs column."""

from __future__ import annotations

from dataclasses import replace

from qtpy.QtCore import QSignalBlocker
from superqt import QLabeledDoubleRangeSlider
from superqt.utils import qdebounced

from napari_gest.app import colors
from napari_gest.app.actions import ChangeView
from napari_gest.app.obs_columns import columns, likely_column
from napari_gest.app.runs.check import believable
from napari_gest.app.view_state import CENTRED, Legend
from napari_gest.widgets.color.legend import LegendView
from napari_gest.widgets.common.controls import (
    Panel,
    SearchBox,
    Segments,
    button,
    fill,
    note,
    row,
)
from napari_gest.widgets.context import Context

_HELP = "By a gene, or by any column of obs: type part of its name."
_SLIDER_WAIT_MS = 60  # a style change sends every cell to the GPU again
_KINDS = ("gene", "column")
_NO_LIMITS = {
    "value_limits": None,
    "difference_limits": None,
    "uncertainty_limits": None,
    "delta_limits": None,
}


class ColorPanel(Panel):
    """Chooses what the colours show, their limits, and explains them."""

    inputs = frozenset({"sections", "active", "view", "choices", "runs", "kept", "shown"})

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.kind = Segments({"gene": "Gene", "column": "Cell annotation"})
        self.kind.picked.connect(self._pick_kind)
        self.gene = SearchBox("Gene…")
        self.gene.picked.connect(self.show_gene)
        self.obs = SearchBox("Column of obs…")
        self.obs.picked.connect(self.show_column)
        self.limits = QLabeledDoubleRangeSlider()
        self.limits.setHandleLabelPosition(QLabeledDoubleRangeSlider.LabelPosition.NoLabel)
        self.limits.setEdgeLabelMode(QLabeledDoubleRangeSlider.EdgeLabelMode.LabelIsValue)
        self.limits.valueChanged.connect(self._on_moved)
        self.auto = button(
            "Auto", self._automatic, "Limits from the data, without the outermost 1%"
        )
        self.legend = LegendView()
        self.legend.hidden_changed.connect(self._hide)
        self._moving = False  # a handle has not come to rest
        self._kind = "gene"
        self._seen: dict[str, str] = {}  # the gene and the column that were shown last
        self.help = note(_HELP)
        for widget in (self.help, self.kind, self.gene, self.obs, self.legend):
            self.column.addWidget(widget)
        self.column.addLayout(row(self.limits, self.auto, stretch=0))
        self.refresh()

    def show_gene(self, gene: str) -> None:
        """Colour by a gene, by its name or its text in the list, such as "Gad1 (ENSMUSG…)"."""
        opened = self.context.opened
        gene = gene if opened is None else opened.gene_texts.get(gene, gene)
        self._show(gene=gene, column=None, hidden=frozenset(), **_NO_LIMITS)

    def show_column(self, column: str) -> None:
        """Colour by a column of obs."""
        view = self.context.state.view.view
        self._show(
            gene=None,
            column=column,
            value_limits=None,
            hidden=frozenset(),
            view="measured" if view in CENTRED else view,
        )

    def refresh(self) -> None:
        """Show the genes and columns of the section in use, and the present colours."""
        opened, view = self.context.opened, self.context.state.view
        self.setEnabled(opened is not None)
        if opened is not None:
            texts = opened.gene_texts
            wanted = believable(self.context.state)
            if wanted is not None:
                texts = {text: gene for text, gene in texts.items() if gene in wanted}
                self.gene.lineEdit().setPlaceholderText("Believable gene…")
            else:
                self.gene.lineEdit().setPlaceholderText("Gene…")
            shown = next((text for text, gene in texts.items() if gene == view.gene), None)
            fill(self.gene, list(texts), shown)
            fill(self.obs, columns(opened), view.column)
        self.help.setVisible(opened is None)
        self._seen |= {k: v for k in _KINDS if (v := getattr(view, k)) is not None}
        if view.gene is not None or view.column is not None:
            self._kind = "gene" if view.gene is not None else "column"
        self.kind.set_current(self._kind)
        self.gene.setVisible(self._kind == "gene")
        self.obs.setVisible(self._kind == "column")
        # A preview is explained in the step that made it.
        preview = self.context.painter.preview
        legend = self.context.painter.legend
        shown = legend if preview is None else Legend(f"Coloured by {preview.title}")
        told = self.context.painter.told
        if told:
            shown = replace(shown, title=f"{shown.title}\n{told}")
        self.legend.show_legend(shown, view.hidden)
        scaled = isinstance(shown.colors, colors.Scale)
        self.limits.setVisible(scaled)
        self.auto.setVisible(scaled)
        if scaled and not self._moving:
            self._show_limits()

    def _show(self, **changes: object) -> None:
        self.context.do(ChangeView.of(**changes), self)

    def _hide(self, hidden: frozenset[str]) -> None:
        self._show(hidden=hidden)

    def _pick_kind(self, kind: str) -> None:
        opened = self.context.opened
        if opened is None or kind == self._kind:
            return
        self._kind = kind
        there = columns(opened)
        if kind == "gene":
            seen = self._seen.get("gene")
            self.show_gene(seen if seen in opened.section.genes else opened.telling_gene)
        elif there:
            seen = self._seen.get("column")
            self.show_column(seen if seen in there else likely_column(there) or there[0])
        else:
            self.refresh()

    def _show_limits(self) -> None:
        scale = self.context.painter.legend.colors
        low, high = self.context.painter.legend.range
        with QSignalBlocker(self.limits):
            self.limits.setDecimals(2 if high - low > 0.5 else 4)
            self.limits.setRange(low, max(high, low + 1e-6))
            self.limits.setValue((scale.low, scale.high))

    def _on_moved(self, _limits: tuple[float, float]) -> None:
        self._moving = True
        self._set_limits()

    @qdebounced(timeout=_SLIDER_WAIT_MS)
    def _set_limits(self) -> None:
        self._moving = False
        view = self.context.state.view
        low, high = (float(v) for v in self.limits.value())
        if view.view in CENTRED:  # whichever handle moved, zero stays in the middle
            scale = self.context.painter.legend.colors
            reach = abs(low) if abs(low - scale.low) > abs(high - scale.high) else abs(high)
            low, high = -reach, reach
        if high > low:
            self._show(**{view.limits_field: (low, high)})

    def _automatic(self) -> None:
        self._show(**{self.context.state.view.limits_field: None})
