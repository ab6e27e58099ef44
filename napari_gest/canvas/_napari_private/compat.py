"""What napari 0.9 keeps elsewhere than napari 0.6 to 0.8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari import Viewer


def camera(viewer: Viewer) -> Any:
    """Return the camera of a viewer."""
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


def scale_bar(viewer: Viewer) -> Any:
    """Return the scale bar of a viewer."""
    return viewer.canvas.overlays.scale_bar if hasattr(viewer, "canvas") else viewer.scale_bar
