"""What is kept is written into the AnnData, and taken back bit for bit."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from app_stubs import StubResult, entry_of, own_keys

from napari_gest import keys
from napari_gest.app.actions import (
    AddRun,
    CloseSections,
    Discard,
    Keep,
    OpenSections,
    SetShapes,
)
from napari_gest.app.journal import Journal
from napari_gest.app.opened import open_sections
from napari_gest.app.regions import Shape
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.app.session import Session
from napari_gest.errors import InputError
from napari_gest.tasks.generation.generate import generate
from napari_gest.tasks.progress import finish

ONE, TWO = "section_1", "section_2"


def contents(adata: AnnData) -> dict[tuple[str, str], Any]:
    """Return everything of the project's in an AnnData, bit for bit, and X."""
    found: dict[tuple[str, str], Any] = {("", "X"): (adata.X.data.tobytes(), adata.X.shape)}
    for table in ("obs", "obsm", "layers", "uns"):
        held = getattr(adata, table)
        for key in held:
            if str(key).startswith(("gest", "X_gest")):
                value = held[key]
                kind = getattr(value, "dtype", None)
                if isinstance(value, pd.Series):
                    value = [kind, value.index.tolist(), *map(pickle.dumps, value)]
                elif hasattr(value, "indptr"):
                    parts = (value.data, value.indices, value.indptr)
                    value = [part.tobytes() for part in parts]
                elif isinstance(value, np.ndarray):
                    value = value.tobytes()
                found[table, str(key)] = (kind, value)
    return found


def keep(journal: Journal, id: str, labels=None, **fields: Any) -> None:
    """Add a stub run and keep it."""
    journal.do(AddRun.of(entry_of(journal.session.state, id, labels, **fields)))
    journal.do(Keep(id=id))


def test_results_are_written_in_their_order_and_taken_back(work, tissue):
    before = contents(tissue)
    states = [before]
    for id in ("run-1", "run-2", "run-3"):
        keep(work, id, key="gest_stub")
        states.append(contents(tissue))
    opened = work.session.state.opened
    assert [r.key for r in opened.results] == ["gest_stub"] * 3
    for expected in states[-2::-1]:
        work.undo()
        assert contents(tissue) == expected
    assert opened.results == []


def test_one_in_the_middle_can_be_taken_back(work, tissue):
    keep(work, "run-1", [ONE], key="gest_stub")
    only_first = contents(tissue)
    keep(work, "run-2", [TWO], key="gest_stub")
    keep(work, "run-3", [ONE], key="gest_other")
    every = contents(tissue)
    work.do(Discard(id="run-2"))
    assert tissue.obs["gest_stub"].sum() == 600
    assert own_keys(tissue) == {"gest_stub", "gest_other"}
    work.undo()
    assert contents(tissue) == every
    work.do(Discard(id="run-3"))
    work.do(Discard(id="run-2"))
    assert contents(tissue) == only_first


def test_keys_of_the_file_come_back_as_they_were(journal, tissue):
    rng = np.random.default_rng(0)
    tissue.obs["gest_stub"] = rng.random(tissue.n_obs) < 0.5
    tissue.obs["gest_niche"] = pd.Categorical(rng.choice(["a", "b"], tissue.n_obs))
    tissue.uns["gest_niche_colors"] = np.array(["#ff0000", "#0000ff"])
    tissue.uns["gest"] = {"mode": "sample"}
    tissue.obsm["X_gest_niche"] = rng.random((tissue.n_obs, 3))
    tissue.layers["gest_expression"] = tissue.X.copy()
    before = contents(tissue)
    journal.do(OpenSections.of(open_sections(tissue), journal.session.state))
    for key in ("gest_stub", "gest_niche_2"):
        keep(journal, f"run-{key}", key=key)
    assert contents(tissue) != before
    for id in ("run-gest_stub", "run-gest_niche_2"):
        journal.do(Discard(id=id))
    assert contents(tissue) == before


@pytest.mark.usefixtures("short_field")
def test_generated_cells_over_generated_cells_are_taken_back(work, tissue, tiny_model):
    """With real results, which write columns, layers and settings."""
    state = work.session.state
    section = state.opened.section
    before = contents(tissue)
    states = []
    for seed, cells in enumerate((np.arange(20), np.arange(10, 40))):
        unseen = np.zeros(section.n_obs, bool)
        unseen[cells] = True
        result = generate(section, tiny_model, unseen, mode="sample", seed=seed)
        run = GenerationRun(work.session.snapshot(ONE), unseen, None)
        entry = entry_of(state, f"run-{seed}")
        object.__setattr__(entry, "run", run)
        object.__setattr__(entry, "outcome", run.outcome(result))
        states.append(contents(tissue))
        work.do(AddRun.of(entry))
        work.do(Keep(id=entry.id))
    assert tissue.obs[keys.GENERATED].sum() == 40
    after = contents(tissue)
    assert after["layers", keys.EXPRESSION] != states[1]["layers", keys.EXPRESSION]
    work.undo()
    assert contents(tissue) == states[1]
    work.undo()
    assert contents(tissue) == states[0] == before
    work.redo()
    work.redo()
    assert contents(tissue) == after
    work.do(Discard(id="run-0"))
    assert tissue.obs[keys.GENERATED].sum() == 30
    work.do(Discard(id="run-1"))
    assert contents(tissue) == before


def test_a_write_that_fails_leaves_all_as_it_was(work, tissue):
    keep(work, "run-1", key="gest_stub")
    before, state = contents(tissue), work.session.state
    results = list(state.opened.results)
    work.do(AddRun.of(entry_of(state, "run-2", key="gest_stub", fails_on=(ONE,))))
    with pytest.raises(InputError, match="disk is full"):
        work.do(Keep(id="run-2"))
    assert contents(tissue) == before
    assert work.session.state.kept == ("run-1",)
    assert state.opened.results == results
    work.do(Discard(id="run-1"))
    assert own_keys(tissue) == set()


def test_a_write_that_fails_in_one_file_leaves_the_others_too(journal, tissue):
    other = tissue.copy()
    for adata in (tissue, other):
        journal.do(OpenSections.of(open_sections(adata, names=[ONE]), journal.session.state))
    labels = list(journal.session.sections)
    before = contents(tissue), contents(other)
    entry = entry_of(journal.session.state, "run-1", labels, fails_on=(labels[1],))
    journal.do(AddRun.of(entry))
    with pytest.raises(InputError, match="disk is full"):
        journal.do(Keep(id="run-1"))
    assert (contents(tissue), contents(other)) == before
    assert not any(opened.results for opened in journal.session.sections.values())


def test_sections_of_one_file_share_what_is_written(work, tissue):
    one, two = work.session.sections.values()
    keep(work, "run-1", [ONE])
    keep(work, "run-2", [ONE, TWO])
    keep(work, "run-3", [TWO])
    assert [r.key[-1] for r in one.results] == ["1", "2"]
    assert [r.key[-1] for r in two.results] == ["2", "3"]
    assert tissue.obs["gest_stub_run-2"].all()
    assert tissue.obs["gest_stub_run-3"].sum() == two.section.n_obs


def test_several_files_each_get_their_own(journal, tissue):
    other = tissue.copy()
    for adata in (tissue, other):
        journal.do(OpenSections.of(open_sections(adata, names=[ONE]), journal.session.state))
    first, second = journal.session.sections
    keep(journal, "run-1", [first])
    keep(journal, "run-2", [first, second])
    assert own_keys(tissue) == {"gest_stub_run-1", "gest_stub_run-2"}
    assert own_keys(other) == {"gest_stub_run-2"}
    journal.undo()
    assert own_keys(tissue) == {"gest_stub_run-1"}
    assert own_keys(other) == set()


def test_a_kept_result_changes_the_names_in_all_sections_of_its_file(work, tissue):
    tissue.obs["gest_stub"] = False
    one, two = work.session.sections.values()
    assert (two.names("gest_stub"), two.n_names("gest_stub")) == (["False"], 1)
    keep(work, "run-1", [ONE], key="gest_stub")
    assert two.names("gest_stub") == ["False"]
    assert two.n_names("gest_stub") == 2
    assert one.names("gest_stub") == ["True"]
    work.undo()
    assert two.n_names("gest_stub") == 1


def test_a_file_that_is_closed_keeps_what_was_kept(journal, tissue):
    """Its sections opened once more take it for what the file holds."""
    opened = open_sections(tissue, names=[ONE])
    journal.do(OpenSections.of(opened, journal.session.state))
    keep(journal, "run-1")
    journal.do(CloseSections(labels=(ONE,)))
    assert own_keys(tissue) == {"gest_stub_run-1"}
    journal.do(OpenSections.of(open_sections(tissue, names=[ONE]), journal.session.state))
    keep(journal, "run-2")
    journal.undo()
    assert own_keys(tissue) == {"gest_stub_run-1"}


def test_export_holds_every_kept_result(work, tissue):
    opened = work.session.state.opened
    with pytest.raises(InputError, match="Keep"):
        opened.export()
    keep(work, "run-1")
    assert opened.export() is tissue  # measured cells were written into it when they were kept
    for name in ("run-2", "run-3"):
        entry = entry_of(work.session.state, name)
        entry.outcome.made[id(tissue)] = StubResult(np.array([0, -1]), f"gest_{name}")
        work.do(AddRun.of(entry))
        work.do(Keep(id=name))
    exported = opened.export()
    assert exported is not tissue
    assert own_keys(exported) == {"gest_stub_run-1", "gest_run-2", "gest_run-3"}


def test_a_run_is_kept_as_it_was_worked(work, tissue, model_info, tiny_model, short_field):
    """From drawn shapes to the AnnData."""
    section = work.session.state.opened.section
    low, high = np.percentile(section.coords_um, [40, 60], axis=0)
    corners = ((low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1]))
    drawn = Shape(role="unseen", section=ONE, kind="polygon", corners=corners)
    work.do(SetShapes(role="unseen", shapes=(drawn,)))
    run = GenerationRun.of(work.session.state, model_info)
    run.check()
    outcome = finish(run.work(lambda name: tiny_model))
    entry = entry_of(work.session.state, "run-1")
    object.__setattr__(entry, "run", run)
    object.__setattr__(entry, "outcome", outcome)
    work.do(AddRun.of(entry))
    work.do(Keep(id="run-1"))
    assert tissue.obs[keys.GENERATED].sum() == run.unseen.sum() > 0
    assert "RMSE" in outcome.agreement_text


def test_the_journal_of_one_session_does_not_touch_another(work, tissue):
    other = Journal(Session())
    copy = tissue.copy()
    other.do(OpenSections.of(open_sections(copy), other.session.state))
    keep(work, "run-1")
    assert own_keys(copy) == set()
