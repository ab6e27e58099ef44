"""Saving, opening and restoring a session, and what is asked before one is closed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Literal
from weakref import ref

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog, QMenu, QMessageBox, QPushButton, QWidget

from napari_gest.app.preparing import prepare
from napari_gest.app.regions import Shape, Stroke
from napari_gest.app.runs.base import UNDECIDED, RunEntry
from napari_gest.app.saved import autosave as saved
from napari_gest.app.saved.autosave import Autosave
from napari_gest.app.saved.folder import ENDING
from napari_gest.app.saved.restoring import MovedError, Restored, restore
from napari_gest.app.script import session_script
from napari_gest.app.state import State
from napari_gest.canvas.event_loop import mail
from napari_gest.errors import CheckpointError, GestError
from napari_gest.files import TEXT, write_text
from napari_gest.tasks.progress import Progress
from napari_gest.widgets.common.saving import busy, choose_file, folder_of
from napari_gest.widgets.context import Context, kept_of

Answer = Literal["keep", "discard", "cancel"]
_Drawn = tuple[tuple[Shape, ...], tuple[Stroke, ...]]


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
        self._keep = True  # what was decided when the window was asked to close
        self._saved_drawn: _Drawn = ((), ())
        self._follow_failure()
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
        if self.context.jobs.busy:
            said.append("A run is at work.")
        if runs:
            said.append(f"{_named(runs)} neither kept nor discarded.")
        if unsaved := self.context.unsaved():
            said.append(f"{_named(unsaved)} kept, but in no file yet.")
        if n := self._n_drawn():
            said.append("A region is drawn." if n == 1 else f"{n} regions are drawn.")
        return " ".join(said)

    def may_close(self, parent: QWidget, by_user: bool) -> bool:
        """Ask what becomes of undecided work, if there is any; False where it is to go on.

        A window that a program closes asks nothing: the session is kept for the next time. What is
        decided is done by ``close_session``, since napari may ask, too.
        """
        undecided = self.undecided()
        answer: Answer = "discard"
        if undecided:
            answer = self.ask(parent, undecided) if by_user else "keep"
        self._keep = answer != "discard"
        if answer == "keep":
            self.autosave.save_results()
            self.autosave.flush()
            if by_user and self.autosave.failed is not None:
                self.context.report(self, self.autosave.failed)
                return False
        return answer != "cancel"

    def close_session(self) -> None:
        """End the session as was decided when the window was asked to close."""
        self.autosave.close(keep=self._keep)

    def detach(self) -> None:
        """Hear nothing more of the session."""
        self.autosave.tell_failed(None)

    def save(self, path: Path, overwrite: bool = False) -> None:
        """Write the session into a folder, in the background."""
        context = self.context
        if not context.jobs.may_start:
            context.report(self, busy())
            return
        kept, drawn = kept_of(context.state), _drawn(context.state)
        work = self.autosave.copying(path, overwrite=overwrite)

        def done(_: object) -> None:
            context.note_saved(kept)
            self._saved_drawn = drawn
            context.job_bar.say(f"Saved the session {path.name}.")

        context.job_bar.start(lambda: work, done, owner=self)

    def open(self, folder: Path) -> None:
        """Close what is open, and go on with a saved session."""
        if not self.context.jobs.may_start:
            self.context.report(self, busy())
            return
        undecided = self.undecided()
        answer = self.ask(self, undecided) if undecided else "discard"
        if answer != "cancel":
            self._read(folder, {}, keep=answer == "keep")

    def _read(self, folder: Path, moved: dict[str, Path], keep: bool) -> None:
        """Read a session, and go on with it; ``keep`` what is open for the next time."""

        def done(made: Restored | MovedError) -> None:
            if isinstance(made, MovedError):
                self.context.job_bar.say("")
                # Not in a turn that other steps wait for: the dialog runs its own event loop.
                QTimer.singleShot(0, lambda: self._locate(folder, made, moved, keep))
            else:
                self._go_on(folder, made, moved, keep)

        if not self.context.job_bar.start(lambda: _restored(folder, moved), done, owner=self):
            self.context.report(self, busy())

    def _go_on(self, folder: Path, restored: Restored, moved: dict[str, Path], keep: bool) -> None:
        """Put what was read in the place of what is open."""
        context, before = self.context, self.autosave
        if keep:
            before.save_results()
        self.autosave = context.journal.log = Autosave(context.session)
        self._follow_failure()
        context.saved.clear()
        self._saved_drawn = ((), ())
        try:
            restored.put_into(context.journal)
        except GestError as error:
            before.close(keep=True)  # nothing is in its place
            context.job_bar.say("Session > Restore the last session brings back what was open.")
            context.report(self, error)
            return
        before.close(keep=keep)
        if folder.parent.resolve() != self.autosave.folder.parent.resolve():  # it stays
            context.note_saved(kept_of(context.state))
            self._saved_drawn = _drawn(context.state)
        self.autosave.adopt(folder, moved)
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

    def _n_drawn(self) -> int:
        """Return how many regions are drawn and neither saved nor those of a run that is kept."""
        state = self.context.state
        shapes, strokes = _drawn(state)
        runs = [state.entry(id_).run for id_ in state.kept]
        used = {one for run in runs for one in getattr(run, "shapes", ())}
        painted = {one for run in runs for one in getattr(run, "strokes", ())}
        new = [one for one in shapes if one not in used and one not in self._saved_drawn[0]]
        brushed = any(s not in painted and s not in self._saved_drawn[1] for s in strokes)
        return len(new) + brushed

    def _follow_failure(self) -> None:
        """Have it reported, once, if the session is not saved any more."""
        there, window = ref(self), mail()

        def tell(error: CheckpointError) -> None:
            window.post(lambda: _report(there(), error))

        self.autosave.tell_failed(tell)

    def _locate(self, folder: Path, error: MovedError, moved: dict[str, Path], keep: bool) -> None:
        """Ask where a tissue lies now, and read the session again."""
        name = Path(error.path).name
        title = f"Where is {name} now?"
        if name.endswith(".zarr"):  # a folder
            path = QFileDialog.getExistingDirectory(self, title)
        else:
            path, _ = QFileDialog.getOpenFileName(self, title, name)
        if path:
            self._read(folder, moved | {error.path: Path(path)}, keep)
        else:
            self.context.job_bar.say(f"{error.cause} Open the session again to say where it is.")

    def _choose_save(self) -> None:
        path = choose_file(self, "Save session", self.context.opened, ENDING, "Session (*.gest)")
        if path is not None:
            # The dialog has asked before it lets an existing one be chosen, by the name it saw.
            asked = path.suffix == ENDING
            self.save(path if asked else path.with_name(path.name + ENDING), overwrite=asked)

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
        restored = yield from restore(folder, moved, without_unfit=True)
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


def _drawn(state: State) -> _Drawn:
    return state.shapes, state.strokes


def _report(menu: SessionMenu | None, error: CheckpointError) -> None:
    if menu is not None:
        menu.context.report(menu, error)


def _named(runs: Sequence[RunEntry]) -> str:
    return f"'{runs[-1].name}' is" if len(runs) == 1 else f"{len(runs)} results are"


def _said(restored: Restored) -> str:
    text = "The session is open again."
    if restored.lost:
        n = len(restored.lost)
        text += f" {n} undecided result{'s were' if n > 1 else ' was'} not saved."
    if restored.unfit:
        n = len(restored.unfit)
        text += f" {n} result{'s do' if n > 1 else ' does'} not fit the tissue any more."
    if restored.changed:
        text += " The tissue file has changed since; results may not fit it."
    return text
