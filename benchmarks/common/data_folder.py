"""Where the real data sets are."""

from __future__ import annotations

import os
from pathlib import Path


def data_dir() -> Path:
    """Return the folder of the data sets: ``GEST_DATA``, or ``../shared/data``."""
    default = Path(__file__).parents[2] / ".." / "shared" / "data"
    return Path(os.environ.get("GEST_DATA") or default).resolve()
