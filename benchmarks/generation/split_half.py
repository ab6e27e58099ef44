"""What counting noise alone costs: half of a cell's counts against the other half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_gest.tissue.section import Section


def halves(
    section: Section, target_sum: float, seed: int | Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give every count to one of two halves at random (binomial thinning).

    Were the counts drawn from a cell's rates (Poisson), the halves are independent given these, so
    that what they share is the cell and what they do not is counting.

    Parameters
    ----------
    section
        Cells with counts, as `Section.holds_counts` says.
    target_sum
        Total of a cell in model space; each half is brought to it on its own.
    seed
        Seed of the draw.

    Returns
    -------
    Two (n_obs, G) halves in model space.
    """
    whole = section.expression
    first = whole.copy()
    drawn = np.random.default_rng(seed).binomial(np.rint(whole.data).astype(np.int64), 0.5)
    first.data = drawn.astype(np.float32)
    parts = (replace(section, expression=part) for part in (first, whole - first))
    one, other = (part.model_space(target_sum) for part in parts)
    return one, other


def spearman_brown(r: float) -> float:
    """Return the reliability of the whole whose halves correlate by ``r``."""
    return 2 * r / (1 + r)
