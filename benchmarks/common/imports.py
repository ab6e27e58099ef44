"""Import time of the package, measured in new interpreters."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from benchmarks.common.timing import Figure

HEAVY = ("torch", "napari", "anndata", "qtpy", "sklearn", "pandas")
MODULES = ("napari_gest", "napari_gest.cli")

_PROBE = """
import sys, time
started = time.perf_counter()
import {module}
print(time.perf_counter() - started, *[m for m in {heavy} if m in sys.modules])
"""


def measure(module: str, repeats: int = 5) -> tuple[float, list[str]]:
    """Return the median import time in seconds and the heavy packages that were loaded."""
    seconds, loaded = [], []
    for _ in range(repeats):
        probe = _PROBE.format(module=module, heavy=HEAVY)
        out = subprocess.run(
            [sys.executable, "-c", probe], capture_output=True, text=True, check=True
        )
        taken, *loaded = out.stdout.split()
        seconds.append(float(taken))
    return float(np.median(seconds)), loaded


def figures(repeats: int) -> list[Figure]:
    """Import in fresh interpreters."""
    found = []
    for module in MODULES:
        seconds, loaded = measure(module, repeats)
        clean = not {"torch", "napari"} & set(loaded)
        bar = "neither torch nor napari" if module == "napari_gest" else ""
        found.append(
            Figure(
                f"import {module}",
                f"{seconds * 1000:.0f} ms, loads {', '.join(loaded) or 'nothing heavy'}",
                bar,
                clean if bar else None,
                {"seconds": seconds},
            )
        )
    return found
