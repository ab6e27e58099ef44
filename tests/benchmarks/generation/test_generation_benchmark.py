from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rich.console import Console

from benchmarks.common import scored_section
from benchmarks.common.datasets import Loaded
from benchmarks.common.scored_section import Group
from benchmarks.generation import command, report
from benchmarks.generation.baselines import ConstantMean, KnnMean, NearestCopy
from benchmarks.generation.command import (
    MODES,
    NO_FIELD,
    ONE_STEP,
    ORACLE,
    OURS,
    PROFILES,
    SPLIT_HALF,
    Row,
    TunedPointBaselines,
)
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.tasks.generation import generate
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
def faked():
    """A generator that answers the neighbour mean in shuffled row order."""

    class Fake:
        def __init__(self, request):
            self.request = request
            m = int(request.unseen.sum())
            self.mixture = torch.eye(32)[torch.zeros(m, dtype=torch.long)]
            self.by_row = np.arange(m)

        def steps(self):
            section, unseen = self.request.section, self.request.unseen
            values = section.model_space(self.request.model.target_sum)
            order = np.random.default_rng(0).permutation(np.flatnonzero(unseen))
            known = section.coords_um[~unseen], values[~unseen]
            mean = KnnMean(20).predict(*known, section.coords_um[order])
            self.mean_of = mean
            yield Progress("Generating", 1, 1)
            return SimpleNamespace(
                rows=section.rows[order],
                expression=mean,
                sd=np.ones_like(mean),
                genes=section.genes,
            )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generate, "Generation", Fake)
        patch.setattr(generate, "SampledGeneration", Fake)
        yield


@pytest.fixture(scope="module")
def tuned() -> TunedPointBaselines:
    baselines = [ConstantMean(), NearestCopy(), KnnMean(20)]
    return TunedPointBaselines(
        baselines, {"constant mean": 1.41, "nearest copy": 1.4, "kNN mean": 1.3}
    )


@pytest.fixture(scope="module")
def rows(loaded, model, tuned, faked) -> list[Row]:
    return list(command.score_section("sim", loaded.test[0], loaded, tuned, model))


def test_every_method_is_scored_on_every_hole(rows):
    methods = {"constant mean", "nearest copy", "kNN mean", OURS, ONE_STEP}
    methods |= {NO_FIELD, PROFILES, ORACLE, SPLIT_HALF}
    methods |= {f"GeST {mode}" for mode in MODES}
    for radius in (80.0, 120.0):
        assert {r.method for r in rows if r.radius_um == radius} == methods
    scored = [r.calibration for r in rows if r.method == OURS]
    assert all("coverage_90%" in c and 0 <= c["ECE of p(c)"] <= 1 for c in scored)


def test_cells_are_matched_by_row_and_the_buffer_is_not_seen(rows):
    # The stand-in is kNN in shuffled order on a section without its buffer ring: it must score
    # exactly as the baseline does.
    for radius in (80.0, 120.0):
        pair = [r for r in rows if r.radius_um == radius and r.method in (OURS, "kNN mean")]
        assert pair[0].scores == pytest.approx(pair[1].scores)


def test_the_oracle_is_above_everything(rows):
    score = {
        m: np.mean([r.scores["rmse_z_svg"] for r in rows if r.method == m])
        for m in {r.method for r in rows} - {SPLIT_HALF}
    }
    assert min(score, key=score.get) == ORACLE


def test_tables_show_losses_and_numbers(rows):
    one = Group(rows, "kNN mean", {"kNN mean": "k 20"}, {"kNN mean": 1.3}, "not trained")
    made = list(report.tables([one]))
    text = "\n".join(t.markdown() for t in made)
    assert "* kNN mean (k 20)" in text
    assert "0 of 2" in text  # equal is not won
    assert report.bar_table([one]).rows[0][-2:] == ["missed", "missed"]
    assert "n = 2 holes" in text
    assert "not trained" in text
    # Holes are counted; an interval needs sections.
    assert "sim, over sections" in text
    assert "(1 section: no interval)" in text
    assert "sim: section_2" in report.readme_table([one]).markdown()
    console = Console(width=220, record=True)
    for table in made:
        table.show(console)
    assert "one step" in console.export_text()


def test_split_half_is_left_out_where_there_are_no_counts(rows, loaded, model, tuned, faked):
    section = loaded.test[0]
    normalised = replace(section, expression=section.expression * 0.3)
    found = list(command.score_section("sim", normalised, loaded, tuned, model))
    assert SPLIT_HALF not in {r.method for r in found}
    without, counted = (
        report.accuracy_table(Group(r, "kNN mean", {}, {}, "")) for r in (found, rows)
    )
    assert any("No row of split-half noise" in note for note in without.notes)
    assert not any("No row of split-half noise" in note for note in counted.notes)
    assert any("Spearman-Brown" in note for note in counted.notes)


def test_the_ring_is_dropped_around_the_same_holes(loaded, model, tuned, faked, rows, monkeypatch):
    whole = replace(loaded, buffer_um=0.0)
    seen = []
    fill = command.fill

    def watched(model, section, case, *args, **settings):
        seen.append(case)
        return fill(model, section, case, *args, **settings)

    monkeypatch.setattr(command, "fill", watched)
    ringed = list(command.score_ring("sim", loaded.test[0], whole, tuned, model))
    assert [r.method for r in ringed] == [OURS, "kNN mean"] * 2
    for case, plain in zip(seen, whole.test_cases(loaded.test[0]), strict=True):
        np.testing.assert_array_equal(case.hole.mask, plain.hole.mask)
        assert case.depth_um.min() > plain.depth_um.min()
        distance = np.hypot(*(case.coords_um - case.hole.center).T)
        inner = case.hole.radius_um + command.RING_UM
        assert not case.hole.known[distance <= inner].any()
    made = Group(rows, "kNN mean", {}, {}, "", buffered=ringed)
    table = report.ring_table([made])
    assert "50 um" in table.title
    assert len(table.rows) == 8  # four scores of the section, and of its data set
    assert table.title in [t.title for t in report.tables([made])]
    assert table.title not in [t.title for t in report.tables([replace(made, buffered=[])])]
    # Seeds may choose different baselines; each hole is compared with its own seed's.
    others = [*ringed[:-1], replace(ringed[-1], method="nearest copy")]
    mixed = report.ring_table([replace(made, buffered=others)])
    assert mixed.rows[0][1] == "kNN mean, nearest copy"
    assert [row[2:] for row in mixed.rows] == [row[2:] for row in table.rows]


def made_up(split: str, holes: list[tuple[float, float, float]], **named: str) -> Group:
    """Return a group with baseline 1 everywhere and GeST (rmse_z, SVG rho, rho) per hole."""
    keys = [key for key, _, _ in report.ACCURACY]
    rows = []
    for i, (error, rho_svg, rho) in enumerate(holes):
        even = dict.fromkeys(keys, 1.0)
        ours = even | {"rmse_z_svg": error, "spearman_gene_svg": rho_svg, "spearman_gene": rho}
        rows.append(Row(split, "s", i, 100.0, "kNN mean", "baseline", even, {}))
        rows.append(Row(split, "s", i, 100.0, OURS, "gest", ours, {}))
        rows.append(Row(split, "s", i, 100.0, ORACLE, "oracle", even, {}))
    return Group(rows, "kNN mean", {}, {}, "", **named)


WON, WORSE, TIED = (0.9, 1.1, 1.1), (0.9, 0.9, 0.9), (0.9, 1.0, 1.1)


def test_a_hole_is_won_in_both_scores_or_not_at_all():
    # Each score alone is won four times of five, both together three times.
    split = made_up("a", [WON, WON, WON, WORSE, (1.01, 1.1, 1.1)])
    assert split.won("rmse_z_svg") == split.won("spearman_gene") == 4
    assert split.won("rmse_z_svg", "spearman_gene") == 3
    assert not scored_section.bar_met([split], "spearman_gene")
    assert report.bar_table([split]).rows[0][2:] == [
        *("4 of 5", "4 of 5", "4 of 5", "3 of 5", "3 of 5", "1.000"),
        *("missed", "missed"),
    ]
    assert report.readme_table([split]).rows[0][-4:] == ["4 of 5", "4 of 5", "3 of 5", "3 of 5"]


def test_which_spearman_is_counted_is_told_apart():
    split = made_up("a", [WON, WON, WON, TIED, WORSE])
    assert scored_section.bar_met([split], "spearman_gene")
    assert not scored_section.bar_met([split], "spearman_gene_svg")
    assert report.bar_table([split]).rows[0][-2:] == ["missed", "met"]


def test_a_section_worse_by_more_than_two_percent_misses_the_bar():
    split = made_up("a", [WON] * 5)
    assert scored_section.bar_met([split], "spearman_gene")
    for row in split.rows:
        row.scores["rmse"] *= 1.03 if row.method == OURS else 1.0
    assert split.worst_ratio == pytest.approx(1.03)
    assert not scored_section.bar_met([split], "spearman_gene")


def test_sections_of_one_data_set_are_counted_together_and_fine_tuning_apart():
    one = made_up("mpoa+0.26", [WON] * 3 + [WORSE] * 2, dataset="MERFISH mPOA")
    two = made_up("mpoa-0.09", [WON] * 5, dataset="MERFISH mPOA")
    plain = made_up("molcart", [WORSE] * 5)
    tuned = made_up("molcart", [WON] * 5, start="mouse-preoptic-merfish")
    based = made_up("embryo", [WON] * 5, start="gest-base")
    table = report.bar_table([one, two, plain, tuned, based])
    verdicts = {row[0]: (row[6], row[-1]) for row in table.rows}
    assert verdicts == {
        "mpoa+0.26: s": ("3 of 5", "missed"),
        "mpoa-0.09: s": ("5 of 5", "met"),
        "molcart: s": ("0 of 5", "missed"),
        "molcart: s, fine-tuned from mouse-preoptic-merfish": ("5 of 5", "met"),
        "embryo: s, from gest-base": ("5 of 5", "met"),
        "MERFISH mPOA, together": ("8 of 10", "met"),
    }
    # Fine-tuning meets the bar on no further data set.
    assert any("over all genes: 2 of 3" in note for note in table.notes)
    assert "fine-tuned from" in report.readme_table([tuned]).rows[0][0]
