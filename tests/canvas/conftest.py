"""A scene on a viewer without a window, with the two simulated sections open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from napari.components import ViewerModel

from napari_gest.app import model_registry
from napari_gest.app.actions import OpenSections
from napari_gest.app.journal import Journal
from napari_gest.app.model_registry import ModelRegistry
from napari_gest.app.opened import open_sections
from napari_gest.app.session import Session
from napari_gest.canvas.scene import Scene


@pytest.fixture
def empty_scene(monkeypatch, tmp_path) -> Iterator[Scene]:
    """A scene with nothing open, and no models."""
    monkeypatch.setattr(model_registry, "BUNDLED", tmp_path / "none")
    monkeypatch.setattr(model_registry, "TRAINED_HERE", tmp_path / "none")
    made = Scene(ViewerModel(), Journal(Session()), ModelRegistry())
    yield made
    made.detach()


@pytest.fixture
def scene(empty_scene, tissue) -> Scene:
    """A scene with two sections side by side."""
    state = empty_scene.session.state
    empty_scene.journal.do(OpenSections.of(open_sections(tissue), state))
    return empty_scene
