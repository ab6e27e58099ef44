"""Sessions are read again: what was done, what was kept, and what can be undone."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from saved_sessions import own_values, same, square

from napari_gest.app.actions import (
    Action,
    AddRun,
    CloseSections,
    FoundNiches,
    Keep,
    OpenSections,
    RenameRun,
    SetEdits,
    SetShapes,
)
from napari_gest.app.journal import Journal
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import open_sections
from napari_gest.app.runs.effect import NotKept
from napari_gest.app.runs.labels import LabelRun
from napari_gest.app.runs.niche_outcome import NicheOutcome
from napari_gest.app.runs.niches import NicheRun
from napari_gest.app.runs.perturbation import PerturbationRun
from napari_gest.app.saved.autosave import Autosave
from napari_gest.app.saved.folder import JOURNAL, RESULTS
from napari_gest.app.saved.replaying import replay
from napari_gest.app.saved.restoring import MovedError, read_session, restore
from napari_gest.app.saved.stored_model import StoredModel
from napari_gest.app.session import Session
from napari_gest.app.state import EditChoices
from napari_gest.errors import CheckpointError, GestError, InputError
from napari_gest.tasks.progress import finish
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.io import read_tissue, write_tissue

DAMAGED = {
    "nothing": {"do": "keep"},
    "of a run that is not there": {"do": "keep", "id": "run-99", "n": 1},
    "unknown": {"do": "dance", "n": 1},
    "wrong types": {"do": "set_shapes", "role": 5, "shapes": "x", "n": 1},
    "no region": {"do": "set_strokes", "strokes": [{"section": "a", "mode": "add", "wkt": "x"}]},
    "no view": {"do": "change_view", "changes": {"hidden": 5}, "n": 2},
    "numbers of lines": {"do": "undo", "of": "seven"},
    "a far path": {"do": "add_run", "id": "../../etc", "n": 2},
}


def _restored(folder, moved=None) -> Journal:
    journal = Journal(Session())
    finish(restore(folder, moved)).put_into(journal)
    return journal


def _by_name(state):
    return {e.name: e for e in state.listed() if e.id in state.kept}


def test_all_that_was_kept_comes_back(everything):
    state, was = finish(read_session(everything.folder)), everything.state
    assert list(state.sections) == list(was.sections)
    assert (state.kept, state.active, state.view) == (was.kept, was.active, was.view)
    assert (state.shapes, state.strokes) == (was.shapes, was.strokes)
    assert (state.choices, state.edits) == (was.choices, was.edits)
    for label, opened in was.sections.items():
        same(opened.adata, state.sections[label].adata)
        assert len(opened.results) == len(state.sections[label].results)
    for name, entry in _by_name(was).items():
        again = _by_name(state)[name]
        assert (again.id, again.kind, again.finished) == (entry.id, entry.kind, entry.finished)
        assert again.run.settings == entry.run.settings
        assert again.outcome.agreement_text == entry.outcome.agreement_text
    assert "my niches" in _by_name(state)


def test_a_test_of_an_effect_comes_back_with_it(everything):
    state = finish(read_session(everything.folder))
    (entry,) = state.listed("perturbation")
    (was,) = everything.state.listed("perturbation")
    assert entry.outcome.table.equals(was.outcome.table)


def test_what_is_undecided_is_said_to_be_lost(everything):
    restored = finish(restore(everything.folder))
    undecided = [e.id for e in everything.state.listed() if e.id not in everything.state.kept]
    assert undecided[-1] in restored.lost
    assert restored.changed == ()


def test_what_was_done_can_be_undone_as_before(everything):
    journal = _restored(everything.folder)
    seen = []
    while journal.undoes is not None:
        seen.append(journal.undoes)
        assert journal.undo()
    assert seen.count("keeping") >= 6
    assert "merging niches" in seen
    assert "name of a niche" in seen
    assert journal.session.state.kept == ()
    assert journal.session.state.shapes == ()
    for opened in journal.session.state.sections.values():
        assert not [k for k in opened.adata.obs if "gest" in k]
    while journal.redo():
        pass
    state = journal.session.state
    for label, opened in everything.state.sections.items():
        same(opened.adata, state.sections[label].adata)


def test_changes_of_niches_are_undone_one_by_one(everything):
    journal = _restored(everything.folder)
    (niches,) = journal.session.state.listed("niches")
    names = set(niches.outcome.niches.names)
    assert "rim" in names
    while journal.undoes != "merging niches":
        journal.undo()
    assert journal.undo()
    outcome = journal.session.state.entry(niches.id).outcome
    assert set(outcome.niches.names) == {f"niche {i}" for i in range(1, 7)}
    assert not outcome.is_edited


def test_no_id_is_given_again(everything):
    journal = _restored(everything.folder)
    ids = {e.id for e in everything.state.runs}
    assert journal.session.next_id() not in ids


def test_undo_that_passed_something_over_is_restored_as_it_was(small):
    journal = small.journal
    one, two = small.state.sections.values()
    journal.do(SetShapes(role="unseen", shapes=(square(one, 20),)))
    journal.do(SetShapes(role="unseen", shapes=(square(one, 20), square(two, 20))))
    journal.do(CloseSections(labels=(two.label,)))
    assert journal.undo()  # of the first: the second changes nothing any more
    journal.log.flush()
    again = _restored(journal.log.folder)
    assert again.session.state.shapes == small.state.shapes == ()
    assert (again.undoes, again.redoes) == (journal.undoes, journal.redoes)
    assert again.redo()
    assert journal.redo()
    assert again.session.state.shapes == small.state.shapes


def test_a_closed_file_may_be_gone_and_its_label_used_again(small, tmp_path, tissue):
    journal, state = small.journal, small.state
    one, two = state.sections.values()
    small.keep(small.generate(one, "pick", 30))
    journal.do(CloseSections(labels=(one.label, two.label)))
    other = tissue[::2].copy()
    write_tissue(other, tmp_path / "other.h5ad")
    opened = open_sections(read_tissue(tmp_path / "other.h5ad"), tmp_path / "other.h5ad")
    journal.do(OpenSections.of(opened, small.state))
    assert opened[0].label == one.label
    kept = small.keep(small.generate(opened[0], "pick", 30))
    journal.log.flush()
    (tmp_path / "t.h5ad").unlink()
    again = _restored(journal.log.folder).session.state
    assert again.kept == (kept,)
    same(opened[0].adata, again.sections[one.label].adata)


def test_sections_of_one_anndata_stay_together(tmp_path, tissue, tiny_model, info):
    write_tissue(tissue, tmp_path / "t.h5ad")
    journal = Journal(Session())
    journal.log = log = Autosave(journal.session, tmp_path / "sessions")
    for one in open_sections(read_tissue(tmp_path / "t.h5ad"), tmp_path / "t.h5ad"):
        journal.do(OpenSections.of([one], journal.session.state))
    journal.do(
        OpenSections.of(
            open_sections(read_tissue(tmp_path / "t.h5ad"), tmp_path / "t.h5ad"),
            journal.session.state,
        )
    )
    log.close(keep=True)
    one, two, three, four = finish(read_session(log.folder)).sections.values()
    assert one.adata is two.adata
    assert three.adata is four.adata
    assert one.adata is not three.adata


def test_tissue_that_moved_is_asked_for(everything, folder, tmp_path):
    (tmp_path / "new").mkdir()
    moved = {}
    for path in everything.files:
        shutil.copyfile(path, tmp_path / "new" / path.name)
        moved[str(path)] = tmp_path / "new" / path.name
    lines = (folder / JOURNAL).read_text()
    for path in everything.files:
        lines = lines.replace(json.dumps(str(path)), json.dumps(f"/gone/{path.name}"))
    (folder / JOURNAL).write_text(lines)
    with pytest.raises(MovedError, match="Say where it lies now") as caught:
        finish(restore(folder))
    assert caught.value.path == "/gone/a.h5ad"
    places = {f"/gone/{path.name}": moved[str(path)] for path in everything.files}
    state = finish(read_session(folder, places))
    assert state.kept == everything.state.kept
    assert {o.path.parent.name for o in state.sections.values()} == {"new"}


def test_tissue_that_changed_is_named(small, tmp_path):
    one = next(iter(small.state.sections.values()))
    small.journal.do(SetShapes(role="unseen", shapes=(square(one, 20),)))
    small.journal.log.flush()
    adata = read_tissue(tmp_path / "t.h5ad")
    adata.X = adata.X * 2
    write_tissue(adata, tmp_path / "t.h5ad", overwrite=True)
    restored = finish(restore(small.journal.log.folder))
    assert restored.changed == (str(tmp_path / "t.h5ad"),)


def test_a_result_that_no_longer_fits_its_tissue_is_refused(small, tmp_path):
    one = next(iter(small.state.sections.values()))
    id_ = small.keep(small.generate(one, "pick", 30))
    small.journal.log.flush()
    adata = read_tissue(tmp_path / "t.h5ad")[10:].copy()
    write_tissue(adata, tmp_path / "t.h5ad", overwrite=True)
    folder = small.journal.log.folder
    with pytest.raises(CheckpointError, match="damaged"):
        finish(read_session(folder))
    restored = finish(restore(folder, without_unfit=True))
    assert (restored.unfit, restored.lost) == ((id_,), ())
    journal = Journal(Session())
    restored.put_into(journal)
    assert len(journal.session.state.sections) == 2
    assert not journal.session.state.runs


def test_a_torn_last_line_is_left_out(everything, folder):
    whole = (folder / JOURNAL).read_bytes()
    (folder / JOURNAL).write_bytes(whole + whole.splitlines()[3][:30])
    state = finish(read_session(folder))
    assert state.kept == everything.state.kept


@pytest.mark.parametrize("name", DAMAGED)
def test_a_line_that_is_none_is_left_out(everything, folder, name):
    lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
    lines.insert(1, json.dumps(DAMAGED[name]).encode() + b"\n")
    (folder / JOURNAL).write_bytes(b"".join(lines))
    assert finish(read_session(folder)).kept == everything.state.kept


def test_damaged_results_are_refused_by_name(folder):
    run = next((folder / RESULTS).iterdir())
    (run / "result.json").write_text("{")
    with pytest.raises(InputError, match=run.name) as caught:
        finish(read_session(folder))
    assert "Delete its folder" in caught.value.remedy
    shutil.rmtree(run)
    restored = finish(restore(folder))
    assert run.name in restored.lost


def test_a_folder_that_is_no_session_is_refused(tmp_path):
    with pytest.raises(GestError, match=tmp_path.name):
        finish(restore(tmp_path))
    (tmp_path / "session.json").write_text('{"napari_gest_session": 99, "version": "9"}')
    with pytest.raises(CheckpointError, match="update napari-gest"):
        finish(restore(tmp_path))


def test_a_session_in_use_gives_way_and_one_that_fails_leaves_nothing(everything, small):
    journal = small.journal
    journal.do(SetShapes(role="unseen", shapes=(square(small.state.opened, 20),)))
    restored = finish(restore(everything.folder))
    restored.put_into(journal)
    assert list(journal.session.state.sections) == list(everything.state.sections)
    assert journal.session.state.shapes == everything.state.shapes

    class Broken(Action):
        do: str = "broken"

        def apply(self, state):
            raise TypeError("odd")

    broken = type(restored)((*restored.steps[:3], type(restored.steps[0])(Broken(), 9)), (), ())
    with pytest.raises(CheckpointError, match="do not fit"):
        broken.put_into(journal)
    assert not journal.session.state.sections
    assert journal.undoes is None


def test_names_of_runs_come_back_step_by_step(small):
    one = next(iter(small.state.sections.values()))
    id_ = small.generate(one, "pick", 30)
    title = small.state.entry(id_).name
    small.journal.do(RenameRun(id=id_, name="mine"))
    small.keep(id_)
    small.journal.log.flush()
    again = _restored(small.journal.log.folder)
    assert again.session.state.entry(id_).name == "mine"
    again.undo()
    again.undo()
    assert again.session.state.entry(id_).name == title


def test_the_same_file_gives_the_same_numbers(everything):
    one, two = (finish(read_session(everything.folder)) for _ in range(2))
    for label, opened in one.sections.items():
        same(opened.adata, two.sections[label].adata)
        assert np.shares_memory(opened.section.coords_um, opened.section.coords_um)


def test_actions_of_a_run_that_was_not_saved_are_left_out(small):
    one = next(iter(small.state.sections.values()))
    id_ = small.generate(one, "pick", 30)
    small.journal.do(RenameRun(id=id_, name="mine"))
    small.journal.log.flush()
    restored = finish(restore(small.journal.log.folder))
    assert restored.lost == (id_,)
    assert not [s for s in restored.steps if isinstance(s.action, AddRun | Keep)]
    journal = Journal(Session())
    restored.put_into(journal)
    assert not list(journal.session.state.listed())


def test_an_effect_is_there_without_its_model_and_cannot_be_tested(small, tiny_model, tmp_path):
    folder = tiny_model.save(tmp_path / "own")
    small.info = ModelInfo.read(folder)
    opened = small.state.opened
    small.journal.do(SetShapes(role="edited", shapes=(square(opened, 30, role="edited"),)))
    edit = Edit(opened.section.genes[2], "multiply", 3.0)
    small.journal.do(SetEdits(edits=EditChoices(genes=(edit,))))
    id_ = small.keep(small.add(PerturbationRun.of(small.state, small.info)))
    small.journal.log.flush()
    shutil.rmtree(folder)
    state = finish(read_session(small.journal.log.folder))
    same(opened.adata, state.opened.adata)
    effect = state.entry(id_).outcome
    assert effect.result.settings == small.state.entry(id_).outcome.result.settings
    with pytest.raises(GestError, match="There is no model"):
        finish(effect.ready())
    tiny_model.save(folder)
    assert not isinstance(finish(effect.ready()).result.predictor, NotKept)


def test_an_effect_is_not_tested_with_other_weights(small, tiny_model, tmp_path):
    model = StoredModel(small.info, "tiny", "of another")
    assert (model.name, model.genes) == ("tiny", tiny_model.genes)
    with pytest.raises(InputError, match="weights differ"):
        _ = model.network


def test_kept_labels_stay_when_what_they_were_learned_from_is_closed(small, info):
    """Closed tissue that kept results were made with is read again, and closed again."""
    one, two = small.state.sections.values()
    regions = (square(one, 60, role="named", name="in"), square(one, 40, 90, "named", "out"))
    small.journal.do(SetShapes(role="named", shapes=regions))
    id_ = small.keep(small.add(LabelRun.of_drawn(small.state, info, two, (one,))))
    search = NicheRun((one, two), info)
    niches = small.add(search, lambda found: NicheOutcome.of(found, 4))
    request = small.state.entry(niches).outcome.search.request("number", 4)
    found = finish(request.run())
    small.journal.do(FoundNiches(id=niches, by="number", value=4, niches=found))
    small.keep(niches)
    before = own_values(two.adata)
    small.journal.do(CloseSections(labels=(one.label,)))
    assert small.state.kept == (id_, niches)
    now = own_values(two.adata)
    assert now.keys() == before.keys()
    for key, value in before.items():
        np.testing.assert_array_equal(now[key], value)
    small.journal.log.save_results()  # of sections that are closed by now
    small.journal.log.flush()
    assert small.journal.log.failed is None
    again = finish(read_session(small.journal.log.folder))
    assert list(again.sections) == [two.label]
    assert again.kept == (id_, niches)
    same(two.adata, again.opened.adata)
    replayed = finish(replay(small.journal.log.folder))
    same(two.adata, replayed.opened.adata)


def test_draws_come_back_and_which_of_them_is_shown_and_kept(everything):
    state = finish(read_session(everything.folder))
    before = [e.outcome for e in everything.state.listed("generation") if e.outcome.further]
    after = [e.outcome for e in state.listed("generation") if e.outcome.further]
    ((old,), (new,)) = before, after
    assert (new.number, new.n_draws, new.kept_draw.number) == (2, 3, 3)
    for number in (1, 2, 3):
        np.testing.assert_array_equal(
            new.of_draw(number).expression, old.of_draw(number).expression
        )
    np.testing.assert_array_equal(new.result.expected, old.result.expected)
    np.testing.assert_array_equal(new.result.candidates, old.result.candidates)
