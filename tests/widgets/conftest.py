"""A real viewer with the dock, a tissue file, and a tiny model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_gest.tissue.io import write_tissue
from napari_gest.tissue.section import Section


@pytest.fixture(scope="session")
def model_folder(_simulated, untrained, tmp_path_factory) -> Path:
    """A model nobody trained, in the panel of the simulated tissue."""
    section = Section.from_anndata(_simulated, "section_1")
    size = {"n_meta_cells": 24, "n_pcs": 10, "level_sizes": (6, 4, 2)}
    model = untrained([section], 200.0, "tiny", 64, **size)
    return model.save(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def tissue_file(tissue, tmp_path) -> Path:
    """The simulated tissue with one section, and a boolean column."""
    alone = tissue[tissue.obs["section"] == "section_1"].copy()
    centre = alone.obsm["spatial"].mean(axis=0)
    near = np.linalg.norm(alone.obsm["spatial"] - centre, axis=1)
    alone.obs["middle"] = near < np.percentile(near, 10)
    write_tissue(alone, tmp_path / "tissue.h5ad")
    return tmp_path / "tissue.h5ad"


@pytest.fixture(scope="session")
def n_colors() -> Callable[[np.ndarray], int]:
    """Counts the colours of a picture (h, w, 3 or 4)."""
    return lambda picture: len(np.unique(picture[..., :3].astype(np.int64) @ [65536, 256, 1]))


@pytest.fixture(autouse=True)
def sessions_folder(monkeypatch, tmp_path) -> Path:
    """Where sessions are autosaved, in place of the user's own folder."""
    from napari_gest.app.saved import autosave

    monkeypatch.setattr(autosave, "AUTOSAVED", tmp_path / "sessions")
    return tmp_path / "sessions"


@pytest.fixture
def checks() -> None:
    """A check follows each run, as it does for users; elsewhere tests do without."""


@pytest.fixture(autouse=True)
def _few_checks(request, monkeypatch) -> None:
    from napari_gest.widgets.generate.check_panel import CheckPanel

    if "checks" not in request.fixturenames:
        monkeypatch.setattr(CheckPanel, "after_run", lambda self, generation: None)


@pytest.fixture
def viewer(make_napari_viewer):
    made = make_napari_viewer(show=True)
    made.window.resize(1200, 800)
    return made


@pytest.fixture
def home(viewer, model_folder, errors, monkeypatch, tmp_path):
    """The dock, with the tiny model as the only one."""
    from napari_gest.app import model_registry
    from napari_gest.app.saved import autosave
    from napari_gest.widgets.dock import Home

    monkeypatch.setattr(model_registry, "BUNDLED", tmp_path / "none")
    monkeypatch.setattr(model_registry, "TRAINED_HERE", model_folder.parent)
    monkeypatch.setattr(autosave, "AUTOSAVED", tmp_path / "sessions")
    made = Home(viewer)
    viewer.window.add_dock_widget(made, name="GeST", area="right")
    made.context.report = lambda parent, error: errors.append(error)
    yield made
    made.detach()
    made.context.journal.log.close()


@pytest.fixture
def errors() -> list[Exception]:
    """What the dock reported."""
    return []


@pytest.fixture
def until(qtbot, errors) -> Callable[[Callable[[], bool]], None]:
    """Waits for a condition, with patience for slow machines but none for errors."""

    def wait(condition: Callable[[], bool]) -> None:
        qtbot.waitUntil(lambda: bool(condition() or errors), timeout=60_000)
        if errors and not condition():  # what failed ends a moment after it has said so
            with contextlib.suppress(qtbot.TimeoutError):
                qtbot.waitUntil(condition, timeout=1000)
        if errors and not condition():
            raise errors[0]

    return wait


@pytest.fixture
def opened_home(home, tissue_file, until):
    """The dock with the tissue open."""
    home.open_panel.open([tissue_file])
    until(lambda: home.context.scene.active is not None and not home.context.jobs.busy)
    return home
