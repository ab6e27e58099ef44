"""What is killed while it writes leaves the old one or the new one."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from benchmarks.robustness import kill

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def test_what_stood_still_stands():
    # In a process of its own: a fork of one that has used torch's threads may never end.
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        counts = fresh.submit(kill.run, 11, seed=0).result()
    assert [c.rounds for c in counts] == [1] * 11
    assert [c for c in counts if c.damage or c.old + c.new != 1] == []
    assert sum(c.swept for c in counts) > 0


def test_no_region_and_no_kept_result_of_a_session_is_lost():
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        (count,) = fresh.submit(kill.run, 12, seed=3, only="session").result()
    assert count.rounds == 12
    assert count.damage == []


def test_a_writer_that_damages_is_found(tmp_path, monkeypatch):
    def write(folder, which):
        for half in ("", which):  # not in one step
            (folder / "x").write_text(half)

    def read(folder):
        return kill._which({w: (folder / "x").read_text() == w for w in (kill.OLD, kill.NEW)})

    monkeypatch.setattr(kill, "cases", lambda: [kill.Case("raw", write, read)])
    (count,) = kill.run(40, seed=0)
    assert count.damage
    assert "neither the old one nor the new one stands" in count.damage[0]
