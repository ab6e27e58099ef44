from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console

from benchmarks import generation, report
from benchmarks.datasets import Loaded
from benchmarks.floors import ConstantMean, KnnMean, NearestCopy
from benchmarks.generation import CEILING, MODES, NO_FIELD, ONE_STEP, OURS, PROFILES, TunedFloors
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.tasks import generate
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    adata = simulate(2400, 20, 2, seed=0)
    train, test = (Section.from_anndata(adata, f"section_{i}") for i in (1, 2))
    return Loaded([train], [test], train.genes, 200.0, 0, (80.0, 120.0), 30.0)


@pytest.fixture(scope="module")
def model(loaded) -> GeST:
    config = ModelConfig(n_layers=1, n_heads=1, d_model=8, n_meta_cells=32, n_pcs=8)
    tokenizer = MetaCellTokenizer.fit(
        loaded.train[0].model_space(loaded.target_sum),
        loaded.genes,
        loaded.target_sum,
        n_meta_cells=32,
        n_pcs=8,
        level_sizes=(6, 4, 2),
        seed=0,
    )
    return GeST.create(config, tokenizer, seed=0)


@pytest.fixture(scope="module")
def rows(loaded, model) -> list[generation.Row]:
    """All rows, with a generator that answers the neighbour mean in shuffled row order."""

    class Fake:
        def __init__(self, request):
            self.request = request
            self.mixture = torch.eye(32)[torch.zeros(int(request.unseen.sum()), dtype=torch.long)]

        def steps(self):
            section, unseen = self.request.section, self.request.unseen
            values = section.model_space(self.request.model.target_sum)
            order = np.random.default_rng(0).permutation(np.flatnonzero(unseen))
            known = section.coords_um[~unseen], values[~unseen]
            mean = KnnMean(20).predict(*known, section.coords_um[order])
            yield Progress("Generating", 1, 1)
            return SimpleNamespace(
                rows=section.rows[order],
                expression=mean,
                sd=np.ones_like(mean),
                genes=section.genes,
            )

    floors = [ConstantMean(), NearestCopy(), KnnMean(20)]
    tuned = TunedFloors(floors, {"constant mean": 1.41, "nearest copy": 1.4, "kNN mean": 1.3})
    section = loaded.test[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generate, "Generation", Fake)
        return list(generation.score_section("sim", section, loaded, tuned, model))


def test_every_method_is_scored_on_every_hole(rows):
    methods = {"constant mean", "nearest copy", "kNN mean", OURS, ONE_STEP}
    methods |= {NO_FIELD, PROFILES, CEILING}
    methods |= {f"GeST {mode}" for mode in MODES}
    for radius in (80.0, 120.0):
        assert {r.method for r in rows if r.radius_um == radius} == methods
    scored = [r.calibration for r in rows if r.method == OURS]
    assert all("coverage_90%" in c and 0 <= c["ECE of p(c)"] <= 1 for c in scored)


def test_cells_are_matched_by_row_and_the_buffer_is_not_seen(rows):
    # The stand-in is kNN in shuffled order on a section without its buffer ring: it must score
    # exactly as the floor does.
    for radius in (80.0, 120.0):
        pair = [r for r in rows if r.radius_um == radius and r.method in (OURS, "kNN mean")]
        assert pair[0].scores == pytest.approx(pair[1].scores)


def test_the_ceiling_is_above_everything(rows):
    score = {
        m: np.mean([r.scores["rmse_z_svg"] for r in rows if r.method == m])
        for m in {r.method for r in rows}
    }
    assert min(score, key=score.get) == CEILING


def test_tables_show_losses_and_numbers(rows):
    group = report.Group(rows, "kNN mean", {"kNN mean": "k 20"}, {"kNN mean": 1.3}, "not trained")
    made = list(report.tables([group]))
    text = "\n".join(t.markdown() for t in made)
    assert "* kNN mean (k 20)" in text
    assert "0 of 2" in text  # equal is not won
    assert "bar missed" in text
    assert "n = 2 holes" in text
    assert "not trained" in text
    assert "sim: section_2" in report.readme_table([group]).markdown()
    console = Console(width=220, record=True)
    for table in made:
        table.show(console)
    assert "one step" in console.export_text()
