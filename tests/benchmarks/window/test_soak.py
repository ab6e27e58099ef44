"""How the soak reads growth from rounds whose memory varies."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.window.soak import Round, growth_by_kind


def _rounds(a_round_mb: float) -> list[Round]:
    rng = np.random.default_rng(0)
    return [
        Round(
            1.0, n % 5 == 0, 900 + 200 * (n % 5 == 0) + a_round_mb * n + rng.normal(0, 20), None, {}
        )
        for n in range(10, 110)
    ]


def test_rounds_of_one_kind_are_compared():
    flat, growing = growth_by_kind(_rounds(0.0)), growth_by_kind(_rounds(1.0))
    assert set(flat) == {"rounds without niches", "rounds with niches"}
    assert max(abs(grown) for grown in flat.values()) < 30
    # From the middle of the first ten to that of the last ten.
    assert growing["rounds without niches"] == pytest.approx(88, abs=30)
    assert growing["rounds with niches"] == pytest.approx(50, abs=30)


def test_what_was_not_done_is_not_compared():
    assert set(growth_by_kind(_rounds(0.0)[1:5])) == {"rounds without niches"}
    assert growth_by_kind(_rounds(0.0)[:1]) == {}
