"""napari with the dock open: what `napari-gest view` starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_gest.errors import InputError
from napari_gest.tissue.reading import Reading

if TYPE_CHECKING:
    import napari

    from napari_gest.widgets.dock import Home

WINDOW = (1400, 900)
DOCK_WIDTH = 384


def open_window(show: bool = True) -> tuple[napari.Viewer, Home]:
    """Open a viewer with the dock beside the canvas, at a size that shows both.

    Raises
    ------
    InputError
        If no Qt binding is installed.
    """
    # On Windows torch can fail to load after Qt; here, unlike in a plugin, it can come first.
    import torch  # noqa: F401

    try:
        import napari
        from qtpy.QtCore import Qt

        from napari_gest.widgets.dock import Home
    except ImportError as error:  # qtpy raises a kind of ImportError where there is no binding
        raise InputError(
            f"The viewer cannot start ({error}).",
            "Install a Qt binding: pip install 'napari-gest[qt]'.",
        ) from error
    viewer = napari.Viewer(title="napari-gest", show=show)
    viewer.window.resize(*WINDOW)
    home = Home(viewer)
    dock = viewer.window.add_dock_widget(home, name="GeST", area="right")
    dock.parentWidget().resizeDocks([dock], [DOCK_WIDTH], Qt.Orientation.Horizontal)
    return viewer, home


def launch(
    paths: Sequence[str | Path] = (),
    section: str | None = None,
    model: str | Path | None = None,
    reading: Reading | None = None,
) -> None:
    """Open tissue files in napari with the dock, and return when the window is closed.

    Parameters
    ----------
    paths
        Tissue files.
    section
        The one section to open; where a file has several, the dock asks by default.
    model
        Name of a model on the list, or a model folder.
    reading
        How sections are read; step 1 shows it, and the user may change it there.
    """
    import napari

    _viewer, home = open_window()
    home.open_panel.reading.choose(reading or Reading())
    if paths:
        home.open_panel.open(list(paths), section)
    if model is not None:
        if str(model) in home.context.registry.models:
            home.model_panel.choose(str(model))
        else:
            home.model_panel.add_folder(Path(model))
    napari.run()
