"""A section and a run on it, without a viewer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapely

from napari_gest.app.actions import OpenSections
from napari_gest.app.journal import Journal
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import Snapshot, open_sections
from napari_gest.app.regions import Stroke
from napari_gest.app.runs.perturbation import PerturbationRun
from napari_gest.app.session import Session
from napari_gest.model.config import ModelConfig
from napari_gest.tissue.edits import Edit


@pytest.fixture
def write_model() -> Callable[[Path, str, list[str]], Path]:
    """Writes as much of a model folder as listing it needs."""

    def write(folder: Path, name: str, genes: list[str]) -> Path:
        folder.mkdir(parents=True)
        config = ModelConfig(window_um=400.0).model_dump()
        about = {"name": name, "genes": genes, "target_sum": 250.0, "config": config}
        (folder / "config.json").write_text(json.dumps(about | {"format": 1, "card": {}}))
        for file in ("vocabulary", "weights"):
            (folder / f"{file}.safetensors").touch()
        return folder

    return write


@pytest.fixture
def model_info(opened, tmp_path, write_model) -> ModelInfo:
    return ModelInfo.read(write_model(tmp_path / "m", "m", list(opened.section.genes)))


@pytest.fixture
def plan(opened, model_info) -> PerturbationRun:
    """A gene doubled in a disc in the middle of the tissue."""
    section = opened.section
    middle = shapely.Point(*section.coords_um.mean(axis=0))
    disc = middle.buffer(0.2 * float(np.ptp(section.coords_um[:, 0])))
    stroke = Stroke.of(opened.label, "add", disc)
    snapshot = Snapshot(opened.label, section)
    edits = (Edit(section.genes[0], "multiply", 2.0),)
    return PerturbationRun(snapshot, {}, (), (stroke,), model_info, edits)


@pytest.fixture
def journal() -> Journal:
    """The journal of an empty session."""
    return Journal(Session())


@pytest.fixture
def work(journal, tissue) -> Journal:
    """A journal with the two simulated sections open; the first is in use."""
    journal.do(OpenSections.of(open_sections(tissue), journal.session.state))
    return journal
