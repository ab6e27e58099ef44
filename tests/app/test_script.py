"""Scripts open tissue as it was opened. No Qt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import shapely

import napari_gest
from napari_gest.app.opened import Snapshot, open_sections
from napari_gest.app.regions import Shape, Stroke
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.app.runs.labels import LabelRun, NamedRegion
from napari_gest.app.runs.niches import NicheRun
from napari_gest.app.runs.perturbation import PerturbationRun
from napari_gest.app.script import Script, read_call, section_call, session_script
from napari_gest.app.state import State
from napari_gest.errors import InputError
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
    snapshot = Snapshot(one.label, one.section)
    seen = np.zeros(one.section.n_obs, bool)
    corners = [(0.0, 0.0), (0.0, 100.0), (100.0, 100.0)]
    shape = Shape(role="unseen", section=one.label, kind="polygon", corners=corners)
    edited = shape.model_copy(update={"role": "edited"})
    scripts = [
        GenerationRun(snapshot, seen, model_info, shapes=(shape,), path=one.path).script(),
        PerturbationRun(snapshot, {}, (edited,), (), model_info, path=one.path).script(),
        NicheRun((one, two), model_info).script("number", 3),
        LabelRun(model_info, two, (one,), "region").script(),
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
    assert 10 < inside.sum() < Roi(shapely.Polygon(ring.geometry.exterior)).contains(coords).sum()

    def stop(*args, **options):
        raise _Called(*args)

    for name in ("perturb", "train_head"):
        monkeypatch.setattr(napari_gest, name, stop, raising=False)
    monkeypatch.setattr(type(tiny_model), "load", lambda *_: tiny_model)

    def called(script):
        with pytest.raises(_Called) as end:
            exec(compile(script, "copied", "exec"), {})
        return end.value.args

    snapshot = Snapshot(one.label, one.section)
    stroke = Stroke.of(one.label, "add", ring.geometry)
    run = PerturbationRun(
        snapshot, {}, (), (stroke,), model_info, remove=True, path=one.path
    )  # fmt: skip
    np.testing.assert_array_equal(called(run.script())[2], inside)
    regions = (NamedRegion("rim", ring, one.label),)
    labels = LabelRun(model_info, one, (one,), regions=regions)
    (learnt,) = called(labels.script())[2]
    np.testing.assert_array_equal(learnt == "rim", inside)


def test_a_file_is_read_once_and_nothing_kept_makes_no_script(sections, model_info):
    script, (one, two) = Script(), sections
    assert script.section(one.section, one.path) == "section"
    assert script.section(two.section, two.path) == "section_2"
    assert script.model(model_info) == script.model(model_info) == "model"
    text = script.text("twice")
    assert text.count("read_tissue(") == 1
    assert text.count("GeST.load(") == 1
    with pytest.raises(InputError, match="Nothing was kept"):
        session_script(State())


def test_a_file_that_is_open_twice_is_read_and_written_twice(sections, model_info):
    one, path = sections[0], sections[0].path
    again = open_sections(read_tissue(path), path, reading=OTHER)[0]
    script = Script([*sections, again])
    assert script.section(one.section, path) == "section"
    assert script.section(sections[1].section, path) == "section_2"
    assert script.section(again.section, path) == "section_3"
    assert script.adata(one.section, path) == script.adata(sections[1].section, path) == "adata"
    assert script.adata(again.section, path) == "adata_2"
    text = script.text("session")
    assert "section_3 = Section.from_anndata(adata_2, " in text
    assert text.count("read_tissue(") == 2
    assert "write_tissue(adata, 'own_session.h5ad')" in text
    assert "write_tissue(adata_2, 'own_session_2.h5ad')" in text


def test_files_of_one_name_in_two_folders_are_both_written(tissue, tmp_path):
    paths = [tmp_path / folder / "own.h5ad" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        write_tissue(tissue, path)
    opened = [open_sections(read_tissue(path), path)[0] for path in paths]
    script = Script(opened)
    for one in opened:
        script.section(one.section, one.path)
    text = script.text("session")
    assert text.count("'own_session.h5ad'") == text.count("'own_session_2.h5ad'") == 1
