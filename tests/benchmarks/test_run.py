from __future__ import annotations

from types import SimpleNamespace

import pytest
from rich.console import Console

from benchmarks import run
from benchmarks.datasets import SPLITS, Source, Split
from benchmarks.generation import Row, TunedFloors


@pytest.fixture
def stubbed(monkeypatch):
    """Replace what reads, trains and scores; a row says only which of the two scores made it."""
    section = SimpleNamespace(name="s")
    loaded = SimpleNamespace(test=[section], validation_cases=list)
    model = SimpleNamespace(genes=("a", "b"), target_sum=1.0)
    monkeypatch.setattr(run, "load", lambda *_, **__: loaded)
    monkeypatch.setattr(run, "_model", lambda *_: (model, "a note"))
    monkeypatch.setattr(run, "tune_floors", lambda *_: TunedFloors([], {"kNN mean": 1.0}))
    for name in ("score_section", "score_ring"):
        row = Row("split", "s", 0, 100.0, name, "gest", {}, {})
        monkeypatch.setattr(run, name, lambda *_, row=row, **__: iter([row]))


def only(split: Split, **options) -> run.Group:
    (made,) = run.run_split(split, run.Options(**options), Console(quiet=True))
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
