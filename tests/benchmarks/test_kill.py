"""What is killed while it writes leaves the old one or the new one."""

from __future__ import annotations

import os

import pytest

from benchmarks import kill

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def test_what_stood_still_stands():
    counts = kill.run(10, seed=0)
    assert [c.rounds for c in counts] == [1] * 10
    assert all(c.damage == [] for c in counts)
    assert all(c.old + c.new == 1 for c in counts)
    assert sum(c.swept for c in counts) > 0


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
