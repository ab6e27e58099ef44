"""Fixtures for all tests: a small synthetic tissue, and the real data where it is present."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from anndata import AnnData

from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data sets (``GEST_DATA``, or ``../shared/data`` beside the checkout)."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("GEST_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real data: there is no folder {folder} (set GEST_DATA)")
    return folder


@pytest.fixture(scope="session")
def _simulated() -> AnnData:
    return simulate(n_cells=1200, n_genes=30, n_sections=2, seed=1)


@pytest.fixture
def tissue(_simulated: AnnData) -> AnnData:
    """Two simulated sections of 600 cells and 30 genes; a copy, free to change."""
    return _simulated.copy()


@pytest.fixture
def section(_simulated: AnnData) -> Section:
    """The first of the two simulated sections."""
    return Section.from_anndata(_simulated, "section_1")
