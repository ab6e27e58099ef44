"""A scenario knows how its tissue was read, and which section and model it was made with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from napari_gest.errors import InputError
from napari_gest.model.gest import GeST
from napari_gest.tasks.perturbation.scenario import Scenario, Settings
from napari_gest.tasks.perturbation.scenario_source import ScenarioSource
from napari_gest.tissue.reading import Reading
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.section import Section

READING = Reading("pixels", "slide", "counts", 0.1, "linear", True)


def test_a_source_is_stored_with_its_scenario(
    section: Section, tiny_model: GeST, tmp_path: Path
) -> None:
    source = ScenarioSource.of(READING, section, tiny_model)
    assert source.reading == READING
    ring = np.array([[0, 0], [9, 0], [9, 9.0]])
    made = Scenario(Settings(model="m", section="s"), Roi.from_vertices([ring]), source=source)
    assert Scenario.read(made.write(tmp_path / "s")).source == source
    assert Scenario.read(replace(made, source=None).write(tmp_path / "t")).source is None


def test_other_sections_and_models_are_refused(
    section: Section, tiny_model: GeST, responding: GeST
) -> None:
    source = ScenarioSource.of(Reading(), section, tiny_model)
    source.check(section, tiny_model)
    moved = replace(section, coords_um=section.coords_um + 1.0)
    with pytest.raises(InputError, match="Section 'section_1' is not the one"):
        source.check(moved, tiny_model)
    shape = tiny_model.config.model_copy(update={"window_um": 1.0})
    with pytest.raises(InputError, match="model 'tiny' is not the one"):
        source.check(section, replace(tiny_model, config=shape))
    with pytest.raises(InputError, match="model 'tiny' is not the one"):
        source.check(section, responding)


def test_a_source_holds_possible_values(section: Section, tiny_model: GeST) -> None:
    about = ScenarioSource.of(Reading(), section, tiny_model).model_dump()
    for change in ({"um_per_unit": 0.0}, {"scale": "log2"}, {"surplus": 1}):
        with pytest.raises(ValidationError):
            ScenarioSource.model_validate(about | change)
