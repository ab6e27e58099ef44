"""The session: labels, results of open and of closed sections. No Qt, no torch."""

from __future__ import annotations

import gc
import subprocess
import sys
from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from napari_gest.app.session import Opened, Session, open_sections, session_of
from napari_gest.errors import InputError
from napari_gest.tissue.simulate import simulate


@pytest.fixture
def adata() -> ad.AnnData:
    return simulate(n_cells=120, n_genes=12, n_sections=2, seed=1)


@dataclass
class Result:
    """Enough of a result to be kept."""

    value: int = 1
    new: bool = False

    @property
    def rows(self) -> np.ndarray:
        return np.array([-1 if self.new else 0])

    def write(self, adata: ad.AnnData) -> frozenset[str]:
        adata.obs["gest_generated"] = self.value > 0
        return frozenset({"gest_generated"})

    def to_anndata(self, adata: ad.AnnData) -> ad.AnnData:
        copy = adata.copy()
        copy.uns["kept"] = copy.uns.get("kept", 0) + self.value
        return copy


def test_sections_of_one_file_share_its_anndata(adata):
    one, two = open_sections(adata)
    assert one.adata is two.adata is adata
    assert one.section.n_obs + two.section.n_obs == 120


def test_section_named_like_the_file_if_it_is_the_only_one(adata, tmp_path):
    alone = adata[adata.obs["section"] == adata.obs["section"].iloc[0]].copy()
    assert open_sections(alone, tmp_path / "liver.h5ad")[0].label == "liver"
    assert open_sections(adata, tmp_path / "liver.h5ad")[0].label != "liver"


def test_labels_are_unique(adata):
    session = Session()
    first, second = (session.add(open_sections(adata)[0]) for _ in range(2))
    assert second.label == f"{first.label} (2)"
    assert list(session.sections) == [first.label, second.label]


def test_commit_writes_and_tells(adata):
    session, heard = Session(), []
    session.changed.connect(heard.append)
    opened = session.add(open_sections(adata)[0])
    before = adata.X.copy()
    assert session.commit(session.snapshot(opened.label), Result())
    assert adata.obs["gest_generated"].all()
    assert (before != adata.X).nnz == 0
    assert heard == [frozenset({"sections"}), frozenset({"gest_generated"})]


def test_a_result_can_be_kept_after_others_were(adata):
    session = Session()
    opened = session.add(open_sections(adata)[0])
    before = session.snapshot(opened.label)
    session.commit(session.snapshot(opened.label), Result())
    assert session.is_open(before)
    assert session.commit(before, Result())
    assert len(opened.results) == 2


def test_a_result_of_a_closed_section_is_dropped(adata):
    session = Session()
    opened = session.add(open_sections(adata)[0])
    snapshot = session.snapshot(opened.label)
    session.remove(opened.label)
    session.add(open_sections(adata)[0])  # same label, another section
    assert not session.commit(snapshot, Result())
    assert "gest_generated" not in adata.obs


def test_export_holds_every_kept_result(adata):
    session = Session()
    opened = session.add(open_sections(adata)[0])
    with pytest.raises(InputError, match="Keep"):
        opened.export()
    session.commit(session.snapshot(opened.label), Result())
    assert opened.export() is adata  # measured cells were written into it when they were kept
    for value in (1, 2):
        session.commit(session.snapshot(opened.label), Result(value, new=True))
    exported = opened.export()
    assert exported.uns["kept"] == 3
    assert "kept" not in adata.uns


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
    import weakref

    gone = weakref.ref(session)
    del session, viewer
    gc.collect()
    assert gone() is None


def test_needs_neither_qt_nor_napari_nor_torch():
    code = (
        "import sys, napari_gest.app.session\n"
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


def test_a_kept_result_changes_the_names_in_all_sections_of_its_file(adata):
    session = Session()
    one, two = (session.add(opened) for opened in open_sections(adata))
    adata.obs["gest_generated"] = False
    assert two.names("gest_generated") == ["False"]
    assert session.commit(session.snapshot(one.label), Result())
    assert two.names("gest_generated") == ["True"]
