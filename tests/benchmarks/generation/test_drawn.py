from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from rich.console import Console

from benchmarks.common.datasets import Loaded
from benchmarks.common.scored_section import Group, read_groups
from benchmarks.generation import drawn, drawn_report, report
from benchmarks.generation.donors import AnyCell, NearbyCell, NearestCell, TrueToken
from benchmarks.generation.downstream import SURROUNDINGS, DownstreamRow
from benchmarks.generation.drawn_scores import (
    PATCH,
    SAMPLE,
    SAMPLE_COOL,
    SAMPLE_NO_FIELD,
    SAMPLE_NO_TILT,
    SAMPLE_ONE_STEP,
    SAMPLE_P_ALONE,
    SAMPLE_UNSHARED,
    SAMPLE_UNSHARP,
    WEIGHTED,
    DrawnRow,
)
from benchmarks.generation.named import LEVEL_1, META_CELL, NamedRow
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate

SETTINGS = {"field": 0.0, "passes": 1}  # fitting the field takes most of the time


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    adata = simulate(2400, 20, 2, seed=0)
    train, test = (Section.from_anndata(adata, f"section_{i}") for i in (1, 2))
    kinds = np.where(np.arange(adata.n_obs) % 3 == 0, "a", "b").astype(object)
    kinds[5::7] = None
    types = {name: kinds for name in (train.name, test.name)}
    return Loaded(
        [train], [test], train.genes, 200.0, 0, (80.0, 100.0), 30.0, type_key="kind", types=types
    )


@pytest.fixture(scope="module")
def model(loaded) -> GeST:
    config = ModelConfig(
        n_layers=1, n_heads=1, d_model=8, n_meta_cells=32, n_pcs=8, window_cells=64, window_um=200.0
    )
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
def tuned() -> drawn.TunedBaselines:
    methods = [AnyCell(), NearbyCell(60), NearestCell()]
    scores = {AnyCell.name: 4.5, NearbyCell.name: 4.2, NearestCell.name: 8.0}
    return drawn.TunedBaselines(methods, scores, {LEVEL_1: 30, "kind": 30})


@pytest.fixture(scope="module")
def rows(loaded, model, tuned) -> list:
    scored = "sim", loaded.test[0], loaded, tuned, model
    return list(drawn.score_distribution(*scored, **SETTINGS))


def group(rows: list, tuned: drawn.TunedBaselines, **named: str) -> Group:
    return Group(
        [],
        "",
        {},
        {},
        "not trained",
        drawn=[r for r in rows if isinstance(r, DrawnRow)],
        drawn_best=tuned.best,
        drawn_settings=tuned.settings,
        drawn_validation=tuned.validation,
        downstream=[r for r in rows if isinstance(r, DownstreamRow)],
        named=[r for r in rows if isinstance(r, NamedRow)],
        **named,
    )


def test_every_method_draws_every_hole(rows, tuned):
    ours = {SAMPLE, SAMPLE_ONE_STEP, WEIGHTED}
    theirs = {m.name for m in tuned.methods} | {TrueToken.name, PATCH}
    for radius in (80.0, 100.0):
        found = [r for r in rows if isinstance(r, DrawnRow) and r.radius_um == radius]
        assert {r.method for r in found} == ours | theirs
        scores = {r.method: r.scores for r in found}
        assert scores[TrueToken.name]["energy_score"] < scores[SAMPLE]["energy_score"]
        # A mean is no cell, and the nearest cells repeat.
        assert scores[WEIGHTED]["auc"] > 0.9
        assert scores[NearestCell.name]["distinct"] < scores[SAMPLE]["distinct"] == 1
    named = [r for r in rows if isinstance(r, NamedRow)]
    assert [r.what for r in named] == [LEVEL_1, "kind", META_CELL] * 2
    follow = {r.method for r in rows if isinstance(r, DownstreamRow)}
    assert follow == {SAMPLE, WEIGHTED, tuned.best, SURROUNDINGS}


def test_each_part_is_left_out_once(loaded, model, tmp_path):
    smaller = replace(loaded, radii_um=(80.0,))
    made = list(drawn.score_ablations("sim", loaded.test[0], smaller, model, passes=1))
    scores = {r.method: r.scores for r in made}
    assert list(scores) == [
        SAMPLE,
        SAMPLE_UNSHARED,
        SAMPLE_COOL,
        SAMPLE_UNSHARP,
        SAMPLE_NO_FIELD,
        SAMPLE_NO_TILT,
        SAMPLE_P_ALONE,
    ]
    assert "auc" not in scores[SAMPLE]
    # The temperature of this model is 1, and every other part changes what is drawn.
    assert scores[SAMPLE_COOL] == scores[SAMPLE]
    found = {s["energy_score"] for s in scores.values()}
    assert len(found) == 6
    one = Group([], "", {}, {}, "", ablated=made)
    (tmp_path / "rows.json").write_text(json.dumps([asdict(one)]))
    (table,) = report.tables(read_groups(tmp_path / "rows.json"))
    assert [row[1] for row in table.rows] == list(scores)


def test_drawn_cells_are_known_cells_in_the_order_of_the_hole(loaded, model):
    section = loaded.test[0]
    (typed, _) = drawn.typed_cases(loaded.test_cases(section), loaded, model)
    draws = drawn.gest_draws(model, section, typed, loaded, None, **SETTINGS).draws
    m = len(typed.case.truth)
    assert draws.values.shape == (drawn.N_DRAWS, m, len(loaded.genes))
    # The same run by hand: the ring around the hole is neither known nor a donor.
    made, _ = drawn._generated(model, section, typed.case, loaded, None, "sample", 2, SETTINGS)
    place = {row: i for i, row in enumerate(section.rows)}
    true = [place[row] for row in made.rows]
    order = np.argsort(true)
    np.testing.assert_array_equal(np.asarray(true)[order], np.flatnonzero(typed.case.hole.mask))
    np.testing.assert_allclose(draws.values[0], made.expression[order], rtol=1e-6)
    np.testing.assert_allclose(draws.values[1], made.further[0].expression[order], rtol=1e-6)


def test_a_field_that_was_fitted_before_gives_the_same_cells(loaded, model):
    section = loaded.test[0]
    (typed, _) = drawn.typed_cases(loaded.test_cases(section), loaded, model)
    first = drawn.gest_draws(model, section, typed, loaded, None, passes=1)
    assert first.field is not None
    again = drawn.gest_draws(model, section, typed, loaded, first.field, passes=1)
    np.testing.assert_array_equal(first.draws.donor, again.draws.donor)


def test_baselines_are_tuned_on_training_sections(loaded, model, monkeypatch):
    monkeypatch.setattr(drawn, "baselines", lambda: [AnyCell(), NearestCell()])
    seen = []
    score = drawn.validation_score
    monkeypatch.setattr(drawn, "validation_score", lambda m, v: seen.extend(v) or score(m, v))
    made = drawn.tune_baselines(loaded, model)
    assert {t.case.section for t in seen} == {loaded.train[0].name}
    assert made.best == AnyCell.name
    assert set(made.numbers) == {LEVEL_1, "kind"}


def test_the_tables_say_what_was_met_and_survive_json(rows, tuned, tmp_path):
    one = group(rows, tuned, dataset="two", animal="a")
    moved = [replace(r, section="other") for r in rows]
    two = group(moved, tuned, dataset="two", animal="b")
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([asdict(one)]))
    made, asked = (
        [t.markdown() for t in drawn_report.drawn_tables(g)] for g in (read_groups(path), [one])
    )
    assert made == asked
    text = "\n".join(t.markdown() for t in report.tables([one, two]))
    assert "* random cell of the nearest (k 60)" in text
    assert "(2 animals)" in text
    assert "(1 section: no interval)" in "\n".join(made)
    bars = drawn_report.bars_table([one, two])
    assert [row[0] for row in bars.rows] == ["sim: section_2", "sim: other", "two, together"]
    assert all(cell.endswith((" yes", " no")) for row in bars.rows for cell in row[1:])
    console = Console(width=300, record=True)
    for table in report.tables([one]):
        table.show(console)
    assert "GeST weighted" in console.export_text()


def test_bars_and_skill_by_hand(tuned):
    def row(method: str, seed: int, energy: float, **scores: float) -> DrawnRow:
        even = dict.fromkeys(("crps_svg", "crps", "pair_energy_score", "auc"), 0.6)
        even |= {"zeros": 0.0, "variance_ratio": 1.0, "moran_error": 0.1}
        even |= {"correlation_error": 0.1, "energy_score": energy}
        return DrawnRow("sim", "s", seed, 80.0, method, "", 50, even | scores, {}, {})

    made = []
    for seed in range(10):
        made += [row(NearbyCell.name, seed, 8.0), row(TrueToken.name, seed, 7.0)]
        made.append(row(SAMPLE, seed, 7.7, crps_svg=0.5, auc=0.63 if seed else 0.53))
        made.append(row(NearestCell.name, seed, 9.0, correlation_error=0.09))
        made.append(row(PATCH, seed, 9.0))
    one = group(made, tuned)
    assert drawn_report.section_skill(one) == pytest.approx(0.3)
    cells = drawn_report.bars_table([one]).rows[0]
    assert cells[1:] == [
        "0.620 yes",
        "1.000 yes",
        "+0.000 yes",
        "0.100 v. 0.100 yes",
        "0.100 v. 0.090 no",
        "10 of 10 yes",
        "10 of 10 yes",
        "0.300 yes",
    ]
    for r in made:
        if r.method == SAMPLE and r.seed < 2:
            r.scores["energy_score"] = 8.0  # a tie is not below
    assert drawn_report.bars_table([one]).rows[0][6] == "8 of 10 no"


def test_coverage_is_pooled_over_holes(tuned):
    names = ("50%", "80%", "90%", "95%")
    exact = dict(zip(names, (0.5, 0.8, 0.9, 0.95), strict=True))
    first = DrawnRow(
        "sim", "s", 0, 80.0, SAMPLE, "gest", 100, {},
        {"0-50": {"n_cells": 100} | exact},
        {n: [round(100 * exact[n]), 100] for n in names},
    )  # fmt: skip
    second = replace(
        first,
        seed=1,
        n_cells=300,
        bands={"0-50": {"n_cells": 300} | {n: exact[n] - 0.02 for n in names}},
        covered={n: [round(300 * exact[n]), 300] for n in names},
    )
    band, genes = drawn_report.coverage_table([group([first, second], tuned)]).rows
    assert band[2:] == ["400", "0.485", "0.785", "0.885", "0.935", "yes"]
    assert genes[3:] == ["0.500", "0.500", "0.500", "1.000", "no"]
