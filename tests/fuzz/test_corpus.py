"""Everything that ever failed, one by one."""

from __future__ import annotations

import pytest

from benchmarks.fuzz.case import Outcome
from benchmarks.fuzz.corpus import CASES, NAMES
from benchmarks.fuzz.run import collect


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """Return what came of each case; they share a server, since starting one takes seconds."""
    report = collect([("corpus", i) for i in range(len(NAMES))], seed=0)
    return {NAMES[one.case]: one for one in report.outcomes}


@pytest.mark.parametrize("name", NAMES)
def test_what_failed_once_is_as_promised(name, outcomes):
    outcome = outcomes[name]
    told = f"{outcome.reproducer}\n{outcome.detail}"
    assert outcome.outcome == CASES[name].expected, told
