"""A file that was saved shows its generated cells, regions and niches again."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_gest import keys
from napari_gest.app.actions import AddRun, Discard, Keep, OpenSections, SetShapes, ShowDraw
from napari_gest.app.found_cells import generated_in
from napari_gest.app.from_file import NAME, is_from_file
from napari_gest.app.journal import Journal
from napari_gest.app.kept_regions import regions_in
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.obs_columns import columns
from napari_gest.app.opened import open_sections
from napari_gest.app.regions import Shape
from napari_gest.app.run_table import run_rows
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.app.runs.niche_outcome import kept_generated
from napari_gest.app.runs.niches import NicheRun
from napari_gest.app.saved.autosave import Autosave
from napari_gest.app.saved.restoring import restore
from napari_gest.app.script import session_script
from napari_gest.app.session import Session
from napari_gest.errors import InputError
from napari_gest.tasks.progress import finish
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.reading import Reading


@pytest.fixture(scope="module")
def info(tiny_model, tmp_path_factory) -> ModelInfo:
    return ModelInfo.read(tiny_model.save(tmp_path_factory.mktemp("model") / "tiny"))


def _opened(path, reading=None) -> Journal:
    journal = Journal(Session())
    opened = open_sections(read_tissue(path), path, reading=reading)
    journal.do(OpenSections.of(opened, journal.session.state))
    return journal


def _generate(journal, model, info, shape) -> RunEntry:
    journal.do(SetShapes(role="unseen", shapes=(shape,)))
    run = GenerationRun.of(journal.session.state, info)
    outcome = finish(run.work(lambda name: model))
    entry = RunEntry(journal.session.next_id(), run.title, run, outcome)
    journal.do(AddRun.of(entry))
    journal.do(Keep(id=entry.id))
    return entry


def _square(opened, half, at=0.0) -> Shape:
    x, y = opened.section.coords_um.mean(0) + at
    corners = (
        (x - half, y - half),
        (x - half, y + half),
        (x + half, y + half),
        (x + half, y - half),
    )
    return Shape(role="unseen", section=opened.label, kind="ellipse", corners=corners)


@pytest.fixture(scope="module")
def generated(_simulated, tiny_model, info, tmp_path_factory):
    """A file with cells generated on one section and new ones beside the other; its entries."""
    folder = tmp_path_factory.mktemp("generated")
    write_tissue(_simulated, folder / "in.h5ad")
    journal = _opened(folder / "in.h5ad")
    one, two = journal.session.state.sections.values()
    old = _generate(journal, tiny_model, info, _square(one, 40))
    coords_um = two.section.coords_um
    edge = np.array([coords_um[:, 0].max() - coords_um[:, 0].mean() + 33, 0.0])
    new = _generate(journal, tiny_model, info, _square(two, 30, edge))
    assert not new.run.unseen.any()
    adata = one.export()
    adata.obs[keys.NICHE] = np.where(np.arange(adata.n_obs) % 2, "a", "b")
    write_tissue(adata, folder / "out.h5ad")
    write_tissue(adata, folder / "out.zarr")
    return folder, old, new


@pytest.mark.parametrize("name", ["out.h5ad", "out.zarr"])
def test_cells_of_a_file_are_a_run_that_is_kept(generated, name):
    folder, *entries = generated
    journal = _opened(folder / name)
    state = journal.session.state
    assert [entry.name for entry in state.listed()] == [f"section_{i}, {NAME}" for i in (1, 2)]
    assert len(state.kept) == 2
    for found, entry in zip(state.listed("generation"), entries, strict=True):
        was, now = entry.outcome, found.outcome
        np.testing.assert_array_equal(now.cells.cells, was.cells.cells)
        np.testing.assert_allclose(now.cells.coords_um, was.cells.coords_um, rtol=1e-12)
        assert now.result.genes == was.result.genes
        np.testing.assert_array_equal(now.cells.expression, was.cells.expression)
        np.testing.assert_array_equal(now.cells.sd, was.cells.sd)
        np.testing.assert_array_equal(now.cells.expected, was.cells.expected)
        np.testing.assert_array_equal(now.cells.donor, was.cells.donor)
        assert now.cells.draws  # so that both views are there again
        assert found.run.outline.equals(entry.run.outline)
        journal.do(ShowDraw(id=found.id, draw=2))
        assert journal.session.state is state  # the file has one
        np.testing.assert_array_equal(now.cells.entropy, was.cells.entropy)
        assert now.cells.filled.all()
        assert found.run.changed_since(state) is None
    assert [texts[2] for _, texts in run_rows(state)] == ["kept", "kept"]


def test_regions_of_a_file_are_drawn_again(generated):
    folder, *entries = generated
    journal = _opened(folder / "out.h5ad")
    shapes = journal.session.state.shapes
    assert [(s.role, s.section, s.kind) for s in shapes] == [
        ("unseen", "section_1", "polygon"), ("unseen", "section_2", "polygon"),
    ]  # fmt: skip
    for shape, entry in zip(shapes, entries, strict=True):
        np.testing.assert_array_equal(shape.outline, entry.run.shapes[0].outline)
    assert journal.undoes is None
    journal.do(SetShapes(role="unseen", shapes=()))
    journal.undo()
    assert journal.session.state.shapes == shapes


def test_niches_of_a_file_can_be_coloured_by(generated):
    folder, *_ = generated
    journal = _opened(folder / "out.h5ad")
    assert keys.NICHE in columns(journal.session.state.opened)


def test_nothing_of_a_file_is_run_again_or_written(generated, info):
    folder, *_ = generated
    journal = _opened(folder / "out.h5ad")
    state = journal.session.state
    entry = next(state.listed("generation"))
    for refused in (entry.run.check, entry.run.script, lambda: finish(entry.run.work(None))):
        with pytest.raises(InputError, match="read from the file"):
            refused()
    with pytest.raises(InputError, match="Nothing was kept"):
        session_script(state)
    assert not state.opened.results
    assert kept_generated(state) == []
    assert NicheRun.of(state, info, tuple(state.sections.values())).generated == ()
    before = state.opened.adata.obs.copy()
    journal.do(Discard(id=entry.id))
    assert [e.id for e in journal.session.state.listed()] == ["file:section_2"]
    assert state.opened.adata.obs.equals(before)
    journal.undo()
    assert len(list(journal.session.state.listed())) == 2


def test_what_is_generated_on_top_is_saved_with_it(generated, tiny_model, info, tmp_path):
    folder, *_ = generated
    journal = _opened(folder / "out.h5ad")
    journal.log = log = Autosave(journal.session, tmp_path / "sessions")
    one, two = journal.session.state.sections.values()
    entry = _generate(journal, tiny_model, info, _square(one, 25, 70.0))
    assert "generate(" in session_script(journal.session.state)
    held = json.loads(one.adata.uns[keys.REGIONS])["features"]
    assert sorted(f["properties"]["section"] for f in held) == ["section_1", "section_2"]
    outline = entry.run.shapes[0].outline
    np.testing.assert_array_equal(regions_in(one.adata, "section_1", "x")[0].outline, outline)
    assert len(regions_in(one.adata, "section_2", two.label)) == 1
    log.flush()
    assert log.failed is None
    assert [p.name for p in (log.folder / "results").iterdir()] == [entry.id]
    journal.undo()
    held = json.loads(one.adata.uns[keys.REGIONS])["features"]
    assert len(held[0]["geometry"]["coordinates"][0]) == 97
    log.close()


def test_a_session_on_such_a_file_comes_back(generated, tiny_model, info, tmp_path):
    folder, *_ = generated
    journal = Journal(Session())
    journal.log = log = Autosave(journal.session, tmp_path / "sessions")
    opened = open_sections(read_tissue(folder / "out.h5ad"), folder / "out.h5ad")
    journal.do(OpenSections.of(opened, journal.session.state))
    journal.do(Discard(id="file:section_2"))
    log.close(keep=True)
    again = Journal(Session())
    finish(restore(log.folder)).put_into(again)
    state = again.session.state
    assert [e.id for e in state.listed()] == ["file:section_1"]
    assert all(is_from_file(e) for e in state.runs)
    assert state.shapes == journal.session.state.shapes
    again.undo()
    assert len(again.session.state.kept) == 2


def test_generated_cells_that_were_taken_as_measured_are_in_the_section(generated):
    folder, old, _ = generated
    reading = Reading(layer=keys.EXPRESSION, scale="log1p", include_generated=True)
    journal = _opened(folder / "out.h5ad", reading)
    for entry in journal.session.state.listed():
        assert (entry.outcome.cells.cells >= 0).all()
    without = Reading(layer=keys.EXPRESSION, scale="log1p")
    journal = _opened(folder / "out.h5ad", without)
    found = next(journal.session.state.listed())
    assert (found.outcome.cells.cells == -1).all()
    assert len(found.outcome.cells.cells) == len(old.outcome.cells.cells)


ODD = {
    "no cells": lambda a: a.obs.__setitem__(keys.GENERATED, False),
    "no expression": lambda a: a.layers.__delitem__(keys.EXPRESSION),
    "no mark": lambda a: a.obs.__delitem__(keys.GENERATED),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_not_whole_is_no_run(generated, name):
    adata = read_tissue(generated[0] / "out.h5ad").copy()
    ODD[name](adata)
    (one, _) = open_sections(adata)
    assert generated_in(one.adata, one.section) is None


_OWN = '{"features": [{"properties": {"section": "section_1"}, "geometry": %s}]}'
_NONE = ["", "{", "[]", "5", '{"features": 5}', '{"features": [1]}', "[" * 99_999]
_NONE += [
    _OWN % '{"coordinates": [["a"]]}',
    _OWN % '{"coordinates": [[[1, 2], [3, NaN], [5, 6], 7]]}',
]
_NONE += [_OWN % one for one in ("{}", "5", '{"coordinates": []}')]


@pytest.mark.parametrize("held", _NONE)
def test_regions_that_are_none_are_left_out(tissue, held):
    tissue.uns[keys.REGIONS] = held
    journal = Journal(Session())
    journal.do(OpenSections.of(open_sections(tissue), journal.session.state))
    assert journal.session.state.shapes == ()


def test_tissue_without_results_opens_as_before(tissue):
    journal = Journal(Session())
    opened = open_sections(tissue)
    journal.do(OpenSections.of(opened, journal.session.state))
    assert journal.session.state.runs == journal.session.state.shapes == ()
    assert opened[0].found_generated is None
