"""A session with every kind of run, done once and saved; tests read copies of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from saved_sessions import Saved, Work, do_everything

from napari_gest.app.actions import OpenSections
from napari_gest.app.journal import Journal
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import open_sections
from napari_gest.app.saved.autosave import Autosave
from napari_gest.app.session import Session
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.simulate import simulate


@pytest.fixture(scope="session")
def info(tiny_model, tmp_path_factory) -> ModelInfo:
    return ModelInfo.read(tiny_model.save(tmp_path_factory.mktemp("model") / "tiny"))


@pytest.fixture(scope="session")
def everything(tiny_model, info, tmp_path_factory) -> Saved:
    """Two files of two sections, and every kind of run on them; for reading only."""
    place = tmp_path_factory.mktemp("everything")
    files = (place / "a.h5ad", place / "b.h5ad")
    for seed, path in enumerate(files):
        write_tissue(simulate(n_cells=500, n_genes=30, n_sections=2, seed=seed), path)
    journal = Journal(Session())
    journal.log = log = Autosave(journal.session, place / "sessions")
    opened = [one for path in files for one in open_sections(read_tissue(path), path)]
    journal.do(OpenSections.of(opened, journal.session.state))
    do_everything(Work(journal, tiny_model, info), opened)
    log.close(keep=True)
    return Saved(log.folder, journal.session.state, files)


@pytest.fixture
def folder(everything, tmp_path) -> Path:
    """A copy of the session, free to damage."""
    return Path(shutil.copytree(everything.folder, tmp_path / "copy.gest"))


@pytest.fixture
def small(tiny_model, info, tissue, tmp_path) -> Iterator[Work]:
    """A session with one file of two sections open, which is saved as it goes."""
    write_tissue(tissue, tmp_path / "t.h5ad")
    journal = Journal(Session())
    journal.log = Autosave(journal.session, tmp_path / "sessions")
    opened = open_sections(read_tissue(tmp_path / "t.h5ad"), tmp_path / "t.h5ad")
    journal.do(OpenSections.of(opened, journal.session.state))
    yield Work(journal, tiny_model, info)
    journal.log.close(keep=True)
