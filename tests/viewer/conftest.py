"""A section and a run on it, without a viewer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import shapely

from napari_gest.model.config import ModelConfig
from napari_gest.session import Opened, Snapshot, open_sections
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.roi import Roi
from napari_gest.viewer.experiment import Experiment
from napari_gest.viewer.shelf import ModelInfo
from napari_gest.viewer.trial import Trial


@pytest.fixture
def opened(tissue) -> Opened:
    return open_sections(tissue)[0]


@pytest.fixture
def trial(opened) -> Trial:
    """A run of 40 measured cells and 3 new ones, of which the first 10 are filled."""
    unseen = np.zeros(opened.section.n_obs, bool)
    unseen[5:45] = True
    snapshot = Snapshot(opened.label, opened.section)
    new = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    made = Trial(snapshot, opened.section.genes, unseen, new)
    rng = np.random.default_rng(0)
    shape = (10, len(made.genes))
    made.fill(
        SimpleNamespace(
            index=np.arange(10),
            expression=rng.random(shape, np.float32),
            sd=rng.random(shape, np.float32),
            entropy=rng.random(10, np.float32),
        )
    )
    return made


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
def plan(opened, model_info) -> Experiment:
    """A gene doubled in a disc in the middle of the tissue."""
    section = opened.section
    middle = shapely.Point(*section.coords_um.mean(axis=0))
    roi = Roi(middle.buffer(0.2 * float(np.ptp(section.coords_um[:, 0]))))
    snapshot = Snapshot(opened.label, section)
    return Experiment(snapshot, {}, roi, model_info, (Edit(section.genes[0], "multiply", 2.0),))
