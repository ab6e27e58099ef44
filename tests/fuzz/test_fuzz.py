"""Cases of a fixed seed, over every kind."""

from __future__ import annotations

from benchmarks.fuzz.run import SHARES, collect, schedule

_CASES, _SEED = 500, 1


def test_malformed_input_is_refused_by_name_or_read_whole():
    report = collect(schedule(_CASES), _SEED)
    assert len(report.outcomes) == _CASES
    assert {one.kind for one in report.outcomes} == set(SHARES)
    assert not report.failures, report.told()
    # A suite that accepts or refuses everything would find nothing.
    for kind in SHARES:
        outcomes = {one.outcome for one in report.outcomes if one.kind == kind}
        assert outcomes == {"accepted", "refused"}, kind
