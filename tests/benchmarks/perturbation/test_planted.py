"""The perturbation benchmark on a small answer key: scores mean what they say."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from benchmarks.perturbation import command
from benchmarks.perturbation.command import (
    Calls,
    Score,
    _decay_error,
    _score,
    tables,
    wilson,
)
from benchmarks.perturbation.counterfactuals import (
    KNN,
    LINEAR,
    NAIVE,
    RESPONSE,
    Prediction,
    predictions,
)
from benchmarks.perturbation.planted import Planted, Setting
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.tissue.window import window_side

SETTING = Setting(n_cells=1400, n_genes=30, n_sections=2, n_steps=1)


@pytest.fixture(scope="module")
def planted() -> Planted:
    return Planted.make(SETTING, 7)


@pytest.fixture(scope="module")
def model(planted: Planted) -> GeST:
    section = planted.sections[0]
    config = ModelConfig(
        n_layers=1,
        n_heads=2,
        d_model=16,
        window_cells=32,
        window_um=window_side(section.coords_um, 32),
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
    return GeST.create(config, tokenizer, seed=0)


def test_the_truth_scores_best(planted: Planted) -> None:
    rows = [s.rows[~planted.roi(s)] for s in planted.sections]
    truth = [planted.true_effect(r, 250.0) for r in rows]
    distance = [np.linspace(1, 60, len(r)) for r in rows]
    after = [planted.values("perturbed", r, 250.0) for r in rows]
    control = [planted.values(None, r, 250.0) for r in rows]
    perfect = [Prediction(c, c + t) for c, t in zip(control, truth, strict=True)]
    score = _score("truth", 0, planted, perfect, truth, distance, after)
    assert score.n_right == score.n_targets == 17
    assert score.correlation == pytest.approx(1)
    assert score.auroc > 0.95
    assert score.decay_error == pytest.approx(0, abs=1e-6)
    wrong = [Prediction(c, c - t) for c, t in zip(control, truth, strict=True)]
    assert _score("wrong", 0, planted, wrong, truth, distance, after).n_right == 0


def test_no_effect_is_never_right(planted: Planted, model: GeST) -> None:
    scores = {}
    for method, made, _ in predictions(planted, model, lambda _: None):
        truth = [
            planted.true_effect(s.rows[: len(m.effect)], 250.0)
            for s, m in zip(planted.sections, made, strict=True)
        ]
        distance = [np.linspace(1, 60, len(t)) for t in truth]
        after = [
            planted.values("perturbed", s.rows[: len(t)], 250.0)
            for s, t in zip(planted.sections, truth, strict=True)
        ]
        scores[method] = _score(method, 0, planted, made, truth, distance, after)
    assert scores[NAIVE].n_right == 0
    assert {RESPONSE, LINEAR, KNN} <= set(scores)
    assert scores[LINEAR].n_right > 0


def test_decay_error_of_a_flat_curve(planted: Planted) -> None:
    sign = planted.sign
    distance = np.repeat([7.0, 22.0, 37.0, 52.0], 5)
    falling = np.repeat([1.0, 0.5, 0.25, 0.125], 5)[:, None] * sign
    flat = np.ones(20)[:, None] * sign
    assert _decay_error(falling, falling, sign, distance, SETTING) == pytest.approx(0)
    error = _decay_error(flat, falling, sign, distance, SETTING)
    assert error == pytest.approx(np.mean([0, 0.5, 0.75, 0.875]))
    assert np.isnan(_decay_error(-flat, falling, sign, distance, SETTING))


def test_wilson_interval() -> None:
    # 61 of 87, the paper's figure: 60 to 79 %.
    low, high = wilson(61, 87)
    assert low == pytest.approx(0.598, abs=0.002)
    assert high == pytest.approx(0.787, abs=0.002)


def test_tables_print_every_method_and_interval() -> None:
    one = Score("a", 1, 12, 17, 0.7, 0.6, 0.5, 0.1, [0.5, 0.6], [0.6, 0.65])
    two = replace(one, method="b", n_right=3)
    calls = [
        Calls("programme", 1, 4, 1, 0, 0),
        Calls("programme", 1, 0, 0, 0, 0),
        *(Calls("no programme", 1, n, n, 0, 0) for n in (0, 0, 1)),
    ]
    known, figure, honest = tables([one, two], calls, SETTING)
    assert [row[0] for row in known.rows] == ["a", "b"]
    assert known.rows[0][1].startswith("70.6% [")
    assert figure.rows[0][3] == "+0.0750"
    ligand, silent, strict, _ = honest.rows
    assert ligand[2:4] == ["4", "1"]
    assert ligand[4].startswith("25.0% [")
    assert ligand[5] == f"{3 / 34:.1%}"
    assert ligand[6].startswith("1 of 2: 50.0% [")
    assert silent[6].startswith("1 of 3: 33.3% [")
    assert strict[4] == "none"


def test_calls_count_what_is_reported_and_what_is_no_target(
    planted: Planted, model: GeST, monkeypatch: pytest.MonkeyPatch
) -> None:
    genes = list(planted.adata.var_names)
    p_genes = np.ones(len(genes))
    p_genes[0] = 1e-6
    table = pd.DataFrame({"gene": genes, "band": "all", "fdr": 1.0, "p_genes": p_genes})
    table["p_positions"] = 1.0
    table.loc[:2, "fdr"] = 0.01
    table.loc[:0, "p_positions"] = 1e-6
    tested = SimpleNamespace(table=pd.concat([table, table.assign(band="0-30 um", fdr=0.0)]))
    monkeypatch.setattr(command, "significance", lambda *_, **__: tested)
    made = command._call("programme", 7, 0, None, None, {genes[0], genes[1]})
    assert made == Calls("programme", 7, 3, 1, 1, 0)


def test_other_edits_are_of_genes_that_drive_nothing(planted: Planted) -> None:
    edits = planted.other_edits(5, 0)
    roles = planted.adata.var["role"]
    assert len({e.gene for e in edits}) == 5
    assert set(roles[[e.gene for e in edits]]) == {"other"}
    level = planted.adata[:, edits[0].gene].X.toarray().ravel()
    assert edits[0].value == np.quantile(level[level > 0], 0.95)
