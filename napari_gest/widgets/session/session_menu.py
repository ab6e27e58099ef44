"""Saving, opening and restoring a session, and what is asked before one is closed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Literal

from qtpy.QtWidgets import QFileDialog, QMenu, QMessageBox, QPushButton, QWidget

from napari_gest.app.preparing import prepare
from napari_gest.app.runs.base import UNDECIDED, RunEntry
from napari_gest.app.saved import autosave as saved
from napari_gest.app.saved.autosave import Autosave
from napari_gest.app.saved.folder import ENDING
from napari_gest.app.saved.restoring import MovedError, Restored, restore
from napari_gest.app.script import session_script
from napari_gest.canvas.event_loop import call_later
from napari_gest.errors import GestError
from napari_gest.files import TEXT, write_text
from napari_gest.tasks.progress import Progress
from napari_gest.widgets.common.saving import choose_file, folder_of
from napari_gest.widgets.context import Context

Answer = Literal["keep", "discard", "cancel"]


class SessionMenu(QPushButton):
    """A button with what can be done with the session as a whole.

    Attributes
    ----------
    autosave
        Writes every action to disk.
    ask
        Asks what becomes of undecided work; returns "keep", "discard" or "cancel".
    """

    def __init__(self, context: Context) -> None:
        super().__init__("Session")
        self.context = context
        if not isinstance(context.journal.log, Autosave):  # else of an earlier dock
            context.journal.log = Autosave(context.session)
        self.autosave: Autosave = context.journal.log
        self.ask: Callable[[QWidget, str], Answer] = ask_undecided
        menu = QMenu(self)
        self.restore_action = menu.addAction("Restore the last session", self.restore_last)
        menu.addSeparator()
        menu.addAction("Save session…", self._choose_save)
        menu.addAction("Open session…", self._choose_open)
        menu.addSeparator()
        self.script_action = menu.addAction("Export session as Python…", self._choose_script)
        menu.aboutToShow.connect(self._allow)
        self.setMenu(menu)
        self.setToolTip("Save all that is open, drawn and made, and go on with it later")

    def undecided(self) -> str:
        """Return in words what would be lost if the session were closed now; empty if nothing."""
        state = self.context.state
        runs = [
            entry
            for entry in state.listed()
            if entry.id not in state.kept and entry.kind not in UNDECIDED
        ]
        said = []
        if runs:
            said.append(f"{_named(runs)} neither kept nor discarded.")
        if unsaved := self.context.unsaved():
            said.append(f"{_named(unsaved)} kept, but in no file yet.")
        return " ".join(said)

    def may_close(self, parent: QWidget, by_user: bool) -> bool:
        """Ask what becomes of undecided work, if there is any; False where it is to go on.

        A window that a program closes asks nothing: the session is kept for the next time.
        """
        undecided = self.undecided()
        answer: Answer = "discard"
        if undecided:
            answer = self.ask(parent, undecided) if by_user else "keep"
        if answer == "keep":
            self.autosave.save_results(lambda: None)
        if answer != "cancel":
            self.autosave.close(keep=answer == "keep")
        return answer != "cancel"

    def save(self, path: Path, overwrite: bool = False) -> None:
        """Write the session into a folder."""
        try:
            self.autosave.copy_to(path, overwrite=overwrite)
        except GestError as error:
            self.context.report(self, error)
            return
        self.context.note_saved(self.context.state.sections)
        self.context.job_bar.say(f"Saved the session {path.name}.")

    def open(self, folder: Path, moved: dict[str, Path] | None = None) -> None:
        """Close what is open, and go on with a saved session."""
        moved = moved or {}
        undecided = self.undecided()
        answer = self.ask(self, undecided) if undecided else "discard"
        if answer == "cancel":
            return

        def done(made: Restored | MovedError) -> None:
            if isinstance(made, MovedError):
                self.context.job_bar.say("")
                call_later(lambda: self._locate(folder, made, moved))
            else:
                self._go_on(folder, made, keep=answer == "keep")

        self.context.job_bar.start(lambda: _restored(folder, moved), done, owner=self)

    def _go_on(self, folder: Path, restored: Restored, keep: bool) -> None:
        """Put what was read in the place of what is open; ``keep`` that for the next time."""
        context, before = self.context, self.autosave
        if keep:
            before.save_results(lambda: None)
        before.close(keep=keep)
        self.autosave = context.journal.log = Autosave(context.session)
        try:
            restored.put_into(context.journal)
        except GestError as error:
            context.job_bar.say("")
            context.report(self, error)
            return
        self.autosave.adopt(folder)
        context.job_bar.say(_said(restored))

    def offer_restore(self) -> None:
        """Say that an earlier session was cut off, if one was."""
        if saved.interrupted():
            self.context.job_bar.say(
                "The last session was cut off. Session > Restore the last session brings it back."
            )

    def restore_last(self) -> None:
        """Go on with the session that was cut off last."""
        found = saved.interrupted()
        if found:
            self.open(found[0])

    def export_script(self, path: Path, overwrite: bool = False) -> None:
        """Write Python code that gives all that was kept."""
        try:
            script = session_script(self.context.state)
            write_text(path, script, TEXT, overwrite=overwrite)
        except GestError as error:
            self.context.report(self, error)
            return
        self.context.job_bar.say(f"Saved {path.name}.")

    def _allow(self) -> None:
        self.restore_action.setEnabled(bool(saved.interrupted()))
        self.script_action.setEnabled(bool(self.context.state.kept))

    def _locate(self, folder: Path, error: MovedError, moved: dict[str, Path]) -> None:
        """Ask where a tissue lies now, and open the session again."""
        name = Path(error.path).name
        path, _ = QFileDialog.getOpenFileName(self, f"Where is {name} now?", name)
        if path:
            self.open(folder, moved | {error.path: Path(path)})
        else:
            self.context.job_bar.say(f"{error.cause} Open the session again to say where it is.")

    def _choose_save(self) -> None:
        path = choose_file(self, "Save session", self.context.opened, ENDING, "Session (*.gest)")
        if path is not None:
            self.save(path.with_suffix(ENDING), overwrite=True)

    def _choose_open(self) -> None:
        start = str(folder_of(self.context.opened))
        path = QFileDialog.getExistingDirectory(self, "Open the folder of a session", start)
        if path:
            self.open(Path(path))

    def _choose_script(self) -> None:
        path = choose_file(self, "Export as Python", self.context.opened, "_session.py",
                           "Python (*.py)")  # fmt: skip
        if path is not None:
            self.export_script(path, overwrite=True)


def _restored(
    folder: Path, moved: dict[str, Path]
) -> Generator[Progress, None, Restored | MovedError]:
    """Read a session, or return which tissue it lacks, since that can be said."""
    try:
        restored = yield from restore(folder, moved)
    except MovedError as error:
        return error
    for opened in restored.opened:
        yield from prepare(opened)
    return restored


def ask_undecided(parent: QWidget, undecided: str) -> Answer:
    """Ask in a dialog what becomes of undecided work."""
    box = QMessageBox(parent)
    box.setWindowTitle("GeST")
    box.setText(undecided)
    box.setInformativeText("Keep the session to go on with it next time?")
    keep = box.addButton("Keep the session", QMessageBox.ButtonRole.AcceptRole)
    discard = box.addButton("Discard", QMessageBox.ButtonRole.DestructiveRole)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(keep)
    box.exec()
    clicked: Any = box.clickedButton()
    return "keep" if clicked is keep else "discard" if clicked is discard else "cancel"


def _named(runs: Sequence[RunEntry]) -> str:
    return f"'{runs[-1].name}' is" if len(runs) == 1 else f"{len(runs)} results are"


def _said(restored: Restored) -> str:
    text = "The session is open again."
    if restored.lost:
        n = len(restored.lost)
        text += f" {n} undecided result{'s were' if n > 1 else ' was'} not saved."
    if restored.changed:
        text += " The tissue file has changed since; results may not fit it."
    return text
