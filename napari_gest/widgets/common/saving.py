"""Writes open tissue to a file while the dock stays usable."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

from qtpy.QtWidgets import QWidget

from napari_gest.app.opened import Opened
from napari_gest.canvas.jobs import Job
from napari_gest.files import Output, check_outputs
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.io import kind_of, source_of, write_tissue
from napari_gest.widgets.context import Context


def save_opened(
    context: Context,
    parent: QWidget,
    opened: Opened,
    path: Path,
    overwrite: bool,
    say: Callable[[str], None],
) -> None:
    """Write a section's file with all that was kept, in the background, and say so.

    Errors are reported over ``parent``; a file that exists is one unless ``overwrite``.
    """

    def work() -> Generator[Progress, None, Path]:
        yield Progress(f"Saving {path.name}", 0, 1)
        # What is saved may be a copy in memory, while the open tissue is read from its file.
        read = [("the open tissue", source_of(opened.adata))]
        check_outputs([Output("path", path, kind_of(path), overwrite)], read)
        write_tissue(opened.export(), path, overwrite=overwrite)
        return path

    context.jobs.start(
        Job(
            work,
            on_done=lambda done: say(f"Saved {done.name}."),
            on_error=lambda error: context.report(parent, error),
        )
    )
