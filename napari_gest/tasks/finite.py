"""No result leaves a task unless its numbers are finite."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_gest.errors import ResultError


def require_finite(what: str, **results: Any) -> None:
    """Raise ResultError unless all numbers of a result are finite.

    The caller leaves out values that may be missing, such as genes that were not measured.

    Parameters
    ----------
    what
        Name of the result for display ("The generated cells").
    results
        Arrays, columns of tables or numbers, by name; None is ignored.
    """
    for name, values in results.items():
        array = np.asarray(0.0 if values is None else values)
        if not array.size or (np.isfinite(array.min()) and np.isfinite(array.max())):
            continue
        n = int((~np.isfinite(array)).sum())
        raise ResultError(
            f"{what} cannot be used: {n:,} of {array.size:,} numbers of '{name}' are NaN or"
            " infinite.",
            "Nothing was written. Choose another model or train this one again; if it happens with"
            " other models too, look for extreme values in the tissue.",
        )
