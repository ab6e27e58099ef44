"""Asks where to save, and writes open tissue to a file while the dock stays usable."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QWidget

import napari_gest
from napari_gest.app.opened import Opened
from napari_gest.errors import InputError
from napari_gest.files import Output, check_outputs
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.io import kind_of, source_of, write_tissue
from napari_gest.widgets.context import Kept, kept_of

if TYPE_CHECKING:
    from napari_gest.widgets.context import Context

_PACKAGE = Path(napari_gest.__file__).parent


def choose_file(
    parent: QWidget, title: str, opened: Opened | None, ending: str, kinds: str
) -> Path | None:
    """Ask where to save; None where the user thinks better of it.

    Parameters
    ----------
    parent, title
        Of the dialog.
    opened
        Section that the file is about: its name is proposed, beside its own file.
    ending
        What follows the name, such as "_generated.h5ad".
    kinds
        Qt's filter of names.
    """
    name = f"{'tissue' if opened is None else opened.label}{ending}"
    start = folder_of(opened) / name.replace("/", "-")
    path, _ = QFileDialog.getSaveFileName(parent, title, str(start), kinds)
    return Path(path) if path else None


def folder_of(opened: Opened | None) -> Path:
    """Return the folder to save beside a section: its file's, but never one of this package."""
    if opened is None or opened.path is None:
        return Path.home()
    folder = opened.path.resolve().parent
    return Path.home() if folder.is_relative_to(_PACKAGE) else folder


def save_now(context: Context, parent: QWidget, path: Path, write: Callable[[], object]) -> None:
    """Call what writes a small file at once, and say so; errors are reported over ``parent``."""
    try:
        write()
    except Exception as error:
        context.report(parent, error)
        return
    context.job_bar.say(f"Saved {path.name}.")


def busy() -> InputError:
    """Return why a job cannot start while another one is at work."""
    return InputError("A job is running.", "Wait until it has ended, or cancel it.")


def save_opened(
    context: Context, parent: QWidget, opened: Opened, path: Path, overwrite: bool
) -> None:
    """Write a section's file with all that was kept, in the background, and say so.

    Errors are reported over ``parent``; a file that exists is one unless ``overwrite``.
    """

    def work() -> Generator[Progress, None, Kept]:
        yield Progress(f"Saving {path.name}", 0, 1)
        # What is saved may be a copy in memory, while the open tissue is read from its file.
        read = [("the open tissue", source_of(opened.adata))]
        check_outputs([Output("path", path, kind_of(path), overwrite)], read)
        with context.session.as_it_is(opened.adata) as state:
            kept = kept_of(state, opened.adata)
            write_tissue(opened.export(), path, overwrite=overwrite)
        return kept

    def done(kept: Kept) -> None:
        context.note_saved(kept)
        context.job_bar.say(f"Saved {path.name}.")

    if not context.job_bar.start(work, done, owner=parent):
        context.report(parent, busy())
