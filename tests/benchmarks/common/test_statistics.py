from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.common.statistics import bootstrap_interval, over_sections, paired_p


def test_paired_p():
    a = np.arange(8.0)
    assert paired_p(a, a) == 1
    assert paired_p(a, 2 * a + 1) == stats.wilcoxon(np.arange(1.0, 9)).pvalue
    assert paired_p([1, 2, 3, 4, 5], [2, 4, 6, 8, 10]) == pytest.approx(0.0625)


def test_interval_holds_the_mean_and_narrows():
    rng = np.random.default_rng(0)
    few, many = rng.normal(3, 1, 5), rng.normal(3, 1, 500)
    low, high = bootstrap_interval(many)
    assert low < many.mean() < high
    assert high - low < np.subtract(*bootstrap_interval(few)[::-1])
    assert bootstrap_interval(few) == bootstrap_interval(few)


def test_one_section_has_no_interval():
    alone = over_sections([0.4])
    assert (alone.mean, alone.n) == (0.4, 1)
    assert np.isnan(alone.low)
    assert alone.text() == "+0.400 (1 section: no interval)"


def test_the_interval_over_sections_is_students():
    values = [1.0, 2.0, 4.0]
    made = over_sections(values)
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (made.low, made.high) == (pytest.approx(low), pytest.approx(high))
    assert made.text(".1f").endswith("(3 sections)")


def test_sections_of_one_animal_are_one_replicate():
    made = over_sections([1.0, 3.0, 10.0], ["a", "a", "b"])
    assert (made.mean, made.n, made.unit) == (6, 2, "animal")
    # One animal alone, or one whose name is unknown: over sections.
    assert over_sections([1.0, 3.0], ["a", "a"]).unit == "section"
    assert over_sections([1.0, 3.0], ["a", ""]).unit == "section"
