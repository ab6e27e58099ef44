"""Step 1: open tissue."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anndata import AnnData
from qtpy.QtCore import QMimeData, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
)

from napari_gest import keys
from napari_gest.app.actions import Activate, ChangeView, CloseSections, OpenSections
from napari_gest.app.obs_columns import columns
from napari_gest.app.opened import Opened, open_sections, read_to_open
from napari_gest.app.preparing import prepare
from napari_gest.app.sample_tissue import SAMPLE_SECTION
from napari_gest.app.state import State
from napari_gest.app.wording import counted
from napari_gest.canvas import layers
from napari_gest.canvas.jobs import Work
from napari_gest.errors import InputError, ReadingError
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.io import TISSUE
from napari_gest.tissue.obs import few
from napari_gest.tissue.reading import Reading, where
from napari_gest.tissue.section import Section, section_names
from napari_gest.widgets.common.controls import Fold, Panel, allow, button, fill, note, row
from napari_gest.widgets.context import Context
from napari_gest.widgets.open.reading_panel import ReadingPanel

_HELP = (
    "Open an AnnData file (.h5ad or .zarr) with cell positions in obsm['spatial'], or drop it"
    " here. Each section becomes a layer, in µm."
)
_FOLD = "How to read the file"


@dataclass(frozen=True)
class _Asked:
    """What is to be opened.

    Attributes
    ----------
    paths
        The files.
    section
        The one section wanted, or None to ask where there are several.
    reading
        How sections are read.
    again
        Whether they take the place of what is open from these files.
    """

    paths: tuple[Path, ...]
    section: str | None
    reading: Reading
    again: bool


class OpenPanel(Panel):
    """Opens files and the sample, and chooses the section in use.

    ``needed`` is emitted when the user should see the panel.
    """

    inputs = frozenset({"sections", "active", "jobs"})
    needed = Signal()

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.file = button("Open file…", self._choose_file, primary=True)
        self.folder = button("Open .zarr…", self._choose_folder)
        self.sample = button("Sample", self._open_sample)
        self.sections = QComboBox()
        self.sections.setAccessibleName("Section in use")
        self.sections.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.sections.textActivated.connect(lambda label: context.do(Activate(label=label), self))
        self.help = note(_HELP)
        self.about = note(name="gestFacts")
        self.column.addWidget(self.help)
        self.column.addLayout(row(self.file, self.folder, self.sample))
        self.column.addWidget(self.sections)
        self.column.addWidget(self.about)
        self.reading = ReadingPanel()
        self.again = button("Open again", self.open_again)
        self.reset = button(
            "Reset",
            lambda: self.reading.choose(Reading()),
            "obsm['spatial'] in µm, sections by obs['section'], linear values in X",
        )
        self.reading.column.addLayout(row(self.again, self.reset))
        self.fold = Fold(_FOLD, self.reading)
        self.column.addWidget(self.fold)
        self.reading.changed.connect(self._show_reading)
        self._last: _Asked | None = None
        self.refresh()

    def open(self, paths: Sequence[str | Path], section: str | None = None) -> None:
        """Read files in the background; ask which sections to open where there are several."""
        self._open(_Asked(tuple(map(Path, paths)), section, self.reading.reading, again=False))

    def open_again(self) -> None:
        """Read the latest files as the fields say now, in place of what is open from them."""
        self._open(replace(self._last, reading=self.reading.reading, again=True))

    def _open_sample(self) -> None:
        self.reading.choose(Reading())  # it is as usual, whatever the user's own files are
        self.open([SAMPLE_SECTION])

    def _open(self, asked: _Asked) -> None:
        def work() -> Generator[Progress, None, list[tuple[Path, AnnData]]]:
            read = []
            for done, path in enumerate(asked.paths):
                yield Progress(f"Reading {path.name}", done, len(asked.paths))
                read.append((path, read_to_open(path)))
            return read

        if self._start(work, lambda read: self._choose_sections(read, asked)):
            self._last = asked

    def _start(self, work: Callable[[], Work], on_done: Callable[[Any], None]) -> bool:
        bar = self.context.job_bar
        started = bar.start(work, on_done, owner=self, on_error=self._explain)
        if started:
            self.needed.emit()
        else:
            busy = InputError("A job is running.", "Open the file when it has ended.")
            self.context.report(self, busy)
        return started

    def _failed(self, error: Exception) -> None:
        self.context.report(self, error)
        self._explain(error)

    def _explain(self, error: Exception) -> None:
        """Go to the option that may help."""
        if isinstance(error, ReadingError):
            self.fold.set_open(True)
            self.reading.focus(error.option)
            self.needed.emit()

    def _choose_sections(self, read: list[tuple[Path, AnnData]], asked: _Asked) -> None:
        self.reading.offer([adata for _, adata in read])
        try:
            names = [
                (path, adata, name) for path, adata in read for name in _names(adata, asked.reading)
            ]
        except Exception as error:
            self._failed(error)
            return
        if asked.section is not None or len(names) == 1:
            wanted = [n for n in names if asked.section in (None, n[2])]
            if wanted:
                self._make(wanted, asked)
            else:
                inside = ", ".join(n[2] for n in names)
                self._failed(
                    ReadingError(
                        f"There is no section '{asked.section}'; sections here: {inside}.",
                        "Name one of them, or the obs column that names sections"
                        f" ({where('section_key')}).",
                        "section_key",
                    )
                )
            return
        labels = [f"{name}   ({path.name})" if len(read) > 1 else name for path, _, name in names]
        present = {(o.path, o.section.name) for o in self.context.state.sections.values()}
        ticked = [i for i, (path, _, name) in enumerate(names) if (path, name) in present]
        dialog = SectionDialog(labels, self, ticked if asked.again and ticked else [0])
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)  # it holds what was read
        dialog.accepted.connect(lambda: self._make([names[i] for i in dialog.chosen()], asked))
        dialog.open()

    def _make(self, wanted: list[tuple[Path, AnnData, str]], asked: _Asked) -> None:
        def work() -> Generator[Progress, None, list[Opened]]:
            opened = []
            for done, (path, adata, name) in enumerate(wanted):
                yield Progress(f"Checking {name}", done, len(wanted))
                opened += open_sections(adata, path, [name], asked.reading)
                yield from prepare(opened[-1], layers.make_ahead)
            return opened

        if wanted:
            self._start(work, lambda opened: self._show(opened, asked))

    def _show(self, opened: list[Opened], asked: _Asked) -> None:
        context, before = self.context, self.context.state.view
        if asked.again:
            context.do(CloseSections(labels=_untouched(context.state, asked.paths)), self)
        context.do(OpenSections.of(opened, context.state, context.registry), self)
        now = context.opened
        if asked.again and now is not None:  # colours stay
            if before.column in columns(now):
                context.do(ChangeView.of(gene=None, column=before.column), self)
            elif before.gene in now.section.genes:
                context.do(ChangeView.of(gene=before.gene, column=None), self)
        context.job_bar.say("")

    def _show_reading(self) -> None:
        changed = self.reading.reading != Reading()
        self.fold.setText(f"{_FOLD} · changed" if changed else _FOLD)
        self.reset.setEnabled(changed)

    def _choose_file(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(
            self, "Open tissue", "", "AnnData (*.h5ad);;All files (*)"
        )
        if paths:
            self.open(paths)

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a .zarr folder")
        if path:
            self.open([path])

    def refresh(self) -> None:
        """Show the sections open and the numbers of the one in use."""
        sections, opened = self.context.state.sections, self.context.opened
        busy = "Wait until the present job has ended." if self.context.jobs.busy else None
        for widget in (self.file, self.folder):
            allow(widget, busy)
        none = None if self._last is not None else "Open a file first."
        again = "" if self._last is None else ", ".join(path.name for path in self._last.paths)
        allow(
            self.again,
            busy or none,
            f"Read {again} once more, as set here. It takes the place of its open sections,"
            " except those on which something was made.",
        )
        self._show_reading()
        missing = None if SAMPLE_SECTION.is_file() else "This installation has no sample file."
        allow(self.sample, busy or missing, "A small synthetic section that ships with napari-gest")
        self.sections.setVisible(len(sections) > 1)
        self.about.setVisible(opened is not None)
        self.help.setVisible(opened is None)
        if opened is None:
            return
        fill(self.sections, list(sections), opened.label)
        section = opened.section
        width, height = (section.coords_um.max(axis=0) - section.coords_um.min(axis=0)) / 1000
        self.about.setText(
            f"{counted(section.n_obs, section)} · {len(section.genes):,} genes ·"
            f" {width:.2f} × {height:.2f} mm{_generated(section)}"
        )


class SectionDialog(QDialog):
    """Asks which sections of a file to open."""

    def __init__(
        self, labels: Sequence[str], parent: OpenPanel, ticked: Sequence[int] = (0,)
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Sections to open")
        self.list = QListWidget()
        for index, label in enumerate(labels):
            item = QListWidgetItem(label, self.list)
            on = index in ticked
            item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addWidget(note(f"The file holds {len(labels)} sections."))
        column.addWidget(self.list)
        column.addLayout(
            row(
                button("All", lambda: self._check(True)), button("None", lambda: self._check(False))
            )
        )
        column.addWidget(buttons)

    def chosen(self) -> list[int]:
        """Return the numbers of the ticked sections."""
        ticked = Qt.CheckState.Checked
        return [i for i in range(self.list.count()) if self.list.item(i).checkState() == ticked]

    def _check(self, on: bool) -> None:
        for index in range(self.list.count()):
            state = Qt.CheckState.Checked if on else Qt.CheckState.Unchecked
            self.list.item(index).setCheckState(state)


def _untouched(state: State, paths: Sequence[Path]) -> tuple[str, ...]:
    """Return the sections of files on which no run was made."""
    files = {path.resolve() for path in paths}
    touched = {s.label for entry in state.listed() for s in entry.run.snapshots}
    return tuple(
        label
        for label, opened in state.sections.items()
        if opened.path is not None and opened.path.resolve() in files and label not in touched
    )


def _generated(section: Section) -> str:
    """Return what became of the generated cells of a section, in a line of its own."""
    if section.generated_from:
        return f"\nGenerated cells too, from {section.generated_from}"
    n = len(section.generated_um)
    return f"\n{n:,} generated cells are left out" if n else ""


def dropped(mime: QMimeData) -> list[Path]:
    """Return the tissue files that are dragged, or none if there is anything else."""
    paths = [Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile()]
    known = len(paths) == len(mime.urls()) and all(path.suffix in TISSUE for path in paths)
    return paths if known else []


def _names(adata: AnnData, reading: Reading) -> list[str]:
    """Return the sections of a file, as it is to be read.

    Raises
    ------
    InputError
        If there is none, or not the column asked for: fields keep what they say from file to file,
        and without it all of this one would be a single section.
    """
    key = reading.section_key
    if key not in (keys.SECTION, *adata.obs):
        raise ReadingError(
            f"There is no obs column '{key}'; columns here: {few(adata.obs.columns)}.",
            f"Name the one that names sections ({where('section_key')}).",
            "section_key",
        )
    return section_names(adata, key) or [
        Section.read(reading, adata).name
    ]  # which says what is wrong
