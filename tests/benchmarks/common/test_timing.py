from __future__ import annotations

import time

from benchmarks.common.imports import measure
from benchmarks.common.timing import interleaved


def test_work_runs_in_turns_and_the_median_counts():
    ran = []
    taken = interleaved(
        {
            "slow": lambda: (ran.append("slow"), time.sleep(0.02)),
            "fast": lambda: ran.append("fast"),
        },
        repeats=3,
    )
    assert ran == ["fast", "slow", "slow", "fast", "fast", "slow", "slow", "fast"]
    assert taken["slow"] > 0.015 > taken["fast"]


def test_import_loads_neither_torch_nor_napari():
    seconds, loaded = measure("napari_gest", repeats=1)
    assert seconds > 0
    assert "torch" not in loaded
    assert "napari" not in loaded
