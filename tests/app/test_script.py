"""Scripts open tissue as it was opened. No Qt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_gest.app.opened import open_sections
from napari_gest.app.runs.generation import Plan
from napari_gest.app.runs.labels import LabelPlan
from napari_gest.app.runs.niches import NichePlan
from napari_gest.app.runs.perturbation import Experiment
from napari_gest.app.script import read_call, section_call
from napari_gest.app.session import Session
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
