"""Generation of the cells of a region: what is asked for, how it works, and its script. No Qt."""

from __future__ import annotations

import numpy as np
import pytest
from app_stubs import entry_of

from napari_gest.app.actions import Activate, AddRun, Choose, CloseSections, SetShapes
from napari_gest.app.opened import Snapshot
from napari_gest.app.regions import Shape, drawn_region, of_role
from napari_gest.app.runs.base import on_device, why_stale
from napari_gest.app.runs.check import CheckRun
from napari_gest.app.runs.generation import Begun, GenerationRun, Prepared, unseen_cells
from napari_gest.app.state import State
from napari_gest.errors import InputError
from napari_gest.model import devices
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.section import Section

ONE, TWO = "section_1", "section_2"


def square(section: Section, share: float = 0.2, label: str = ONE, at: float = 0.5) -> Shape:
    """Return a square of a share of the width, at a place in the section."""
    low, high = section.coords_um.min(axis=0), section.coords_um.max(axis=0)
    centre, half = low + at * (high - low), share * (high - low)[0] / 2
    corners = [
        (float(centre[0] + half * x), float(centre[1] + half * y))
        for x, y in ((-1, -1), (-1, 1), (1, 1), (1, -1))
    ]
    return Shape(role="unseen", section=label, kind="polygon", corners=corners)


@pytest.fixture
def draw(work):
    """Draws shapes to generate."""
    return lambda *shapes: work.do(SetShapes(role="unseen", shapes=shapes))


def steps_of(run: GenerationRun, model) -> tuple[list, object]:
    """Return the payloads of a run and its outcome."""
    payloads, steps = [], run.work(lambda name: model)
    while True:
        try:
            payloads.append(next(steps).payload)
        except StopIteration as stop:
            return [p for p in payloads if p is not None], stop.value


def test_it_is_of_what_is_drawn_and_chosen(work, draw, model_info):
    section = work.session.state.opened.section
    drawn = square(section), square(section, 0.1, at=0.4)
    draw(*drawn, square(section, label=TWO))
    work.do(Activate(label=ONE))
    work.do(Choose.of(seed=3, mode="sample"))
    run = GenerationRun.of(work.session.state, model_info)
    run.check()
    assert run.shapes == drawn == of_role(work.session.state.shapes, "unseen", ONE)
    assert (run.seed, run.mode, run.model) == (3, "sample", model_info)
    assert run.snapshots == (run.snapshot,)
    assert run.snapshot.section is section
    np.testing.assert_array_equal(run.unseen, drawn_region(drawn).contains(section.coords_um))
    assert run.title == f"{run.unseen.sum():,} cells"
    assert run.settings == "typical cells and mean, drawn region"
    assert run.outline.area == pytest.approx(run.roi.area_um2)


def test_a_column_marks_cells_in_place_of_a_region(work, draw, model_info, tissue):
    section = work.session.state.opened.section
    draw(square(section))
    tissue.obs["middle"] = np.arange(tissue.n_obs) % 7 == 0
    work.do(Choose.of(mask_key="middle"))
    run = GenerationRun.of(work.session.state, model_info)
    np.testing.assert_array_equal(run.unseen, tissue.obs["middle"].to_numpy()[section.rows])
    assert run.shapes == ()
    assert run.roi is None
    assert run.settings == "typical cells and mean, column middle"
    around = Roi(run.outline)
    assert around.contains(section.coords_um[run.unseen]).all()


def test_what_cannot_be_run(work, draw, model_info, tissue):
    state = work.session.state
    with pytest.raises(InputError, match="No tissue"):
        unseen_cells(State())
    with pytest.raises(InputError, match="No region"):
        GenerationRun.of(state, model_info)
    draw(square(state.opened.section, 3.0))
    with pytest.raises(InputError, match="every cell"):
        GenerationRun.of(work.session.state, model_info).check()
    none = np.zeros(state.opened.section.n_obs, bool)
    with pytest.raises(InputError, match="No cell is marked"):
        GenerationRun(work.session.snapshot(ONE), none, model_info, mask_key="m").check()


def test_it_is_stale_once_its_region_or_section_has_changed(work, draw, model_info):
    section = work.session.state.opened.section
    draw(square(section))
    run = GenerationRun.of(work.session.state, model_info)
    entry = entry_of(work.session.state, "run-1")
    object.__setattr__(entry, "run", run)
    work.do(AddRun.of(entry))
    assert why_stale(entry, work.session.state) is None
    draw(square(section), square(section, label=TWO))
    assert why_stale(entry, work.session.state) is None  # of the other section
    draw(square(section, 0.1))
    assert why_stale(entry, work.session.state) == "The region was changed since."
    work.undo()
    assert why_stale(entry, work.session.state) is None
    state = work.session.state
    work.do(CloseSections(labels=(ONE,)))
    assert "closed" in why_stale(entry, work.session.state)
    assert why_stale(entry, state) is None


@pytest.mark.usefixtures("short_field")
def test_cells_fill_in_as_it_works(work, draw, model_info, tiny_model):
    draw(square(work.session.state.opened.section))
    run = GenerationRun.of(work.session.state, model_info)
    (prepared, begun, *painted), outcome = steps_of(run, tiny_model)
    assert isinstance(prepared, Prepared)
    assert isinstance(begun, Begun)
    cells = run.begun(prepared)
    assert not cells.filled.any()
    half = len(painted) // 2
    for payload in painted[:half]:  # what is expected comes first
        cells.fill(payload)
    assert cells.filled.all()
    np.testing.assert_array_equal(cells.expression, cells.expected)
    for payload in painted[half:]:  # and gives way to drawn cells
        cells.fill(payload)
    np.testing.assert_array_equal(cells.expression, outcome.result.expression)
    np.testing.assert_array_equal(cells.cells, np.flatnonzero(run.unseen))
    assert outcome.cells.filled.all()
    np.testing.assert_array_equal(outcome.cells.coords_um, cells.coords_um)
    np.testing.assert_array_equal(outcome.result.expression, outcome.cells.expression)
    assert outcome.agreement.n_cells == run.unseen.sum()
    ((opened,), result) = outcome.results(work.session.state)[0]
    assert opened is work.session.state.opened
    assert result.result is outcome.result


@pytest.mark.usefixtures("short_field")
def test_a_run_that_is_cut_off_has_what_it_had_made(work, draw, model_info, tiny_model):
    draw(square(work.session.state.opened.section))
    run = GenerationRun.of(work.session.state, model_info)
    steps, so_far = run.work(lambda name: tiny_model), None
    for progress in steps:
        if isinstance(progress.payload, Begun):
            so_far = progress.payload.so_far
        elif so_far is not None and progress.payload is not None:
            break
    steps.close()
    made = so_far()
    outcome = run.outcome(made)
    assert 0 < len(outcome.cells.cells) <= run.unseen.sum()
    assert outcome.cells.filled.all()
    assert outcome.agreement_text == ""


@pytest.fixture
def hole(tissue, tmp_path):
    """A file of one section with an empty spot, and a shape in it."""
    alone = tissue[tissue.obs["section"] == ONE].copy()
    drawn = square(Section.from_anndata(alone, ONE), 0.22)
    inside = drawn_region([drawn]).contains(alone.obsm["spatial"])
    path = tmp_path / "hole.h5ad"
    write_tissue(alone[~inside].copy(), path)
    return path, square(Section.from_anndata(alone, ONE), 0.18)


def run_script(run: GenerationRun, model, monkeypatch, tmp_path) -> dict:
    """Run what is copied, with the model at hand."""
    from napari_gest.model.gest import GeST

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(GeST, "load", lambda name: model)
    scope: dict = {}
    exec(compile(run.script(), "copied", "exec"), scope)
    return scope


@pytest.mark.usefixtures("short_field")
@pytest.mark.parametrize("mode", ["weighted", "sample"])
def test_the_script_gives_the_same_cells(
    work, tissue, model_info, tiny_model, monkeypatch, tmp_path, mode
):
    write_tissue(tissue, tmp_path / "two.h5ad")
    section = Section.from_anndata(tissue, TWO)
    drawn = square(section, label=TWO), square(section, 0.1, TWO, 0.4)
    unseen = drawn_region(drawn).contains(section.coords_um)
    path = tmp_path / "two.h5ad"
    run = GenerationRun(Snapshot(TWO, section), unseen, model_info, mode, 4, drawn, path=path)
    _, outcome = steps_of(run, tiny_model)
    scope = run_script(run, tiny_model, monkeypatch, tmp_path)
    assert scope["section"].name == TWO
    np.testing.assert_array_equal(scope["unseen"], unseen)
    np.testing.assert_array_equal(scope["result"].expression, outcome.result.expression)
    assert (tmp_path / "generated.h5ad").exists()


@pytest.mark.usefixtures("short_field")
def test_the_script_places_new_cells_as_the_run_did(
    hole, model_info, tiny_model, monkeypatch, tmp_path
):
    path, drawn = hole
    section = Section.from_anndata(read_tissue(path))
    unseen = drawn_region([drawn]).contains(section.coords_um)
    assert not unseen.any()
    run = GenerationRun(
        Snapshot(ONE, section), unseen, model_info, "sample", 2, (drawn,), path=path
    )
    assert run.title == "new cells"
    (prepared, *_), outcome = steps_of(run, tiny_model)
    assert len(prepared.new_coords_um) == len(outcome.cells.cells) > 0
    assert outcome.agreement is None
    scope = run_script(run, tiny_model, monkeypatch, tmp_path)
    np.testing.assert_array_equal(scope["new"], prepared.new_coords_um)
    np.testing.assert_array_equal(scope["result"].expression, outcome.result.expression)


@pytest.mark.usefixtures("short_field")
def test_the_script_takes_a_column(work, tissue, model_info, tiny_model, monkeypatch, tmp_path):
    tissue.obs["middle"] = np.arange(tissue.n_obs) % 11 == 0
    write_tissue(tissue, tmp_path / "two.h5ad")
    work.do(Choose.of(mask_key="middle"))
    run = GenerationRun.of(work.session.state, model_info)
    object.__setattr__(run, "path", tmp_path / "two.h5ad")
    scope = run_script(run, tiny_model, monkeypatch, tmp_path)
    np.testing.assert_array_equal(scope["unseen"], run.unseen)


def test_the_script_has_a_hole_that_an_outline_encloses(section, model_info):
    """An outline that touches itself encloses a spot that is not in the region."""
    ring = Shape(
        role="unseen", section=ONE, kind="polygon",
        corners=[(0, 0), (90, 0), (90, 90), (0, 90), (0, 0), (30, 30), (30, 60), (60, 60), (60, 30),
                 (30, 30)],
    )  # fmt: skip
    roi = drawn_region([ring])
    unseen = roi.contains(section.coords_um)
    run = GenerationRun(Snapshot(ONE, section), unseen, model_info, shapes=(ring,))
    lines = [line for line in run.script().splitlines() if line.startswith("roi = ")]
    scope: dict = {"Roi": Roi}
    exec("from shapely import from_geojson\n" + lines[0], scope)
    assert scope["roi"].geometry.equals_exact(run.roi.geometry, 0)
    assert scope["roi"].geometry.area == run.roi.geometry.area


def test_a_device_that_was_chosen_is_in_the_run_and_its_script(work, draw, model_info):
    draw(square(work.session.state.opened.section))
    assert "device=" not in GenerationRun.of(work.session.state, model_info).script()
    work.do(Choose.of(device="cpu"))
    run = GenerationRun.of(work.session.state, model_info)
    run.check()
    assert run.device == "cpu"
    assert "device='cpu')" in run.script()
    elsewhere = on_device(CheckRun(run), "mps")
    assert elsewhere.generation.device == "mps"
    assert "device='mps')" in elsewhere.script()


def test_a_device_that_is_not_here_is_refused_before_work(work, draw, model_info, monkeypatch):
    monkeypatch.setattr(devices, "devices_here", lambda: ("cpu",))
    draw(square(work.session.state.opened.section))
    work.do(Choose.of(device="cuda"))
    with pytest.raises(InputError, match="no NVIDIA GPU"):
        GenerationRun.of(work.session.state, model_info).check()
