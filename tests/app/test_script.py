"""Scripts open tissue as it was opened. No Qt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely

import napari_gest
from napari_gest.app.runs.generation import Plan
from napari_gest.app.runs.labels import LabelPlan, NamedRegion
from napari_gest.app.runs.niches import NichePlan
from napari_gest.app.runs.perturbation import Experiment
from napari_gest.app.script import read_call, roi_call, section_call
from napari_gest.app.session import Session, Snapshot, open_sections
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.reading import Reading
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.section import Section

OTHER = Reading("pixels", "slide", "norm", 0.25, "log1p")


@pytest.fixture
def sections(tissue, tmp_path):
    """Two sections with other keys, in pixels, with logged values."""
    tissue = tissue.copy()
    tissue.obsm["pixels"] = tissue.obsm.pop("spatial") / 0.25
    tissue.obs["slide"] = tissue.obs.pop("section")
    tissue.layers["norm"] = tissue.X.log1p()
    write_tissue(tissue, tmp_path / "own.h5ad")
    path = tmp_path / "own.h5ad"
    return open_sections(read_tissue(path), path, reading=OTHER)


def test_a_section_is_taken_as_it_was(sections):
    one = sections[0]
    scope = {"Section": Section, "read_tissue": read_tissue}
    exec(f"adata = {read_call(one.path)}\nsection = {section_call(one.section)}", scope)
    assert scope["section"].reading == OTHER
    np.testing.assert_array_equal(scope["section"].coords_um, one.section.coords_um)
    assert (scope["section"].expression != one.section.expression).nnz == 0


def test_what_is_usual_is_left_out(section):
    assert section_call(section) == "Section.from_anndata(adata, 'section_1')"
    assert read_call(None) == "read_tissue('tissue.h5ad')"
    assert read_call(Path("a.h5ad")) == "read_tissue('a.h5ad')"


def test_every_script_does_so(sections, model_info):
    one, two = sections
    session = Session()
    session.add(one)
    snapshot = session.snapshot(one.label)
    roi = Roi.from_vertices([[(0, 0), (0, 100), (100, 100)]])
    seen = np.zeros(one.section.n_obs, bool)
    scripts = [
        Plan(snapshot, seen, model_info, roi=roi, path=one.path).script(),
        Experiment(snapshot, {}, roi, model_info, path=one.path).script(),
        NichePlan((one, two), model_info).script("number", 3),
        LabelPlan(model_info, two, one, "region").script(),
    ]
    for script in scripts:
        compile(script, "copied", "exec")
        assert script.count("Section.from_anndata(") == script.count("layer='norm'")
        assert script.count("um_per_unit=0.25") == script.count("scale='log1p'") > 0


class _Called(Exception):
    """Ends a script at a call; ``args`` are those of the call."""


def test_every_script_keeps_the_holes_of_a_region(
    tissue, model_info, tiny_model, tmp_path, monkeypatch
):
    write_tissue(tissue, tmp_path / "two.h5ad")
    one, _ = open_sections(read_tissue(tmp_path / "two.h5ad"), tmp_path / "two.h5ad")
    coords = one.section.coords_um
    middle, width = shapely.Point(*coords.mean(axis=0)), float(np.ptp(coords[:, 0]))
    ring = Roi(middle.buffer(0.3 * width).difference(middle.buffer(0.2 * width)))
    inside = ring.contains(coords)
    filled = Roi(shapely.Polygon(ring.geometry.exterior)).contains(coords)
    assert 10 < inside.sum() < filled.sum()
    assert shapely.equals_exact(eval(roi_call(ring), vars(shapely) | {"Roi": Roi}).geometry,
                                ring.geometry)  # fmt: skip

    def stop(*args, **options):
        raise _Called(*args)

    for name in ("generate", "perturb", "train_head"):
        monkeypatch.setattr(napari_gest, name, stop, raising=False)
    monkeypatch.setattr(type(tiny_model), "load", lambda *_: tiny_model)

    def called(script):
        with pytest.raises(_Called) as end:
            exec(compile(script, "copied", "exec"), {})
        return end.value.args

    snapshot = Snapshot(one.label, one.section)
    generation = Plan(snapshot, inside, model_info, roi=ring, path=one.path)
    np.testing.assert_array_equal(called(generation.script())[2], inside)
    experiment = Experiment(snapshot, {}, ring, model_info, remove=True, path=one.path)
    np.testing.assert_array_equal(called(experiment.script())[2], inside)
    labels = LabelPlan(model_info, one, one, regions=(NamedRegion("rim", ring),))
    (learnt,) = called(labels.script())[2]
    np.testing.assert_array_equal(learnt == "rim", inside)
