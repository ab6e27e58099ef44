from __future__ import annotations

from types import SimpleNamespace

import pytest
from rich.console import Console

from benchmarks.common import split_run
from benchmarks.common.datasets import SPLITS, Source, Split
from benchmarks.generation.checked import CheckRow
from benchmarks.generation.command import Row, TunedPointBaselines
from benchmarks.generation.downstream import DownstreamRow
from benchmarks.generation.drawn import TunedBaselines
from benchmarks.generation.drawn_scores import DrawnRow


@pytest.fixture
def stubbed(monkeypatch):
    """Replace what reads, trains and scores; a row says only which of the two scores made it."""
    section = SimpleNamespace(name="s")
    loaded = SimpleNamespace(test=[section], validation_cases=list, animals={"s": "A1"})
    model = SimpleNamespace(genes=("a", "b"), target_sum=1.0)
    monkeypatch.setattr(split_run, "load", lambda *_, **__: loaded)
    monkeypatch.setattr(split_run, "_model", lambda *_: (model, "a note"))
    monkeypatch.setattr(
        split_run, "tune_point_baselines", lambda *_: TunedPointBaselines([], {"kNN mean": 1.0})
    )
    for name in ("score_section", "score_ring"):
        row = Row("split", "s", 0, 100.0, name, "gest", {}, {})
        monkeypatch.setattr(split_run, name, lambda *_, row=row, **__: iter([row]))
    monkeypatch.setattr(
        split_run, "tune_baselines", lambda *_: TunedBaselines([], {"nearest": 1.0})
    )
    drawn = [
        DrawnRow("split", "s", 0, 100.0, "drawn", "gest", 9, {}, {}, {}),
        DownstreamRow("split", "s", 0, 100.0, "drawn", 9, {}),
    ]
    monkeypatch.setattr(split_run, "score_distribution", lambda *_, **__: iter(drawn))
    monkeypatch.setattr(split_run, "score_ablations", lambda *_, **__: iter(drawn[:1]))
    checked = CheckRow("split", "s", 0, 100.0, 9, "", {})
    monkeypatch.setattr(split_run, "score_checks", lambda *_, **__: iter([checked]))


def only(split: Split, **options) -> split_run.Group:
    (made,) = split_run.run_split(split, split_run.Options(**options), Console(quiet=True))
    return made


def test_a_group_says_which_data_set_and_what_it_was_trained_from(stubbed):
    made = only(SPLITS["mpoa+0.26"], start="models/mouse")
    assert (made.dataset, made.start, made.note) == ("MERFISH mPOA", "mouse", "a note")
    assert only(SPLITS["molcart"]).start == ""
    # A model that is given is scored as it is.
    assert only(SPLITS["molcart"], start="mouse", model="other").start == ""


def test_the_ring_is_scored_unless_it_was_trained_on_or_dropped_already(stubbed):
    assert [r.method for r in only(SPLITS["molcart"]).buffered] == ["score_ring"]
    assert only(SPLITS["molcart"], buffer_um=30.0).buffered == []
    itself = Split("one", (), Source("one.h5ad"))
    assert only(itself).buffered == []
    assert only(itself, model="mouse").buffered != []


def test_one_part_runs_alone(stubbed):
    both = only(SPLITS["molcart"], seeds=(0, 1))
    assert [r.method for r in both.rows] == ["score_section"] * 2
    assert [r.method for r in both.drawn] == [r.method for r in both.downstream] == ["drawn"] * 2
    assert (both.drawn_best, both.animal) == ("nearest", "A1")
    points = only(SPLITS["molcart"], parts=("points",))
    assert (len(points.rows), len(points.buffered)) == (1, 1)
    assert (points.drawn, points.downstream) == ([], [])
    drawn = only(SPLITS["molcart"], parts=("distribution",))
    assert (drawn.rows, drawn.buffered, len(drawn.drawn), drawn.checks) == ([], [], 1, [])
    checks = only(SPLITS["molcart"], parts=("check",))
    assert (checks.rows, checks.drawn, len(checks.checks)) == ([], [], 1)
    assert checks.name == "split: s"
    assert drawn.name == "split: s"


def test_what_is_done_is_handed_on_after_every_seed(stubbed):
    seen = []
    options = split_run.Options(seeds=(0, 1))
    split_run.run_split(
        SPLITS["molcart"],
        options,
        Console(quiet=True),
        lambda groups: seen.append(len(groups[0].rows)),
    )
    assert seen == [1, 2]
