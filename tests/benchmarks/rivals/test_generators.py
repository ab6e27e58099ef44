"""Published generators: what they are given, what becomes of their draws, and the command."""

from __future__ import annotations

import importlib.util
import json
import sys
import textwrap
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.common.datasets import Loaded
from benchmarks.common.scored_section import Group
from benchmarks.generation.donors import AnyCell, NearbyCell, TrueToken
from benchmarks.generation.drawn import N_DRAWS, TunedBaselines
from benchmarks.generation.drawn_scores import SAMPLE
from benchmarks.rivals import generators, registry
from benchmarks.rivals.generators import (
    Emptied,
    emptied,
    generator_tables,
    in_model_space,
    run_generator,
    score_generators,
)
from benchmarks.rivals.registry import GENERATION, METHODS, Rival, rivals
from benchmarks.rivals.run import Options
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate

DOOR = f"import sys; sys.path.insert(0, {str(METHODS)!r}); import door\n"

# Each cell is a copy of a known one, so that its scores are those of a random cell.
COPIES = """
    import numpy as np
    from pathlib import Path

    def run(known, positions, n_draws, seed):
        calls = Path(__file__).with_suffix(".calls")
        calls.write_text(calls.read_text() + "x" if calls.exists() else "x")
        known_places = {tuple(one) for one in known.obsm["spatial"]}
        assert not known_places & {tuple(one) for one in positions}, "a hole was given away"
        drawn = np.random.default_rng(seed).integers(known.n_obs, size=(n_draws, len(positions)))
        return known.X.toarray()[drawn]

    door.generation(run)
"""


class _Here(Rival):
    """A rival of this environment."""

    python = Path(sys.executable)  # type: ignore[assignment]


def toy(folder: Path, body: str = COPIES) -> Rival:
    script = folder / "method.py"
    script.write_text(DOOR + textwrap.dedent(body))
    return _Here("Toy", GENERATION, script, "here", "", "none", "none")


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    adata = simulate(1600, 20, 2, seed=0)
    train, test = (Section.from_anndata(adata, f"section_{i}") for i in (1, 2))
    return Loaded([train], [test], train.genes, 200.0, 0, (80.0, 100.0), 0.0)


@pytest.fixture(scope="module")
def holes(loaded) -> Emptied:
    return emptied("sim", loaded.test[0], loaded)


@pytest.fixture(scope="module")
def model(loaded) -> GeST:
    config = ModelConfig(
        n_layers=1, n_heads=1, d_model=8, n_meta_cells=16, n_pcs=8, window_cells=64, window_um=200.0
    )
    values = loaded.train[0].model_space(loaded.target_sum)
    sizes = {"n_meta_cells": 16, "n_pcs": 8, "level_sizes": (4, 2)}
    tokenizer = MetaCellTokenizer.fit(values, loaded.genes, loaded.target_sum, **sizes, seed=0)
    return GeST.create(config, tokenizer, seed=0)


def test_all_holes_are_empty_at_once_for_every_method(loaded, holes):
    apart = loaded.test_cases(loaded.test[0])
    assert [c.hole.mask.sum() for c in holes.cases] == [c.hole.mask.sum() for c in apart]
    for case in holes.cases:
        assert np.array_equal(case.hole.known, holes.known)
    assert not (holes.known & holes.hole).any()
    assert holes.known.sum() + holes.hole.sum() == loaded.test[0].n_obs


def test_draws_come_back_and_are_kept_until_the_script_changes(tmp_path, holes):
    rival, options = toy(tmp_path), Options(tmp_path / "cache", 60)
    first = run_generator(rival, holes, 0, options)
    assert not first.error
    assert first.draws.shape == (N_DRAWS, holes.hole.sum(), len(holes.section.genes))
    assert 0 < first.work_s < first.wall_s
    again = run_generator(rival, holes, 0, options)
    assert np.array_equal(again.draws, first.draws)
    assert again.peak_mb == first.peak_mb
    assert (tmp_path / "method.calls").read_text() == "x"
    changed = toy(tmp_path, COPIES.replace("default_rng(seed)", "default_rng(seed + 1)"))
    assert not np.array_equal(run_generator(changed, holes, 0, options).draws, first.draws)
    other = replace(holes, cases=holes.cases[:1])
    assert run_generator(changed, other, 0, options).draws.shape[1] == other.hole.sum()
    assert (tmp_path / "method.calls").read_text() == "xxx"
    next((tmp_path / "cache").rglob("*.npz")).unlink()
    assert not run_generator(changed, other, 0, options).error
    assert (tmp_path / "method.calls").read_text() == "xxxx"


def test_what_is_not_kept_or_not_built_is_said_and_not_run(tmp_path, holes, monkeypatch):
    options = Options(tmp_path / "cache", 60, kept_only=True)
    assert run_generator(toy(tmp_path), holes, 0, options).error == "not run yet"
    monkeypatch.setenv("GEST_RIVALS", str(tmp_path / "none"))
    (rival,) = rivals(GENERATION, ["soGEN"])
    assert "make rivals" in run_generator(rival, holes, 0, Options(tmp_path / "cache")).error
    assert not (tmp_path / "cache").exists()


def test_an_error_of_several_lines_is_told_whole_and_tried_again(tmp_path, holes):
    calls = tmp_path / "calls"
    body = f"open({str(calls)!r}, 'a').write('x')\nraise ValueError('invalid:\\n  no a\\n  no b')"
    rival, options = toy(tmp_path, body), Options(tmp_path / "cache", 60)
    for _ in range(2):
        assert run_generator(rival, holes, 0, options).error == "ValueError: invalid: no a no b"
    assert calls.read_text() == "xx"


def test_a_call_that_had_its_time_is_not_repeated_without_more(tmp_path, holes):
    rival = toy(tmp_path, "import time; time.sleep(60)")
    options = Options(tmp_path / "cache", 0.5)
    first = run_generator(rival, holes, 0, options)
    assert first.error == "not done after 0.5 s"
    assert run_generator(rival, holes, 0, options).wall_s == first.wall_s


def test_counts_of_draws_are_scaled_like_measured_ones(loaded):
    section = loaded.test[0]
    counts = np.stack([section.expression.toarray()] * 2).astype(np.float32)
    made = in_model_space(counts, loaded.target_sum)
    assert np.allclose(made[1], section.model_space(loaded.target_sum))


def test_every_method_is_scored_in_the_same_holes(tmp_path, loaded, model, monkeypatch):
    draw = generators.gest_draws
    monkeypatch.setattr(generators, "gest_draws", lambda *given: draw(*given, field=0.0, passes=1))
    tuned = TunedBaselines([AnyCell(), NearbyCell(60)], {AnyCell.name: 2.0, NearbyCell.name: 1.0})
    (tmp_path / "short").mkdir()
    short = toy(tmp_path / "short", COPIES.replace("toarray()[drawn]", "toarray()[drawn[1:]]"))
    given = [toy(tmp_path), replace(short, name="Short")]
    options = Options(tmp_path / "cache", 60)
    scored = "sim", loaded.test[0], loaded, tuned, model
    drawn, costs = score_generators(*scored, given, options, lambda _: None)
    scores = {r.method: r.scores for r in drawn if r.radius_um == 80.0}
    assert list(scores) == [SAMPLE, "Toy", AnyCell.name, NearbyCell.name, TrueToken.name]
    assert scores["Toy"]["energy_score"] == pytest.approx(
        scores[AnyCell.name]["energy_score"], rel=0.05
    )
    assert scores["Toy"].keys() == scores[SAMPLE].keys() - {"distinct"}
    assert [c.method for c in costs] == [SAMPLE, "Toy", "Short"]
    assert not costs[1].error
    assert costs[2].error.startswith("draws of shape (11,")
    group = Group([], "", {}, {}, "", drawn=drawn, drawn_best=tuned.best)
    group.drawn_validation = tuned.validation
    shown, cost = (table.markdown() for table in generator_tables(group, costs))
    assert f"* {NearbyCell.name}" in shown
    assert "draws of shape (11," in cost


@pytest.fixture
def sogen(monkeypatch):
    """The script of soGEN, which is not installed here."""
    for name in ("sogen", "door"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["sogen"].soGEN = None
    spec = importlib.util.spec_from_file_location("run_sogen", METHODS / "run_sogen.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_known_cell_is_no_part_of_its_own_niche(sogen):
    rng = np.random.default_rng(0)
    coords = rng.uniform(0, 100, (150, 2))
    coords[1] = coords[0]  # one on top of the other
    alone = np.eye(150, dtype=np.float32)  # each cell is a type of its own
    for k, niche in zip(sogen.SCALES, sogen.niches(coords, alone, coords, True), strict=True):
        assert not np.diag(niche).any()
        assert np.allclose(niche.sum(1), 1)
        assert ((niche > 0).sum(1) == k).all()
    (nearest, *_) = sogen.niches(coords, alone, coords[5:6], False)
    assert nearest[0, 5] > 0


def test_the_command_scores_rivals_and_writes_a_page(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "RIVALS", (toy(tmp_path),))
    page, rows = tmp_path / "page.md", tmp_path / "rows.json"
    asked = ["rivals-generation", "--quick", "--cache", str(tmp_path / "cache")]
    result = CliRunner().invoke(app, [*asked, "--markdown", str(page), "--json", str(rows)])
    assert result.exit_code == 0, result.output
    assert page.read_text().startswith("# Published generators in the same holes")
    assert "| Toy |" in page.read_text()
    found = json.loads(rows.read_text())
    assert {r["method"] for r in found["costs"]} == {SAMPLE, "Toy"}
    assert {r["radius_um"] for r in found["scores"]["drawn"]} == {80.0, 120.0}


@pytest.mark.parametrize(
    ("asked", "told"), [(["--data", "brain"], "development"), (["--only", "nobody"], "nobody")]
)
def test_test_data_and_unknown_rivals_are_refused(asked, told):
    result = CliRunner().invoke(app, ["rivals-generation", *asked], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert told in result.output


def test_the_command_for_labels_names_that_for_generation():
    result = CliRunner().invoke(app, ["rivals", "--task", GENERATION], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "rivals-generation" in result.output
