"""The plan of an edit: its title, what is refused, and as a scenario. No Qt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely

from napari_gest.app.runs.perturbation import Label
from napari_gest.errors import InputError
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.roi import Roi


def test_titles_say_what_is_edited(plan):
    gene = plan.edits[0].gene
    assert plan.title == f"{gene} × 2"
    assert replace(plan, strength=0.5).title == f"{gene} × 2 at 0.5"
    off = (Edit("A", "knockout"), Edit("B", "shift", -1.0), Edit("C", "set", 3.0))
    assert replace(plan, edits=off).title == "A off, B -1 + 1 more"
    only = Label("cell_type", "type 1")
    assert replace(plan, edits=(), remove=True, only=only).title == "cells removed in type 1"
    assert replace(plan, become=only).title == "become type 1"


def test_what_cannot_run_is_refused_before_the_model_is_loaded(plan):
    plan.check()
    with pytest.raises(InputError, match="no edit"):
        replace(plan, edits=()).check()
    replace(plan, edits=(), remove=True).check()
    away = Roi(shapely.Point(-1e5, -1e5).buffer(1.0))
    with pytest.raises(InputError, match="no cell"):
        replace(plan, roi=away).check()


def test_a_plan_is_a_scenario(plan, tmp_path):
    from napari_gest.tasks.perturbation.scenario import Scenario

    plan = replace(plan, strength=0.5, seed=3, only=Label("cell_type", "type 1"))
    plan.scenario("mine", 20).write(tmp_path / "mine")
    read = Scenario.read(tmp_path / "mine")
    assert read.edits == plan.edits
    assert read.settings.name == "mine"
    assert read.settings.only.values == ("type 1",)
    assert (read.settings.strength, read.settings.seed) == (0.5, 3)
    np.testing.assert_array_equal(read.cells(plan.snapshot.section), plan.inside)
