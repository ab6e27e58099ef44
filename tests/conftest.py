"""Fixtures for all tests: a small synthetic tissue, and the real data where it is present."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from anndata import AnnData

from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate

if TYPE_CHECKING:
    from napari_gest.model.gest import GeST


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


@pytest.fixture
def short_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit fields for a few steps: enough for all but what they learn."""
    from napari_gest.model import field

    monkeypatch.setattr(field, "N_STEPS", 40)


@pytest.fixture(scope="session")
def tiny_model(_simulated: AnnData) -> GeST:
    """An untrained model of 16 meta cells in the panel of the simulated tissue."""
    from napari_gest.model.config import ModelConfig
    from napari_gest.model.gest import GeST
    from napari_gest.model.tokenizer import MetaCellTokenizer
    from napari_gest.tissue.window import window_side

    section = Section.from_anndata(_simulated, "section_1")
    window_um = window_side(section.coords_um, 32)
    config = ModelConfig(
        n_layers=1,
        n_heads=2,
        d_model=16,
        n_meta_cells=16,
        n_pcs=8,
        level_sizes=(4, 3, 2),
        window_cells=32,
        window_um=window_um,
    )
    tokenizer = MetaCellTokenizer.fit(
        section.model_space(250.0),
        section.genes,
        250.0,
        n_meta_cells=16,
        n_pcs=8,
        level_sizes=(4, 3, 2),
        seed=0,
    )
    return GeST.create(config, tokenizer, seed=0, name="tiny")
