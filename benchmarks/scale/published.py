"""Published methods on the atlases, each run by its original program until it fails."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rivals.call import call
from benchmarks.rivals.environments import build_error
from benchmarks.rivals.registry import NICHES, rivals
from napari_gest.tissue.io import in_memory, read_tissue

# The one of several clusterings that is run, where a method offers several.
READ_OUT = {"BANKSY": "lambda 0.8, k-means", "GraphST": "k-means", "CellCharter": "", "Novae": ""}
N_NICHES = 10


@dataclass(frozen=True)
class Limits:
    """What a published method may take.

    Attributes
    ----------
    minutes
        Of the processor, which other work on the machine does not lengthen.
    memory_gb
        Address space of its process; 0 sets no limit.
    """

    minutes: float = 30.0
    memory_gb: float = 16.0


@dataclass(frozen=True)
class Taken:
    """What a published method took.

    Attributes
    ----------
    seconds
        On the clock, without its imports and reading.
    cpu_s
        Of the processor, imports and reading included.
    peak_mb
        Most resident memory, MB.
    error
        The last line of its error; empty if there was none.
    """

    seconds: float
    cpu_s: float
    peak_mb: float
    error: str


def missing(name: str) -> str:
    """Return why a method cannot be run here; empty if it can."""
    (rival,) = rivals(NICHES, [name])
    return "" if rival.python.exists() else build_error(rival.environment)


def run_published(name: str, tissue: Path, limits: Limits) -> Taken:
    """Run a method on a tissue on disk.

    Parameters
    ----------
    name
        Of `READ_OUT`.
    tissue
        A ``.zarr``. Its cells are written beside it as ``.h5ad`` once, for all methods.
    limits
        After which it has failed.
    """
    (rival,) = rivals(NICHES, [name])
    data = tissue.with_suffix(".h5ad")
    if not data.exists():
        in_memory(read_tissue(tissue)).write_h5ad(data)
    arguments = ["--data", str(data), "--clusters", str(N_NICHES), "--only", READ_OUT[name]]
    out = tissue.with_name(f"{tissue.stem}-{name}.npz")
    found = call(
        rival.python,
        rival.script,
        arguments,
        out,
        timeout_s=math.inf,
        threads=1,
        memory_gb=limits.memory_gb,
        processor_s=60 * limits.minutes,
    )
    out.unlink(missing_ok=True)
    out.with_suffix(".log").unlink(missing_ok=True)
    megabytes = found.peak_mb * 2**20 / 1e6
    return Taken(found.work_s, found.cpu_s, megabytes, found.error)
