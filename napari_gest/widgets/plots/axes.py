"""What all plots share: two axes, zoom, hover, clicks, and a menu that saves what is shown."""

from __future__ import annotations

import html
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFontInfo, QFontMetrics
from qtpy.QtWidgets import (
    QFileDialog,
    QMenu,
    QSizePolicy,
    QStackedLayout,
    QToolButton,
    QToolTip,
    QWidget,
)

from napari_gest.errors import GestError, InputError
from napari_gest.files import PNG, SVG, replacing, table_kind, write_bytes, write_table
from napari_gest.widgets.common.controls import note, tooltip
from napari_gest.widgets.common.errors import show_error

UP, DOWN = QColor("#D55E00"), QColor("#56B4E9")
CHOSEN = QColor("#3A8DDE")
QUIET = QColor(128, 140, 155, 150)
_MARGIN = 0.06  # of the range, on each side
_NEAR = 9  # pixels
_BUTTON = 20  # pixels, the one that opens the menu
_PAPER = 480, 320  # pixels
_PNG_WIDTH = 1920  # pixels
_HELP = "Click, then scroll to zoom; drag to move; double-click to show all"
_ENDINGS = {".svg": "SVG picture", ".png": "PNG picture", ".csv": "Table"}


class Axes(QWidget):
    """A plot with its menu.

    Subclasses put what they draw into ``plot``, and say in ``data`` which numbers that shows.

    Attributes
    ----------
    data
        Table of what is shown, a row a point.
    x_name, y_name
        Captions of the axes. That of y stands above the plot, so that the two never meet.
    x, y
        (n,) points that answer to the mouse.
    """

    def __init__(self, name: str, height: int = 170) -> None:
        super().__init__()
        self.data = pd.DataFrame()
        self.x_name = self.y_name = ""
        self.x = self.y = np.empty(0)
        self._height = height
        self._ranges: tuple[tuple[float, float], tuple[float, float]] | None = None
        self._ink = QColor()
        self.view = _View(self)
        self.plot = self.view.getPlotItem()
        self.plot.hideButtons()
        self.plot.disableAutoRange()
        for side in ("left", "bottom"):
            self.plot.getAxis(side).enableAutoSIPrefix(False)
        zero = pg.mkPen(QUIET, style=Qt.PenStyle.DotLine)
        for angle in (0, 90):
            self.plot.addItem(pg.InfiniteLine(0, angle=angle, pen=zero), ignoreBounds=True)
        self.plot.layout.setContentsMargins(1, 1, 4, 5)
        self.plot.getViewBox().sigResized.connect(lambda _: self._caption())
        self.view.scene().sigMouseClicked.connect(self._on_click)
        self.view.scene().sigMouseMoved.connect(self._on_move)
        self.message = note()
        self.message.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._pages = QStackedLayout(self)
        self._pages.addWidget(self.view)
        self._pages.addWidget(self.message)
        self.menu = QMenu(self)
        self.menu.addAction("Show all", self.show_all)
        self.menu.addSeparator()
        for ending in _ENDINGS:
            self.menu.addAction(f"Save as {ending[1:].upper()}…", lambda e=ending: self._choose(e))
        self.more = QToolButton(self, objectName="gestMore", text="⋯")
        self.more.setFixedSize(_BUTTON, _BUTTON)
        self.more.setAccessibleName(f"Menu of: {name}")
        self.more.setToolTip(_HELP)
        self.more.clicked.connect(self._open_menu)
        self.setFocusProxy(self.view)
        self.setAccessibleName(name)
        self.view.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(200, self._height)

    def words(self, index: int) -> str:
        """Return what the mouse is told of a point."""
        raise NotImplementedError

    def clicked(self, position: QPointF) -> None:
        """Do what a click at a place in the widget asks for."""

    def say(self, text: str) -> None:
        """Show a text instead of the plot; the plot again where it is empty."""
        self.message.setText(text)
        self._pages.setCurrentWidget(self.message if text else self.view)
        self.more.setVisible(not text)
        self.more.raise_()

    def describe(self, text: str) -> None:
        """Say in words what is shown, for those who do not see it."""
        self.setAccessibleDescription(text)
        self.view.setAccessibleDescription(text)

    def set_ranges(self, x: NDArray, y: NDArray, zero_y: bool = False) -> None:
        """Fit the axes to values unless they are; ``zero_y`` starts the vertical one at zero."""
        ranges = _range(x), _range(y)
        if zero_y:
            ranges = ranges[0], (0.0, ranges[1][1])
        self._caption()
        if ranges != self._ranges:
            self._ranges = ranges
            (x_low, x_high), (y_low, y_high) = ranges
            self.plot.setLimits(xMin=x_low, xMax=x_high, yMin=y_low, yMax=y_high)
            self.show_all()

    def show_all(self) -> None:
        """Undo zoom and shift."""
        if self._ranges is not None:
            self.plot.setRange(xRange=self._ranges[0], yRange=self._ranges[1], padding=0)

    def place(self, x: NDArray, y: NDArray) -> NDArray[np.float64]:
        """Return (n, 2) pixels in the widget of values (n,)."""
        (x_low, x_high), (y_low, y_high) = self.plot.viewRange()
        area = self.area
        across = (np.asarray(x, float) - x_low) / (x_high - x_low)
        up = (np.asarray(y, float) - y_low) / (y_high - y_low)
        return np.stack(
            [area.left() + across * area.width(), area.bottom() - up * area.height()], axis=1
        )

    @property
    def area(self) -> QRectF:
        """Where values are drawn, in the widget."""
        box = self.plot.getViewBox()
        return self.view.viewportTransform().mapRect(box.mapRectToScene(box.rect()))

    def nearest(self, position: QPointF) -> int | None:
        """Return the point that is near a place in the widget."""
        if not len(self.x):
            return None
        off = np.linalg.norm(self.place(self.x, self.y) - (position.x(), position.y()), axis=1)
        return int(off.argmin()) if off.min() <= _NEAR else None

    def save(self, path: Path, overwrite: bool = False) -> None:
        """Write the plot as .svg or .png, in black on white, or its data as .csv.

        Raises
        ------
        InputError
            If the file exists, unless ``overwrite``; or if the name ends differently.
        """
        from pyqtgraph.exporters import ImageExporter, SVGExporter

        if path.suffix == ".csv":
            kind = table_kind("a table of a plot", self.data.columns)
            write_table(self.data, path, kind, overwrite=overwrite)
        elif path.suffix == ".svg":
            with self._on_paper():
                picture = SVGExporter(self.plot).export(toBytes=True)
            write_bytes(path, picture, SVG, overwrite=overwrite)
        elif path.suffix == ".png":
            with self._on_paper():
                exporter = ImageExporter(self.plot)
                exporter.parameters()["width"] = _PNG_WIDTH
                image = exporter.export(toBytes=True)
            with replacing(path, PNG, overwrite=overwrite) as temporary:
                image.save(str(temporary), "PNG")
        else:
            raise InputError(
                f"A plot cannot be saved as '{path.name}'.", f"End it with {', '.join(_ENDINGS)}."
            )

    def event(self, event: QEvent) -> bool:
        done = super().event(event)
        if event.type() in (QEvent.Type.Polish, QEvent.Type.StyleChange, QEvent.Type.PaletteChange):
            self._restyle()
        return done

    def resizeEvent(self, event) -> None:
        super().resizeEvent(event)
        self.more.move(self.width() - _BUTTON, 0)

    def ink(self, color: QColor) -> None:
        """Take another colour for what is written. Subclasses that write more add to it."""
        for side in ("left", "bottom"):
            axis = self.plot.getAxis(side)
            axis.setPen(QUIET)
            axis.setTextPen(color)
            axis.setTickFont(self.font())
        self._caption(color)

    def _open_menu(self) -> None:
        self.menu.popup(self.more.mapToGlobal(self.more.rect().bottomLeft()))

    def _restyle(self) -> None:
        color = self.palette().windowText().color()
        if color != self._ink:
            self._ink = color
            self.ink(color)

    def _caption(self, color: QColor | None = None) -> None:
        color = color or self._ink
        size, metrics = f"{QFontInfo(self.font()).pixelSize()}px", QFontMetrics(self.font())
        bottom = self.plot.getAxis("bottom")
        room = max(int(self.area.width()) - _BUTTON, 0)
        x, y = (
            html.escape(metrics.elidedText(name, Qt.TextElideMode.ElideMiddle, room))
            for name in (self.x_name, self.y_name)
        )
        bottom.setLabel(x, color=color.name(), **{"font-size": size})
        bottom.setHeight(2 * metrics.height() + 6)  # numbers, then the caption
        self.plot.setTitle(y, color=color.name(), size=size, justify="left")
        self.plot.titleLabel.setMinimumWidth(0)  # the caption is made to fit, not the plot
        self.plot.layout.setRowFixedHeight(0, metrics.height() + 6)
        self.plot.layout.activate()

    @contextmanager
    def _on_paper(self) -> Iterator[None]:
        """Draw in black on white and in one size, whatever the theme and the dock."""
        size = self.view.size()
        self.view.resize(*_PAPER)
        self.view.setBackground("white")
        self.ink(QColor("black"))
        self.view.grab()  # axes take the room that their numbers need when they are drawn
        try:
            yield
        finally:
            self.view.resize(size)
            self.view.setBackground(None)
            self.ink(self._ink)

    def _on_click(self, event) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self.clicked(QPointF(self.view.mapFromScene(event.scenePos())))

    def _on_move(self, scene_position: QPointF) -> None:
        place = self.view.mapFromScene(scene_position)
        index = self.nearest(QPointF(place))
        if index is None:
            QToolTip.hideText()
        else:
            text = tooltip(self.words(index))
            QToolTip.showText(self.view.mapToGlobal(place), text, self.view)

    def _choose(self, ending: str) -> None:
        start = str(Path.home() / f"{self.accessibleName().lower().replace(' ', '_')}{ending}")
        kinds = f"{_ENDINGS[ending]} (*{ending})"
        name, _ = QFileDialog.getSaveFileName(self, "Save plot", start, kinds)
        if not name:
            return
        path = Path(name)
        # The dialog has asked before it lets an existing file be chosen, but by the name it saw.
        asked = path.suffix == ending
        try:
            self.save(path if asked else path.with_name(path.name + ending), overwrite=asked)
        except GestError as error:
            show_error(self, error)


class _View(pg.PlotWidget):
    """Leaves the wheel to the dock until the plot is clicked, and opens the plot's own menu."""

    def __init__(self, axes: Axes) -> None:
        super().__init__(background=None, enableMenu=False)
        self._axes = axes
        self.setStyleSheet("background: transparent; border: none;")

    def wheelEvent(self, event) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()

    def mouseDoubleClickEvent(self, event) -> None:
        self._axes.show_all()

    def contextMenuEvent(self, event) -> None:
        self._axes.menu.popup(event.globalPos())


def scatter(**options: object) -> pg.ScatterPlotItem:
    """Return points to be filled, without a line around them."""
    return pg.ScatterPlotItem(**{"pen": None, "antialias": True, **options})


def _range(values: NDArray) -> tuple[float, float]:
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = _MARGIN * (high - low) or 0.5 * abs(high) or 1.0
    return low - margin, high + margin
