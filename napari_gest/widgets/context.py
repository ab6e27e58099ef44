"""What the panels of one dock share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_gest.app.model_registry import ModelInfo, ModelRegistry
from napari_gest.app.runs.generation import Mode
from napari_gest.app.session import Session, session_of
from napari_gest.canvas.jobs import Jobs
from napari_gest.canvas.painter import Painter
from napari_gest.canvas.scene import Scene
from napari_gest.widgets.common.errors import show_error

if TYPE_CHECKING:
    from napari import Viewer


@dataclass
class Choices:
    """What is set for the next run."""

    mask_key: str | None = None
    model: str | None = None
    mode: Mode = "weighted"
    seed: int = 0


@dataclass(eq=False)
class Context:
    """The parts behind the panels.

    ``chosen`` is emitted when a choice changes; ``report`` shows errors, in a dialog by default.
    """

    viewer: Viewer
    session: Session
    scene: Scene
    painter: Painter
    jobs: Jobs = field(default_factory=Jobs)
    registry: ModelRegistry = field(default_factory=ModelRegistry)
    choices: Choices = field(default_factory=Choices)
    report: Callable[[QWidget, Exception], object] = show_error

    chosen = Signal()

    @classmethod
    def of(cls, viewer: Viewer) -> Context:
        """Return a fresh context on the session of ``viewer``."""
        viewer = getattr(viewer, "__wrapped__", viewer)  # docks from napari's menu get a proxy
        session = session_of(viewer)
        scene = Scene(viewer, session)
        return cls(viewer, session, scene, Painter(scene))

    @property
    def model(self) -> ModelInfo | None:
        """The model chosen, if it is still in the registry."""
        return self.registry.models.get(self.choices.model or "")
