"""A session: its state, snapshots, ids, one for each viewer; what is open. No Qt, no torch."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from app_stubs import entry_of, own_keys

from napari_gest.app.actions import AddRun, Choose, CloseSections, Keep, OpenSections
from napari_gest.app.journal import Journal
from napari_gest.app.opened import Opened, open_sections
from napari_gest.app.runs.base import is_closed, why_stale
from napari_gest.app.session import Session, session_of
from napari_gest.errors import InputError
from napari_gest.tissue.simulate import simulate


@pytest.fixture
def adata() -> ad.AnnData:
    return simulate(n_cells=120, n_genes=12, n_sections=2, seed=1)


def open_first(journal: Journal, adata: ad.AnnData) -> Opened:
    """Open the first section once more; return it."""
    opened = open_sections(adata)[0]
    journal.do(OpenSections.of([opened], journal.session.state))
    return opened


def test_sections_of_one_file_share_its_anndata(adata):
    one, two = open_sections(adata)
    assert one.adata is two.adata is adata
    assert one.section.n_obs + two.section.n_obs == 120


def test_section_named_like_the_file_if_it_is_the_only_one(adata, tmp_path):
    alone = adata[adata.obs["section"] == adata.obs["section"].iloc[0]].copy()
    assert open_sections(alone, tmp_path / "liver.h5ad")[0].label == "liver"
    assert open_sections(adata, tmp_path / "liver.h5ad")[0].label != "liver"


def test_labels_are_unique(journal, adata):
    first, second = (open_first(journal, adata) for _ in range(2))
    assert second.label == f"{first.label} (2)"
    assert list(journal.session.sections) == [first.label, second.label]


def test_keeping_writes_and_tells(journal, adata):
    heard = []
    open_first(journal, adata)
    journal.do(AddRun.of(entry_of(journal.session.state, "run-1")))
    journal.session.changed.connect(heard.append)
    before = adata.X.copy()
    journal.do(Keep(id="run-1"))
    assert adata.obs["gest_stub_run-1"].sum() == 60
    assert (before != adata.X).nnz == 0
    assert heard == [frozenset({"kept", "gest_stub_run-1"})]


def test_what_is_read_elsewhere_is_not_changed_meanwhile(journal, adata):
    open_first(journal, adata)
    journal.do(AddRun.of(entry_of(journal.session.state, "run-1")))
    journal.do(Keep(id="run-1"))
    with journal.session.as_it_is(adata) as state, journal.session.as_it_is(adata):
        assert state is journal.session.state
        with pytest.raises(InputError, match="being saved"):
            journal.undo()
        assert journal.session.state is state
        assert own_keys(adata) == {"gest_stub_run-1"}
        journal.do(Choose.of(seed=3))
    assert journal.undo()
    assert own_keys(adata) == set()


def test_a_result_can_be_kept_after_others_were(journal, adata):
    opened = open_first(journal, adata)
    before = journal.session.snapshot(opened.label)
    for id in ("run-1", "run-2"):
        journal.do(AddRun.of(entry_of(journal.session.state, id)))
    journal.do(Keep(id="run-2"))
    assert journal.session.is_open(before)
    journal.do(Keep(id="run-1"))
    assert len(opened.results) == 2


def test_a_result_of_a_closed_section_is_dropped(journal, adata):
    opened = open_first(journal, adata)
    snapshot = journal.session.snapshot(opened.label)
    entry = entry_of(journal.session.state, "run-1")
    journal.do(CloseSections(labels=(opened.label,)))
    assert not journal.session.is_open(snapshot)
    open_first(journal, adata)  # same label, another section
    assert not journal.session.is_open(snapshot)
    assert is_closed(entry, journal.session.state)
    assert "was closed" in why_stale(entry, journal.session.state)
    journal.do(AddRun.of(entry))
    assert journal.session.state.runs == ()
    assert own_keys(adata) == set()


def test_no_id_is_given_twice(journal, adata):
    session = journal.session
    open_first(journal, adata)
    assert [session.next_id() for _ in range(2)] == ["run-1", "run-2"]
    for id in ("run-3", "run-4"):  # of a session that was restored
        journal.do(AddRun.of(entry_of(session.state, id)))
    assert session.next_id() == "run-5"
    journal.do(CloseSections(labels=(session.state.active,)))
    assert session.next_id() == "run-6"


def test_gene_values_are_those_of_the_model(adata):
    opened = open_sections(adata)[0]
    expected = opened.section.model_space(500.0)
    got = np.stack([opened.gene_values(g, 500.0) for g in opened.section.genes], axis=1)
    np.testing.assert_allclose(got, expected, rtol=2e-6)


def test_gene_values_on_a_panel_count_only_its_genes(adata):
    opened = open_sections(adata)[0]
    panel = opened.section.genes[:8]
    aligned = ad.AnnData(
        adata.X[:, :8].copy(), obs=adata.obs, obsm={"spatial": adata.obsm["spatial"]}
    )
    aligned.var_names = list(panel)
    expected = open_sections(aligned)[0].gene_values(panel[0], 100.0)
    np.testing.assert_allclose(opened.gene_values(panel[0], 100.0, panel), expected, rtol=2e-6)
    assert np.isnan(opened.gene_values("no such gene")).all()


def test_obs_values_are_those_of_the_section(adata):
    adata.obs["row"] = np.arange(adata.n_obs)
    two = open_sections(adata)[1]
    assert isinstance(two.obs_values("row"), pd.Series)
    np.testing.assert_array_equal(two.obs_values("row"), two.section.rows)
    with pytest.raises(InputError):
        two.obs_values("absent")


def test_one_session_a_viewer_held_weakly():
    class Viewer:
        pass

    viewer, other = Viewer(), Viewer()
    session = session_of(viewer)
    assert session_of(viewer) is session
    assert session_of(other) is not session
    gone = weakref.ref(session)
    del session, viewer
    gc.collect()
    assert gone() is None


def test_a_closed_section_is_let_go_of(tissue):
    journal = Journal(Session())
    opened = open_sections(tissue)
    journal.do(OpenSections.of(opened, journal.session.state))
    journal.do(AddRun.of(entry_of(journal.session.state, "run-1")))
    journal.do(Keep(id="run-1"))
    gone = weakref.ref(opened[0])
    labels = tuple(journal.session.sections)
    del opened
    journal.do(CloseSections(labels=labels))
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("module", ["session", "journal", "actions", "regions", "runs.base"])
def test_needs_neither_qt_nor_napari_nor_torch(module):
    code = (
        f"import sys, napari_gest.app.{module}\n"
        "print([m for m in ('napari', 'qtpy', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_opened_is_an_identity(adata):
    one = open_sections(adata)[0]
    assert one != Opened(one.label, one.adata, one.section)


def test_names_of_a_column_are_those_of_the_section_and_of_the_file(adata):
    one, two = open_sections(adata)
    adata.obs["place"] = np.where(adata.obs["section"] == one.section.name, "here", "there")
    assert (one.names("place"), two.names("place")) == (["here"], ["there"])
    assert one.n_names("place") == 2
