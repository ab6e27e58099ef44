from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from benchmarks.common.datasets import Loaded
from benchmarks.common.holes import Case, Hole
from benchmarks.common.scored_section import Group, read_groups
from benchmarks.generation import checked, report
from benchmarks.generation.check_table import check_table
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.tasks.generation.check_report import Check
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate

GENES = tuple(f"g{i}" for i in range(12))


def hole() -> tuple[Case, np.ndarray, np.ndarray]:
    """Return a hole, a poor and a good prediction of it."""
    rng = np.random.default_rng(0)
    coords = rng.uniform(0, 100, (900, 2))
    slope = np.linspace(0, 3, 12)
    values = (np.sin(coords[:, :1] / 15) * slope + rng.normal(0, 0.5, (900, 12))).astype(np.float32)
    mask = np.hypot(*(coords - 50).T) < 25
    one = Hole(np.full(2, 50.0), 25.0, mask, np.zeros_like(mask))
    case = Case("s", coords, values, one, np.arange(12))
    good = (np.sin(coords[mask, :1] / 15) * slope).astype(np.float32)
    return case, rng.normal(size=good.shape).astype(np.float32), good


def check(case: Case, gain: np.ndarray, share: float, p_gain: float = 1.0) -> Check:
    table = pd.DataFrame(
        {
            "expected_correlation": np.linspace(0, 0.9, 12),
            "gain": gain,
            "p_gain": p_gain,
            "reliability": 0.8,
            "gain_reliability": 0.5,
            "moran": np.linspace(0.5, 0, 12),
            "claim": True,
        },
        index=pd.Index(GENES, name="gene"),
    )
    return Check(table.iloc[::-1], share, 10, None, 20.0, 25.0, 100, 4, 4)


def test_a_hole_is_scored_against_what_the_check_expected() -> None:
    case, poor, good = hole()
    near = np.linspace(0, 1, 12)
    scores = checked.score_check(case, check(case, near, 1.0), GENES, poor, good)
    assert scores["correlation_rank"] > 0.8, "genes in the table's own order"
    assert scores["moran_rank"] < -0.8
    assert scores["error_chosen"] == scores["error_whole"] < scores["error_usual"]
    assert scores["error_usual"] < scores["error_none"]
    assert scores["claims"] == 12
    turned = checked.score_check(case, check(case, -near, 0.0), GENES, poor, good)
    assert turned["error_chosen"] == turned["error_none"]
    silent = checked.score_check(case, check(case, near, 1.0, 0.5), GENES, poor, good)
    assert silent["claims"] == silent["claims_right"] == 0
    assert -1 <= scores["gain_agreement"] <= 1


def test_the_check_of_a_section_and_its_table(tmp_path) -> None:
    adata = simulate(2400, 20, 2, seed=0)
    train, test = (Section.from_anndata(adata, f"section_{i}") for i in (1, 2))
    loaded = Loaded([train], [test], train.genes, 200.0, 0, (60.0, 80.0), 0.0)
    config = ModelConfig(
        n_layers=1, n_heads=1, d_model=8, n_meta_cells=32, n_pcs=8, window_cells=64, window_um=200.0
    )
    tokenizer = MetaCellTokenizer.fit(
        train.model_space(200.0),
        train.genes,
        200.0,
        n_meta_cells=32,
        n_pcs=8,
        level_sizes=(6, 4, 2),
        seed=0,
    )
    model = GeST.create(config, tokenizer, seed=0)
    (row,) = checked.score_checks("sim", test, loaded, model, passes=1)
    assert row.refused == ""
    assert row.scores["chosen_share"] in (0.0, 0.35, 0.7, 1.0)
    assert row.scores["least_reliability"] >= 0.3 or np.isnan(row.scores["least_reliability"])
    none = replace(row, seed=1, refused="No two patches", scores={})
    group = Group([], "", {}, {}, "not trained", checks=[row, replace(row, seed=2), none])
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([asdict(group)]))
    (table,) = report.tables(read_groups(path))
    assert table.rows == check_table([group]).rows
    assert table.rows[0][:3] == ["sim: section_2", "2", "1"]
    only = Group([], "", {}, {}, "", checks=[none])
    assert check_table([only]).rows[0][1:3] == ["0", "1"]


def test_halves_are_blocks_of_neighbours() -> None:
    coords = np.random.default_rng(0).uniform(0, 100, (400, 2))
    half = checked._half(coords)
    assert half.mean() == pytest.approx(0.5, abs=0.1)
