"""What is counted of the signs that are reported on planted worlds."""

from __future__ import annotations

from benchmarks.perturbation.signs import OURS, PLAIN, SAME, Judged, World, at_rate, tables


def world(seed: int, rate: list[float], wrong: list[bool], reported: list[bool]) -> World:
    judged = [Judged(method, rate, wrong, reported) for method in (OURS, SAME, PLAIN)]
    return World(seed, False, 3, 2, seed % 2, judged)


WORLDS = [
    world(1, [0.01, 0.02, 0.9], [False, True, True], [True, True, False]),
    world(2, [0.03, 0.8, 0.9], [False, True, False], [True, False, False]),
]
NULLS = [
    world(3, [0.9, 0.9, 0.9], [True] * 3, [False] * 3),
    world(4, [0.04, 0.9, 0.9], [True] * 3, [True, False, False]),
]


def test_signs_are_counted_over_worlds_and_null_runs() -> None:
    (table,) = tables(WORLDS, NULLS)
    row = dict(zip(table.headings, table.rows[0], strict=True))
    assert (row["signs"], row["wrong"], row["recall"]) == ("3", "1", "33.3%")
    assert row["share wrong"].startswith("33.3%")
    assert row["worlds with a sign"] == "2 of 2"
    assert row["null runs with none"].startswith("1 of 2")
    assert row["signs in them"] == "1"
    assert "4 of 6 targets" in " ".join(table.notes)


def test_the_cut_at_a_true_rate_takes_the_surest_genes_of_all_worlds() -> None:
    assert at_rate(WORLDS, OURS, 0.05) == 1  # the second surest is wrong
    assert at_rate(WORLDS, OURS, 0.4) == 3
    assert at_rate([], OURS) == 0
