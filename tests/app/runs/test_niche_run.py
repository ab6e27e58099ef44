"""A search for niches without a viewer: shared trees, what is kept, the same as a script."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from napari_gest import keys
from napari_gest.app.actions import (
    AddRun,
    AskNiches,
    ChangeView,
    CloseSections,
    Discard,
    FoundNiches,
    Keep,
    MergeNiches,
    OpenSections,
    RecolorNiche,
    RenameNiche,
    SetShapes,
    UpdateRun,
)
from napari_gest.app.colors import Categories
from napari_gest.app.journal import Journal
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import open_sections
from napari_gest.app.regions import Shape
from napari_gest.app.run_preview import preview_of
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.app.runs.niche_outcome import NicheOutcome, kept_generated
from napari_gest.app.runs.niches import NicheRun, NicheSearch
from napari_gest.app.script import session_script
from napari_gest.app.session import Session
from napari_gest.errors import InputError
from napari_gest.tasks.niches.embed import EmbedRequest
from napari_gest.tasks.progress import finish
from napari_gest.tissue.io import read_tissue, write_tissue


@pytest.fixture
def info(tiny_model, tmp_path) -> ModelInfo:
    return ModelInfo.read(tiny_model.save(tmp_path / "tiny"))


@pytest.fixture
def run(tissue, info, tmp_path) -> NicheRun:
    """Of both sections of a file."""
    write_tissue(tissue, tmp_path / "two.h5ad")
    path = tmp_path / "two.h5ad"
    return NicheRun(tuple(open_sections(read_tissue(path), path)), info)


@pytest.fixture
def found(run, tiny_model) -> NicheSearch:
    return finish(run.work(lambda name: tiny_model))


@pytest.fixture
def journal(run, found) -> Journal:
    """A session of both sections and the search in them, which shows four niches."""
    made = Journal(Session())
    made.do(OpenSections.of(list(run.opened), made.session.state))
    entry = RunEntry("run-1", run.title, run, NicheOutcome.of(found, 4))
    made.do(AddRun.of(entry))
    return made


def final(journal: Journal, n_niches: int = 4) -> None:
    """Find the niches of a number themselves, as the dock does in the background."""
    outcome = journal.session.state.entry("run-1").outcome
    niches = finish(outcome.search.request("number", n_niches).run())
    journal.do(FoundNiches(id="run-1", by="number", value=n_niches, niches=niches))


def shown(journal: Journal) -> NicheOutcome:
    return journal.session.state.entry("run-1").outcome


def painted_on(journal: Journal, label: str):
    """Return what the preview shows on an open section."""
    state = journal.session.state
    return preview_of(state).sections[state.sections[label].section]


def test_sections_share_niches_and_are_kept_together(run, found, journal):
    final(journal)
    niches = shown(journal).niches
    preview = preview_of(journal.session.state)
    assert set(preview.sections) == {o.section for o in run.opened}
    assert preview.sections[run.opened[1].section].names == niches.names
    adata = run.opened[0].adata
    measured = adata.X.copy()
    journal.do(Keep(id="run-1"))
    assert adata.obs[keys.NICHE].notna().all()
    assert adata.uns[keys.NICHE_COLORS] == list(niches.colors)
    assert np.isfinite(adata.obsm[keys.NICHE_EMBEDDING]).all()
    assert (measured != adata.X).nnz == 0
    for one in run.opened:
        np.testing.assert_array_equal(
            one.obs_values(keys.NICHE).astype(str),
            np.array(niches.names)[preview.sections[one.section].codes],
        )
    journal.undo()
    assert keys.NICHE not in adata.obs
    assert not shown(journal).is_kept
    journal.redo()
    assert shown(journal).is_kept
    assert adata.obs[keys.NICHE].notna().all()


def test_changes_by_hand_are_undone_one_by_one_and_seen_at_once(journal):
    state = journal.session.state
    with pytest.raises(InputError, match="preview"):
        journal.do(RenameNiche(id="run-1", old="niche 1", new="rim"))
    assert journal.session.state is state
    final(journal)
    journal.do(RenameNiche(id="run-1", old="niche 1", new="rim"))
    journal.do(RecolorNiche(id="run-1", name="rim", color="#fedc98"))
    journal.do(MergeNiches(id="run-1", names=("rim", "niche 3")))
    assert shown(journal).niches.names == ("rim", "niche 2", "niche 4")
    painted = painted_on(journal, "section_1")
    assert isinstance(painted, Categories)
    assert painted.names == ("rim", "niche 2", "niche 4")
    np.testing.assert_allclose(painted.colors[0, :3] * 255, [0xFE, 0xDC, 0x98], atol=0.5)
    journal.undo()
    assert len(painted_on(journal, "section_1").names) == 4
    assert shown(journal).niches.colors[0] == "#fedc98"
    journal.undo()
    journal.undo()
    assert shown(journal).niches.names[0] == "niche 1"
    assert not journal.undo()  # to find niches is not undone
    for _ in range(3):
        journal.redo()
    assert shown(journal).niches.names == ("rim", "niche 2", "niche 4")
    assert "merged(['rim', 'niche 3'])" in shown(journal).script()


def test_each_number_of_niches_has_its_own_changes(journal):
    final(journal)
    journal.do(RenameNiche(id="run-1", old="niche 1", new="rim"))
    journal.do(AskNiches(id="run-1", by="number", value=3))
    assert shown(journal).is_preview
    assert shown(journal).niches.names[0] == "niche 1"
    journal.do(AskNiches(id="run-1", by="number", value=4))
    assert shown(journal).niches.names[0] == "rim"
    journal.do(AskNiches(id="run-1", by="number", value=3))
    journal.undo()  # of the name, which is shown again
    assert shown(journal).asked == ("number", 4)
    assert shown(journal).niches.names[0] == "niche 1"


def test_hidden_niches_are_those_that_are_there(journal):
    final(journal)
    journal.do(ChangeView.of(hidden={"niche 1", "niche 2"}))
    journal.do(MergeNiches(id="run-1", names=("niche 1", "niche 2")))
    assert journal.session.state.view.hidden == {"niche 1"}
    journal.do(AskNiches(id="run-1", by="number", value=3))
    assert not journal.session.state.view.hidden


def test_a_niche_stays_hidden_under_another_name(journal):
    final(journal)
    journal.do(ChangeView.of(hidden=frozenset({"niche 1", "niche 3"})))
    journal.do(RenameNiche(id="run-1", old="niche 1", new="rim"))
    assert journal.session.state.view.hidden == {"rim", "niche 3"}
    journal.undo()
    assert journal.session.state.view.hidden == {"niche 1", "niche 3"}
    journal.redo()
    assert journal.session.state.view.hidden == {"rim", "niche 3"}


def test_the_view_names_no_run_that_is_gone(journal, run, found):
    state = journal.session.state
    assert state.view.of_run == ("run-1", "niches")
    again = RunEntry("run-2", "again", run, NicheOutcome.of(found, 3))
    journal.do(AddRun.of(again))
    assert journal.session.state.view.of_run == ("run-2", "niches")
    journal.do(Discard(id="run-2"))
    assert journal.session.state.view.of_run == ("run-1", "niches")
    journal.do(Discard(id="run-1"))
    view = journal.session.state.view
    assert view.of_run is None
    assert view.column == "cell_type"  # as tissue that was just opened
    journal.undo()
    assert journal.session.state.view.of_run == ("run-1", "niches")
    journal.do(ChangeView.of(of_run=["run-7", "niches"]))  # there is none
    assert journal.session.state.view.of_run == ("run-1", "niches")
    journal.do(CloseSections(labels=(run.opened[0].label,)))
    assert journal.session.state.view.of_run == ("run-1", "niches")  # of the other section
    journal.do(CloseSections(labels=(run.opened[1].label,)))
    assert journal.session.state.view.of_run is None
    assert not list(journal.session.state.listed())


def test_a_view_of_a_run_is_a_line_of_the_journal():
    action = ChangeView.of(of_run=("run-1", "niches"), hidden=frozenset({"b", "a"}))
    line = action.model_dump(mode="json")
    assert line["changes"] == {"of_run": ["run-1", "niches"], "hidden": ["a", "b"]}
    assert ChangeView.model_validate(line) == action


def test_stability_paints_nothing_anew(journal):
    final(journal)
    before = preview_of(journal.session.state)
    niches = shown(journal).niches
    journal.do(FoundNiches(id="run-1", by="number", value=4, niches=niches, stability=np.ones(4)))
    assert preview_of(journal.session.state) is before
    np.testing.assert_array_equal(shown(journal).stability_shown, np.ones(4))
    journal.do(MergeNiches(id="run-1", names=("niche 1", "niche 2")))
    assert shown(journal).stability_shown is None  # merged ones are others


def test_nothing_is_embedded_twice(run, tiny_model):
    found = finish(run.work(lambda name: tiny_model))
    known = {(o.section, run.model.path): e
             for o, e in zip(run.opened, found.embedded, strict=True)}  # fmt: skip
    stages = []
    again = NicheRun(run.opened, run.model, embedded=known)
    other = finish(again.work(lambda name: tiny_model), lambda p: stages.append(p.stage))
    assert not any("Embedding" in stage for stage in stages)
    assert all(a is b for a, b in zip(other.embedded, found.embedded, strict=True))
    np.testing.assert_array_equal(other.tree.cut(5).labels, found.tree.cut(5).labels)


def test_what_was_kept_in_the_file_is_not_embedded_again(run, tiny_model, tmp_path, monkeypatch):
    found = finish(run.work(lambda name: tiny_model))
    ((_, kept),) = found.commits(found.tree.cut(3), [])
    kept.write(run.opened[0].adata)
    path = tmp_path / "kept.h5ad"
    write_tissue(run.opened[0].adata, path)
    monkeypatch.setattr(EmbedRequest, "run", lambda own: pytest.fail("it was embedded"))
    reopened = NicheRun(tuple(open_sections(read_tissue(path), path)), run.model)
    again = finish(reopened.work(lambda name: tiny_model))
    np.testing.assert_array_equal(again.tree.cut(5).labels, found.tree.cut(5).labels)


def test_the_script_gives_the_same_niches(run, tiny_model, tmp_path, monkeypatch):
    niches = finish(finish(run.work(lambda name: tiny_model)).request("number", 4).run())
    edits = ("merged(['niche 1', 'niche 3'])", "renamed({'niche 2': 'rim'})")
    monkeypatch.chdir(tmp_path)
    exec(compile(run.script("number", 4, edits), "copied", "exec"), {})
    saved = ad.read_h5ad("niches.h5ad").obs[keys.NICHE]
    expected = niches.merged(["niche 1", "niche 3"]).renamed({"niche 2": "rim"})
    rows = expected.rows
    np.testing.assert_array_equal(
        saved.iloc[rows].astype(str), np.array(expected.names)[expected.labels]
    )


def test_outlines_are_in_the_sections_own_um(run, tiny_model):
    found = finish(run.work(lambda name: tiny_model))
    niches = found.tree.cut(1)
    for index, opened in enumerate(run.opened):
        (area,) = found.outlines(niches, index)
        low, high = opened.section.coords_um.min(0), opened.section.coords_um.max(0)
        np.testing.assert_allclose(area.bounds, [*low, *high], atol=0.1 * float((high - low).max()))


def test_columns_of_all_sections_in_one(run, tiny_model):
    found = finish(run.work(lambda name: tiny_model))
    values = found.values("cell_type")
    assert len(values) == sum(o.section.n_obs for o in run.opened)
    own = run.opened[1].obs_values("cell_type").astype(str)
    np.testing.assert_array_equal(values.iloc[-len(own) :].astype(str), own)
    assert found.values("absent").isna().all()


def test_the_script_writes_every_section_of_every_file(
    tissue, info, tiny_model, tmp_path, monkeypatch
):
    """Two files, of which one holds two sections and both are named alike."""
    several = []
    other = tissue[tissue.obs["section"] == "section_2"].copy()
    other.obs["section"] = "section_1"
    for name, adata in (("two", tissue), ("one", other)):
        path = tmp_path / f"{name}.h5ad"
        write_tissue(adata, path)
        several += open_sections(read_tissue(path), path)
    run = NicheRun(tuple(several), info)
    search = finish(run.work(lambda name: tiny_model))
    niches = finish(search.request("number", 3).run())
    monkeypatch.chdir(tmp_path)
    exec(compile(run.script("number", 3), "copied", "exec"), {})
    for opened, kept in search.commits(niches, []):
        written = ad.read_h5ad(f"{opened[0].path.stem}_niches.h5ad")
        kept.write(opened[0].adata)
        pd.testing.assert_series_equal(
            written.obs[keys.NICHE].astype(str), opened[0].adata.obs[keys.NICHE].astype(str)
        )
        np.testing.assert_array_equal(
            written.obsm[keys.NICHE_EMBEDDING], opened[0].adata.obsm[keys.NICHE_EMBEDDING]
        )


def test_what_was_embedded_in_the_session_is_not_embedded_again(journal, run, tiny_model):
    again = NicheRun.of(journal.session.state, run.model, run.opened)
    stages = []
    finish(again.work(lambda name: tiny_model), lambda p: stages.append(p.stage))
    assert not any("Embedding" in stage for stage in stages)


@pytest.fixture
def generated(journal, run, tiny_model) -> RunEntry:
    """Cells generated in the middle of the first section, on the list of runs."""
    section = run.opened[0].section
    middle, reach = section.coords_um.mean(0), 0.15 * np.ptp(section.coords_um, axis=0)
    box = middle + reach * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    corners = tuple((float(x), float(y)) for x, y in box)
    label = run.opened[0].label
    shape = Shape(role="unseen", section=label, kind="polygon", corners=corners)
    journal.do(SetShapes(role="unseen", shapes=(shape,)))
    made = GenerationRun.of(journal.session.state, run.model)
    outcome = finish(made.work(lambda name: tiny_model))
    journal.do(AddRun.of(RunEntry("run-2", made.title, made, outcome)))
    return journal.session.state.entry("run-2")


def compare(journal: Journal, tiny_model) -> None:
    """Find the niches of generated cells that are kept, as the dock does in the background."""
    outcome, state = shown(journal), journal.session.state
    missing = outcome.search.not_compared(kept_generated(state))
    search = finish(outcome.search.compare(missing, lambda name: tiny_model))
    journal.do(UpdateRun(id="run-1", outcome=outcome.with_search(search)))


@pytest.mark.parametrize("niches_first", [True, False])
def test_generated_cells_that_are_kept_have_niches_in_dock_and_script(
    journal, run, generated, tiny_model, niches_first, tmp_path, monkeypatch
):
    final(journal)
    journal.do(RenameNiche(id="run-1", old="niche 2", new="rim"))
    adata = run.opened[0].adata
    for id_ in ("run-1", "run-2") if niches_first else ("run-2", "run-1"):
        journal.do(Keep(id=id_))
    assert keys.GENERATED_NICHE not in adata.obs
    compare(journal, tiny_model)
    made = adata.obs[keys.GENERATED_NICHE]
    assert int(made.notna().sum()) == len(generated.outcome.cells.cells)
    monkeypatch.chdir(tmp_path)
    exec(compile(session_script(journal.session.state), "script", "exec"), {})
    written = ad.read_h5ad("session.h5ad")
    for column in (keys.NICHE, keys.GENERATED_NICHE, keys.GENERATED):
        np.testing.assert_array_equal(
            written.obs[column].astype(str), adata.obs[column].astype(str)
        )
    # Without them there is nothing to name.
    journal.do(Discard(id="run-2"))
    assert keys.GENERATED_NICHE not in adata.obs
    assert adata.obs[keys.NICHE].notna().all()
    journal.undo()
    pd.testing.assert_series_equal(adata.obs[keys.GENERATED_NICHE], made)


def test_undoing_keep_leaves_what_was_found_since(journal, run, generated, tiny_model):
    final(journal)
    journal.do(Keep(id="run-2"))
    journal.do(Keep(id="run-1"))
    compare(journal, tiny_model)
    journal.undo()
    assert not shown(journal).is_kept
    assert shown(journal).search.generated
    journal.redo()
    assert keys.GENERATED_NICHE in run.opened[0].adata.obs
