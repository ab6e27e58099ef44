"""Step 1: open tissue."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
)

from napari_gest.errors import InputError
from napari_gest.session import open_sections
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.io import read_tissue
from napari_gest.tissue.section import section_names
from napari_gest.viewer.hooks import SAMPLE_SECTION
from napari_gest.viewer.worker import Job, Tick
from napari_gest.widgets.context import Context
from napari_gest.widgets.parts import Panel, allow, button, fill, note, row

_HELP = (
    "Open an AnnData file (.h5ad or .zarr) with cell positions in obsm['spatial'], or drop one on"
    " the canvas. Each section becomes a layer, in µm."
)


class OpenPanel(Panel):
    """Opens files and the sample, and chooses the section in use."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.file = button("Open file…", self._choose_file, primary=True)
        self.folder = button("Open .zarr…", self._choose_folder)
        self.sample = button("Sample", lambda: self.open([SAMPLE_SECTION]))
        self.sections = QComboBox()
        self.sections.setAccessibleName("Section in use")
        self.sections.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.sections.textActivated.connect(context.scene.activate)
        self.help = note(_HELP)
        self.about = note(name="gestFacts")
        self.column.addWidget(self.help)
        self.column.addLayout(row(self.file, self.folder, self.sample))
        self.column.addWidget(self.sections)
        self.column.addWidget(self.about)
        self.refresh()

    def open(self, paths: Sequence[str | Path], section: str | None = None) -> None:
        """Read files in the background; ask which sections to open where there are several."""
        paths = [Path(p) for p in paths]

        def work() -> Generator[Progress, None, list[tuple[Path, Any]]]:
            read = []
            for done, path in enumerate(paths):
                yield Progress(f"Reading {path.name}", done, len(paths))
                read.append((path, read_tissue(path)))
            return read

        job = Job(
            work,
            on_tick=self._on_tick,
            on_done=lambda read: self._choose_sections(read, section),
            on_error=lambda error: self.context.report(self, error),
        )
        self.context.jobs.start(job)

    def _choose_sections(self, read: list[tuple[Path, Any]], section: str | None) -> None:
        try:
            names = [(path, adata, name) for path, adata in read for name in section_names(adata)]
        except Exception as error:
            self.context.report(self, error)
            return
        if section is not None or len(names) == 1:
            wanted = [n for n in names if section is None or n[2] == section]
            if wanted:
                self._make(wanted)
            else:
                inside = ", ".join(n[2] for n in names)
                self.context.report(
                    self,
                    InputError(f"There is no section '{section}'.", f"Choose from: {inside}."),
                )
            return
        labels = [f"{name}   ({path.name})" if len(read) > 1 else name for path, _, name in names]
        dialog = SectionDialog(labels, self)
        dialog.accepted.connect(lambda: self._make([names[i] for i in dialog.chosen()]))
        dialog.open()

    def _make(self, wanted: list[tuple[Path, Any, str]]) -> None:
        def work() -> Generator[Progress, None, list]:
            opened = []
            for done, (path, adata, name) in enumerate(wanted):
                yield Progress(f"Checking {name}", done, len(wanted))
                opened += open_sections(adata, path, [name])
            return opened

        job = Job(
            work,
            on_tick=self._on_tick,
            on_done=self.context.scene.add_sections,
            on_error=lambda error: self.context.report(self, error),
        )
        self.context.jobs.start(job)

    def _on_tick(self, tick: Tick) -> None:
        self.about.setText(f"{tick.progress.stage}…")
        self.about.show()

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
        session, opened = self.context.session, self.context.scene.active
        busy = "Wait until the present job has ended." if self.context.jobs.busy else None
        for widget in (self.file, self.folder):
            allow(widget, busy)
        missing = None if SAMPLE_SECTION.is_file() else "This installation has no sample file."
        allow(self.sample, busy or missing, "A small synthetic section that ships with napari-gest")
        self.sections.setVisible(len(session.sections) > 1)
        self.about.setVisible(opened is not None)
        self.help.setVisible(opened is None)
        if opened is None:
            return
        fill(self.sections, list(session.sections), opened.label)
        section = opened.section
        width, height = (section.coords_um.max(axis=0) - section.coords_um.min(axis=0)) / 1000
        self.about.setText(
            f"{section.n_obs:,} cells · {len(section.genes):,} genes ·"
            f" {width:.2f} × {height:.2f} mm"
        )


class SectionDialog(QDialog):
    """Asks which sections of a file to open."""

    def __init__(self, labels: Sequence[str], parent: OpenPanel) -> None:
        super().__init__(parent)
        self.setWindowTitle("Sections to open")
        self.list = QListWidget()
        for index, label in enumerate(labels):
            item = QListWidgetItem(label, self.list)
            item.setCheckState(Qt.CheckState.Checked if index == 0 else Qt.CheckState.Unchecked)
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
