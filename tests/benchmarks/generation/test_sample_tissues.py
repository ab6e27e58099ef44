from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.generation import sample
from napari_gest.model.gest import GeST
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate

AHEAD = sample.Score("0", 0, 200, "Sgk1", 1.25, 1.30, 0.2, 0.1, 0.2, 0.1, 0.5, 0.3, 1.31)


@pytest.fixture
def section(tiny_model: GeST) -> Section:
    adata = simulate(600, len(tiny_model.genes), 1, seed=0, genes=tiny_model.genes)
    return Section.from_anndata(adata)


def test_a_region_is_scored_beside_its_neighbours(tiny_model: GeST, section: Section) -> None:
    middle = section.coords_um.mean(axis=0)
    roi = Roi.from_vertices([middle + 120 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])])
    scored = sample.score(tiny_model, section, roi, "shipped", 3)
    assert scored.n_cells == roi.contains(section.coords_um).sum()
    assert (scored.tissue, scored.seed) == ("shipped", 3)
    assert scored.gene in section.genes
    for value in (scored.rmse_z, scored.neighbours_rmse_z, scored.decoder_rmse_z):
        assert 0 < value <= 2**0.5 * 1.2
    assert -1 <= scored.neighbours_gene_r <= 1


def test_ahead_is_ahead_in_all_three() -> None:
    assert AHEAD.ahead
    assert AHEAD.gain == pytest.approx(0.05)
    assert not replace(AHEAD, rmse_z=1.31).ahead
    assert not replace(AHEAD, pearson=0.05).ahead
    assert not replace(AHEAD, spearman=0.05).ahead


def test_tables_count_seeds_and_say_how_far_ahead(section: Section) -> None:
    behind = replace(AHEAD, tissue="shipped", rmse_z=1.32, seed=1)
    shipped = replace(AHEAD, tissue="shipped")
    tissues, file, looks = sample.tables(
        [AHEAD, shipped, behind], [sample.look("simulated", section, 250.0, True)]
    )
    assert "1 of 1 seeds" in tissues.notes[0]
    assert "0.050 to 0.050" in tissues.notes[0]
    assert "1 of 2 seeds" in file.notes[0]
    assert "-0.020 to 0.050" in file.notes[0]
    assert [row[0] for row in file.rows] == ["0", "1"]
    assert looks.rows[0][0] == "simulated"
    assert looks.rows[0][1] == "600"
    assert sample.preamble().startswith("# The bundled sample")


def test_a_look_measures_the_section(section: Section) -> None:
    made = sample.look("simulated", section, 250.0, True)
    values = section.model_space(250.0)
    assert made.zeros == pytest.approx((values == 0).mean())
    assert made.median_moran < made.top_moran < 1
    assert made.totals is not None
    assert made.totals[0] < made.totals[1] < made.totals[2]
    assert sample.look("scaled", section, 250.0, False).totals is None
