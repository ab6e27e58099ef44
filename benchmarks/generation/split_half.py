"""Noise ceiling: half of a cell's counts predicts the other half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_gest.tissue.section import Section


def halves(
    section: Section, target_sum: float, seed: int | Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Assign every count to one of two halves at random (binomial thinning).

    If counts are Poisson given a cell's rates, the halves are independent given the rates. Then
    they share the rates of the cell, and differ by counting noise.

    Parameters
    ----------
    section
        Cells with counts, as `Section.holds_counts` says.
    target_sum
        Total of a cell in model space; each half is scaled to it separately.
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
