"""Fixtures for all tests: a small synthetic tissue, and the real data where it is present."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from anndata import AnnData

from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate

if TYPE_CHECKING:
    from napari_gest.app.opened import Opened
    from napari_gest.app.runs.generated_cells import GeneratedCells
    from napari_gest.model.gest import Base, GeST


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests with a window a process of their own (``--dist loadgroup``).

    Benchmarks train with torch's optimisers, which load its compiler. Where that is Triton, its
    LLVM and the one that draws OpenGL in software end the process that loads both.
    """
    for item in items:
        group = "window" if item.get_closest_marker("gui") else "rest"
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(autouse=True)
def _sessions_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes among the sessions of whoever runs it, or finds one of theirs."""
    from napari_gest.app.saved import autosave

    monkeypatch.setattr(autosave, "AUTOSAVED", tmp_path / "autosaved")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data sets (``GEST_DATA``, or ``../shared/data`` beside the checkout)."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("GEST_DATA") or beside)
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
def file(tissue: AnnData, tmp_path: Path) -> Path:
    """The simulated tissue as a file."""
    from napari_gest.tissue.io import write_tissue

    write_tissue(tissue, tmp_path / "in.h5ad")
    return tmp_path / "in.h5ad"


@pytest.fixture
def model(tiny_model: GeST, tmp_path: Path) -> Path:
    """The folder of a tiny model."""
    return tiny_model.save(tmp_path / "tiny")


@pytest.fixture
def signals() -> Iterator[None]:
    """Signals act as in a program on a terminal; jobs in the background ignore some."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    if hasattr(signal, "SIGHUP"):
        usual[signal.SIGHUP] = signal.SIG_DFL
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class _Unread(io.StringIO):
    """A pipe whose reader has gone, as of ``| head -1``."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads what a command prints."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, _Unread())


@pytest.fixture
def short_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit fields for a few steps: enough for all but what they learn."""
    from napari_gest.model import field

    monkeypatch.setattr(field, "N_STEPS", 40)


@pytest.fixture(scope="session")
def untrained() -> Callable[..., GeST]:
    """Makes a small model nobody trained, in the panel of some sections."""
    from napari_gest.model.config import ModelConfig
    from napari_gest.model.gest import GeST
    from napari_gest.model.tokenizer import MetaCellTokenizer
    from napari_gest.tissue.window import window_side

    def make(
        sections: Sequence[Section], target_sum: float, name: str, window_cells: int, **size: Any
    ) -> GeST:
        side = window_side(sections[0].coords_um, window_cells)
        shape: dict[str, Any] = {"n_layers": 1, "n_heads": 2, "d_model": 16, "window_um": side}
        config = ModelConfig(window_cells=window_cells, **shape, **size)
        tokenizer = MetaCellTokenizer.fit(
            np.concatenate([part.model_space(target_sum) for part in sections]),
            sections[0].genes,
            target_sum,
            n_meta_cells=config.n_meta_cells,
            n_pcs=config.n_pcs,
            level_sizes=config.level_sizes,
            seed=0,
        )
        return GeST.create(config, tokenizer, seed=0, name=name)

    return make


@pytest.fixture(scope="session")
def tiny_model(_simulated: AnnData, untrained: Callable[..., GeST]) -> GeST:
    """An untrained model of 16 meta cells in the panel of the simulated tissue."""
    section = Section.from_anndata(_simulated, "section_1")
    size = {"n_meta_cells": 16, "n_pcs": 8, "level_sizes": (4, 3, 2)}
    return untrained([section], 250.0, "tiny", 32, **size)


@pytest.fixture(scope="session")
def tiny_base() -> Base:
    """A base that nobody trained; its biases are not 0, as after training."""
    import torch

    from napari_gest.model.base import axes_decoder
    from napari_gest.model.config import ModelConfig
    from napari_gest.model.gest import Base

    size = {"n_layers": 2, "n_heads": 2, "d_model": 16, "n_meta_cells": 24, "n_pcs": 10}
    config = ModelConfig(**size, level_sizes=(6, 4, 2), window_cells=48, dropout=0.1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = axes_decoder(config, draw=True).eval()
        for bias in (network.embed.bias, network.to_genes.bias):
            torch.nn.init.normal_(bias, std=0.1)
    return Base(config, network, "tiny-base")


@pytest.fixture
def opened(tissue: AnnData) -> Opened:
    """The first of the two simulated sections, as a session holds it."""
    from napari_gest.app.opened import open_sections

    return open_sections(tissue)[0]


@pytest.fixture
def generated_cells(opened: Opened) -> GeneratedCells:
    """A run of 40 measured cells and 3 new ones, of which the first 10 are filled."""
    from napari_gest.app.opened import Snapshot
    from napari_gest.app.runs.generated_cells import GeneratedCells

    unseen = np.zeros(opened.section.n_obs, bool)
    unseen[5:45] = True
    snapshot = Snapshot(opened.label, opened.section)
    new = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    made = GeneratedCells(snapshot, opened.section.genes, unseen, new)
    rng = np.random.default_rng(0)
    shape = (10, len(made.genes))
    made.fill(
        SimpleNamespace(
            index=np.arange(10),
            expression=rng.random(shape, np.float32),
            sd=rng.random(shape, np.float32),
            entropy=rng.random(10, np.float32),
            drawn=False,
        )
    )
    return made
