"""Panels of a pretraining."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from anndata import AnnData
from training import MODEL, SHORT

from napari_gest.model.base import axes_decoder
from napari_gest.tasks.training.panels import Panel, by_panel
from napari_gest.tissue.fingerprint import fingerprints
from napari_gest.tissue.section import Section


def test_sections_with_the_same_genes_are_one_panel(
    tissue: AnnData, sections: list[Section]
) -> None:
    few = Section.from_anndata(tissue[:, :20].copy(), "section_1")
    groups = by_panel([sections[0], few, sections[1]])
    assert sorted(len(group) for group in groups) == [1, 2]
    assert by_panel([few, *sections]) == by_panel([sections[0], few, sections[1]])


def test_cells_of_the_holes_train_nothing(sections: list[Section]) -> None:
    config = SHORT.model_copy(update={"validation_share": 0.2})
    panel = Panel.of(sections, MODEL, config, 0, axes_decoder(MODEL, draw=True))
    cells = np.concatenate([fingerprints(s.expression, s.genes) for s in sections])
    assert not np.isin(panel.selecting, panel.trained).any()
    assert len(panel.trained) + len(panel.selecting) == len(cells)
    assert 0.15 < len(panel.selecting) / len(cells) < 0.35
    assert panel.n_cells == len(panel.trained)
    assert sum(len(batch.target) for batch in panel.validation) == len(panel.selecting)


def test_positions_count_in_windows_of_each_tissue(sections: list[Section]) -> None:
    network = axes_decoder(MODEL, draw=True)
    wide = [replace(s, coords_um=s.coords_um * 3) for s in sections]
    near, far = (Panel.of(given, MODEL, SHORT, 0, network) for given in (sections, wide))
    assert far.config.window_um == pytest.approx(3 * near.config.window_um)
    one, other = (panel.batch(SHORT, np.random.default_rng(0)) for panel in (near, far))
    assert torch.allclose(one.content_xy, other.content_xy, atol=1e-4)
    assert one.mixture.shape[2] == near.tokenizer.n_meta_cells
