"""What is computed of a section before the window shows it. No Qt."""

from __future__ import annotations

import time
from threading import Event

import pytest

from napari_gest.app.first_view import first_view
from napari_gest.app.gene_columns import GeneColumns, StoredDigest
from napari_gest.app.opened import open_sections, read_to_open
from napari_gest.app.preparing import prepare
from napari_gest.app.view_state import ViewState
from napari_gest.tasks.progress import finish
from napari_gest.tissue import io
from napari_gest.tissue.io import write_tissue
from napari_gest.tissue.section import Section, section_names


def test_what_the_window_asks_for_first_is_there(opened, monkeypatch):
    finish(prepare(opened))
    assert {"cell_um", "by_gene", "some_neighbours", "spacing_um", "telling_gene"} <= set(
        vars(opened)
    )
    assert {"digest", "unit", "geometry", "tree"} <= set(vars(opened.section))
    assert opened.section.unit == "cell"
    monkeypatch.setattr("napari_gest.app.opened.names_in", None)  # would be called for new names
    assert opened.names("cell_type")
    assert first_view(opened) == ViewState(column="cell_type")


def test_what_was_begun_ends_when_nobody_waits_for_it(opened, monkeypatch):
    ended = Event()

    def sorting(expression):
        try:
            while True:
                time.sleep(0.01)
                yield 0.5
        finally:
            ended.set()

    monkeypatch.setattr(GeneColumns, "sorting", sorting)
    work = prepare(opened)
    assert next(work).done in (0, 50)
    assert not ended.is_set()
    work.close()
    assert ended.wait(5)


@pytest.fixture
def stored(tissue, tmp_path, monkeypatch):
    """A section whose expression is left in its file, and its digest as of one in memory."""
    path, name = tmp_path / "tissue.h5ad", section_names(tissue)[0]
    write_tissue(tissue, path)
    monkeypatch.setattr(io, "_BACKED_BYTES", 1)
    return open_sections(read_to_open(path), path, [name])[0], Section.from_anndata(tissue, name)


def test_the_picture_is_made_while_the_digest_is_computed(stored, monkeypatch):
    opened, in_memory = stored
    shown, end = Event(), StoredDigest.end

    def waiting(self, stop):
        assert shown.wait(5)
        end(self, stop)

    monkeypatch.setattr(StoredDigest, "end", waiting)
    finish(prepare(opened, lambda one: shown.set()))
    assert vars(opened.section)["digest"] == in_memory.digest


def test_a_digest_that_nobody_waits_for_is_left_out(stored, monkeypatch):
    opened, in_memory = stored
    begun, end, ended = Event(), StoredDigest.end, Event()

    def waiting(self, stop):
        begun.set()
        assert stop.wait(5)
        end(self, stop)
        ended.set()

    monkeypatch.setattr(StoredDigest, "end", waiting)
    work = prepare(opened)
    while not begun.is_set():
        next(work)
    work.close()
    assert ended.wait(5)
    assert "digest" not in vars(opened.section)
    assert opened.section.digest == in_memory.digest


def test_what_fails_there_is_said(opened):
    def fail(one):
        raise ValueError("no layer")

    with pytest.raises(ValueError, match="no layer"):
        finish(prepare(opened, fail))
