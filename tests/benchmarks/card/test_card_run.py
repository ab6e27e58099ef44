"""``card-run``: what is due, in which order, and that nothing ends it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from card_results import MODULES, result
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.card.digest import file_digest
from benchmarks.card.rows import DATA, ROWS, TEST, Row
from benchmarks.card.run import Worker, due, run_card
from benchmarks.card.store import Store

FIRST, SECOND = [row for row in ROWS if row.kind == "decoder" and row.data == "molcart A2"][:2]
UNITS = [(FIRST, 0), (SECOND, 0), (FIRST, 1)]
FOUND = {"n_holes": 1, "n_cells": 9, "n_train": 5, "scores": {"GeST": {}}, "modules": [*MODULES]}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("GEST_DATA", str(tmp_path))
    (tmp_path / DATA["molcart A2"].file).write_bytes(b"data")
    return Store(tmp_path / "card")


def test_what_is_missing_is_due_before_what_is_stale(store: Store, tmp_path: Path) -> None:
    data = file_digest(tmp_path / DATA["molcart A2"].file)
    store.write(FIRST, result(store, FIRST, 0, data=data, settings="old"))
    store.write(FIRST, result(store, FIRST, 1, data=data))
    found = [(row.name, seed, why) for row, seed, why in due(store, UNITS)]
    assert found == [(SECOND.name, 0, "missing"), (FIRST.name, 0, "other settings")]


def test_a_test_section_is_not_scored_again_unless_it_is_asked_for(store: Store) -> None:
    row = next(row for row in ROWS if DATA[row.data].part == TEST)
    units = [(row, 0), (row, 1), (row, 2)]
    store.write(row, result(store, row, 0, settings="old"))
    store.write(row, result(store, row, 1, settings="old", scores={}, error="it failed"))
    assert [(seed, why) for _, seed, why in due(store, units)] == [
        (2, "missing"),
        (1, "other settings"),
    ]
    assert [seed for _, seed, _ in due(store, units, tests_again=True)] == [2, 0, 1]


def test_it_goes_on_where_it_was_and_an_error_is_a_result(store: Store) -> None:
    asked: list[tuple[str, int]] = []

    def measure(row: Row, seed: int) -> dict[str, Any]:
        asked.append((row.name, seed))
        if row is SECOND:
            raise RuntimeError("no such tissue")
        return dict(FOUND)

    said: list[str] = []
    assert run_card(store, 60, said.append, units=UNITS[:2], measure=measure) == 2
    assert run_card(store, 60, said.append, units=UNITS, measure=measure) == 1
    assert asked == [(FIRST.name, 0), (SECOND.name, 0), (FIRST.name, 1)]
    failed = store.read(SECOND, 0)
    assert failed is not None
    assert failed.error == "no such tissue"
    assert not failed.scores
    assert any("no such tissue" in line for line in said)


def test_no_row_begins_that_does_not_fit_the_budget(store: Store) -> None:
    now = [0.0]

    def measure(row: Row, seed: int) -> dict[str, Any]:
        now[0] += 60 * row.minutes
        return dict(FOUND)

    long = replace(SECOND, minutes=100.0)
    units = [(long, 0), *[(FIRST, seed) for seed in range(5)]]
    budget = 2.5 * FIRST.minutes
    done = run_card(
        store, budget, lambda _: None, units=units, measure=measure, clock=lambda: now[0]
    )
    assert done == 2
    assert store.read(long, 0) is None
    assert now[0] <= 60 * budget


def test_absent_data_is_skipped_with_a_reason(store: Store, tmp_path: Path) -> None:
    (tmp_path / DATA["molcart A2"].file).unlink()
    said: list[str] = []
    assert run_card(store, 60, said.append, units=UNITS, measure=lambda *_: {}) == 0
    assert "GEST_DATA" in said[0]


def test_a_process_that_ends_is_the_error_of_its_row() -> None:
    worker = Worker()
    gone = replace(FIRST, name="a row that is not declared")
    with pytest.raises(RuntimeError, match="ended with code 1"):
        worker(gone, 0)
    assert worker.seconds == 0


def test_quick_measures_one_row_of_simulated_tissue(tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    done = CliRunner().invoke(app, ["card-run", "--quick", "--json", str(out)])
    assert done.exit_code == 0, done.output
    assert '"rmse_z_svg"' in out.read_text()
    assert '"error": ""' in out.read_text()


def test_an_unknown_row_is_named() -> None:
    done = CliRunner().invoke(app, ["card-run", "--only", "nothing like it"])
    assert done.exit_code == 2
