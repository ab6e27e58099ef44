"""The plan of an edit: its title, what is refused, and as a scenario. No Qt."""

from __future__ import annotations

from dataclasses import replace

import anndata as ad
import numpy as np
import pytest
import shapely
from scipy import sparse

from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.runs.perturbation import Label
from napari_gest.errors import InputError
from napari_gest.tasks.progress import finish
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.io import read_tissue, write_tissue
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


def dense(matrix) -> np.ndarray:
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


@pytest.mark.parametrize("how", ["an edit", "other cells"])
def test_the_script_gives_the_same_effect(plan, tissue, tiny_model, how, tmp_path, monkeypatch):
    path = tmp_path / "two.h5ad"
    write_tissue(tissue, path)
    info = ModelInfo.read(tiny_model.save(tmp_path / "tiny"))
    types = tissue.obs["cell_type"].astype(str).to_numpy()[plan.snapshot.section.rows]
    names = sorted(set(types))
    plan = replace(plan, model=info, path=path, readout="Generated again", seed=2)
    if how == "other cells":
        only, become = (Label("cell_type", name) for name in names[:2])
        plan = replace(plan, edits=(), only=only, become=become, labels={"cell_type": types})
    made = finish(plan.work(lambda name: tiny_model))
    monkeypatch.chdir(tmp_path)
    exec(compile(plan.script(), "copied", "exec"), {})
    saved, expected = ad.read_h5ad("perturbed.h5ad"), read_tissue(path)
    changed = made.write(expected)
    layers = [key for key in changed if key in expected.layers]
    assert layers
    for key in layers:
        np.testing.assert_array_equal(dense(saved.layers[key]), dense(expected.layers[key]))
