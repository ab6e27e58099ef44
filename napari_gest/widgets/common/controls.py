"""Small pieces the panels are made of."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence

from qtpy.QtCore import QEvent, QSignalBlocker, QStringListModel, Qt, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QCompleter,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QShortcut,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

_NO_LIMIT = 16_777_215  # of Qt, to the height of a widget


class Panel(QWidget):
    """A column of widgets that shows fields of the session.

    Attributes
    ----------
    inputs
        Names of the fields of the state that it shows, and "jobs" where it shows what runs. Only
        when one of them has changed is it brought up to date, once.
    n_refreshed
        How often that was.
    """

    inputs: frozenset[str] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.n_refreshed = 0
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 2, 0)
        self.column.setSpacing(6)

    def refresh(self) -> None:
        """Bring the panel up to date. It sends no action."""

    def follow(self, changed: frozenset[str]) -> bool:
        """Bring the panel up to date where an input has changed; return whether one had."""
        if not changed & self.inputs:
            return False
        self.n_refreshed += 1
        self.refresh()
        return True


def note(text: str = "", name: str = "gestHelp") -> QLabel:
    """Return a small wrapped text."""
    label = QLabel(objectName=name)
    # Names of genes, cells and files may look like HTML; they are shown as they are.
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setText(text)
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.MinimumExpanding)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def tooltip(text: str) -> str:
    """Return text for a tooltip, which Qt would show as HTML where it looks like that."""
    return text if "<" not in text else f"<qt>{rich(text)}</qt>"


def rich(text: str) -> str:
    """Return text for a label that shows HTML, as it is."""
    return html.escape(text).replace("\n", "<br>")


def row(*widgets: QWidget, stretch: int | None = None) -> QHBoxLayout:
    """Return widgets side by side; the one at ``stretch`` takes what is left."""
    layout = QHBoxLayout()
    layout.setSpacing(6)
    for index, widget in enumerate(widgets):
        layout.addWidget(widget, 1 if stretch in (None, index) else 0)
    return layout


def button(text: str, slot, tip: str = "", primary: bool = False) -> QPushButton:
    """Return a push button."""
    made = QPushButton(text)
    if primary:
        made.setObjectName("gestPrimary")
    made.setToolTip(tooltip(tip))
    made.clicked.connect(lambda: slot())
    return made


def allow(widget: QWidget, why_not: str | None, tip: str = "") -> None:
    """Enable a widget, or disable it with the reason as its tooltip."""
    widget.setEnabled(why_not is None)
    widget.setToolTip(tooltip(tip if why_not is None else why_not))


def reveal(*widgets: QWidget) -> None:
    """Scroll the dock to widgets; the last is in sight if not all can be."""
    above = widgets[0].parentWidget()
    while above is not None and not isinstance(above, QScrollArea):
        above = above.parentWidget()
    if above is not None:
        for widget in widgets:
            above.ensureWidgetVisible(widget, 0, 0)


def fill(
    box: QComboBox,
    items: Sequence[str],
    current: str | None,
    unusable: Mapping[str, str] | None = None,
) -> None:
    """Replace the items of a combo box without telling anyone, and select ``current``.

    The names of ``unusable`` are listed after the others, greyed; the reason is their tooltip.
    """
    unusable = unusable or {}
    wanted = [*items, *unusable]
    with QSignalBlocker(box):
        held = items_of(box)
        # Kept, since to ask Qt for each of 36,000 genes takes as long as an action.
        box.filled_with = held if held == wanted else wanted
        if held != wanted:
            box.clear()
            box.addItems(wanted)
            for place, reason in enumerate(unusable.values(), len(items)):
                box.setItemData(place, reason, Qt.ItemDataRole.ToolTipRole)
                box.model().item(place).setEnabled(False)
        box.setCurrentIndex(items.index(current) if current in items else -1)


def items_of(box: QComboBox) -> list[str]:
    """Return the items of a combo box; quick where ``fill`` has put them there."""
    held: list[str] | None = getattr(box, "filled_with", None)
    if held is not None and len(held) == box.count():
        return held
    return [box.itemText(index) for index in range(box.count())]


def combo(name: str, picked: Callable[[str], object] | None = None) -> QComboBox:
    """Return a combo box no wider than the dock; ``picked`` is told what the user chooses."""
    box = QComboBox()
    box.setAccessibleName(name)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    if picked is not None:
        box.textActivated.connect(picked)
    return box


def folded(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return each name after what it is whatever its case, for ``ranked``."""
    return [(name.casefold(), name) for name in names]


def ranked(names: Iterable[tuple[str, str]], typed: str) -> list[str]:
    """Return the ``folded`` names that contain what is typed: first those it begins."""
    key = typed.casefold()
    found = [(not low.startswith(key), low, name) for low, name in names if key in low]
    return [name for _, _, name in sorted(found)]


class SearchBox(QComboBox):
    """A combo box searched by typing any part of a name, in upper or lower case.

    ``picked`` is emitted with the name, ``unknown`` with what was typed where no name has it.
    """

    picked = Signal(str)
    unknown = Signal(str)

    def __init__(self, placeholder: str) -> None:
        super().__init__()
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.lineEdit().setPlaceholderText(placeholder)
        # It completes the line, not the box, which would take a place in its list for one in its
        # own.
        self.setCompleter(None)
        self._found = QStringListModel(self)
        self._searched: list[str] = []
        self._folded: list[tuple[str, str]] = []
        completer = QCompleter(self._found, self)
        completer.setCompletionMode(QCompleter.CompletionMode.UnfilteredPopupCompletion)
        completer.activated.connect(self._pick)
        self.lineEdit().setCompleter(completer)
        self.lineEdit().textEdited.connect(self._rank)
        self.textActivated.connect(self._pick)
        self.lineEdit().returnPressed.connect(lambda: self._pick(self.currentText()))

    @property
    def names(self) -> list[str]:
        """What can be searched."""
        return items_of(self)

    def _ranked(self, typed: str) -> list[str]:
        names = self.names
        if self._searched is not names:  # whatever the case, worked out once for all keys
            self._searched, self._folded = names, folded(names)
        return ranked(self._folded, typed)

    def _rank(self, typed: str) -> None:
        self._found.setStringList(self._ranked(typed))
        colors = self.palette()  # the pop-up is a window of its own, which no theme reaches
        style = (
            f"QListView {{ background: {colors.window().color().name()};"
            f" color: {colors.text().color().name()}; padding: 2px; }}"
            f" QListView::item {{ padding: 2px 4px; }} QListView::item:selected {{"
            f" background: {colors.highlight().color().name()};"
            f" color: {colors.highlightedText().color().name()}; }}"
        )
        popup = self.lineEdit().completer().popup()
        if popup.styleSheet() != style:
            popup.setFont(self.font())
            popup.setStyleSheet(style)

    def _pick(self, text: str) -> None:
        exact = self.findText(text, Qt.MatchFlag.MatchFixedString)  # whatever the case
        found = [self.itemText(exact)] if exact >= 0 else self._ranked(text)
        if text and found:
            with QSignalBlocker(self):
                self.setCurrentIndex(self.findText(found[0]))
            self.picked.emit(found[0])
        elif text:
            self.unknown.emit(text)


class Fold(QCollapsible):
    """A title that folds and unfolds a panel. An open one grows and shrinks with its panel."""

    def __init__(self, title: str, panel: QWidget) -> None:
        super().__init__(title)
        self.setObjectName("gestFolding")
        self.setDuration(0)
        self.setContent(panel)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.toggleButton().setObjectName("gestFold")
        self.toggleButton().setStyleSheet("")
        self.toggled.connect(self._show)
        self.collapse(animate=False)

    def set_open(self, open_: bool) -> None:
        """Fold or unfold the panel."""
        (self.expand if open_ else self.collapse)(animate=False)

    def changeEvent(self, event: QEvent) -> None:
        """Draw the arrows in the colours of another theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            self.setExpandedIcon("▼")
            self.setCollapsedIcon("▶")

    def _show(self, open_: bool) -> None:
        # QCollapsible limits the height instead: Tab would reach what is folded, and a panel that
        # grows would be cut off.
        self.content().setVisible(open_)
        self.content().setMaximumHeight(_NO_LIMIT)


class Segments(QWidget):
    """A row of buttons of which one is chosen."""

    picked = Signal(str)

    def __init__(self, options: dict[str, str]) -> None:
        super().__init__()
        self._buttons = {key: QPushButton(text) for key, text in options.items()}
        group = self._group = QButtonGroup(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for key, made in self._buttons.items():
            made.setObjectName("gestSegment")
            made.setCheckable(True)
            made.clicked.connect(lambda _=False, key=key: self.picked.emit(key))
            group.addButton(made)
            layout.addWidget(made, 1)

    def set_current(self, key: str | None) -> None:
        """Show ``key`` as chosen, or none if it is no option, without telling anyone."""
        if key in self._buttons:
            self._buttons[key].setChecked(True)
            return
        self._group.setExclusive(False)
        for made in self._buttons.values():
            made.setChecked(False)
        self._group.setExclusive(True)

    def option(self, key: str) -> QPushButton:
        """Return the button of an option."""
        return self._buttons[key]


def shortcut(keys: str, parent: QWidget, slot: Callable[[], object]) -> QShortcut:
    """Return a shortcut that works while a widget or something in it has the focus."""
    made = QShortcut(QKeySequence(keys), parent)
    made.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
    made.activated.connect(slot)
    return made
