"""Sections that differ as wholes, as those of several donors do, moved onto each other."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_gest.tasks.finite import require_finite
from napari_gest.tasks.niches.random_field import FieldMixture, Sample, fit_field_mixture
from napari_gest.tasks.progress import Clock, Progress, relay
from napari_gest.tissue.neighbours import Neighbours

Align = Literal["auto", "always", "never"]

# Number of niches by which sections are compared, and starts of each fit. It does not depend on
# the requested number, so that all numbers of niches use the same shifts.
_NICHES, _STARTS = 10, 2
# Sections are aligned where niches tell them apart by so much more (AMI) than aligned ones do.
_TELLING = 0.15


def section_shifts(
    features: NDArray[np.float32],
    neighbours: Sequence[Neighbours],
    how: Align,
    smoothing: float,
    sample: Sample | None = None,
) -> Generator[Progress, None, NDArray[np.float32] | None]:
    """Return what sets each section apart as a whole, to be taken away; None if nothing is.

    A mixture fits niches and one shift for each section at once. By ``"auto"`` the shifts are
    taken away only if niches without them are largely the sections themselves: if the adjusted
    mutual information of niches and sections falls by 0.15 at least.

    Parameters
    ----------
    features
        (n, p), the sections one after another.
    neighbours
        Of each of S sections.
    how
        ``"auto"``, ``"always"`` or ``"never"``.
    smoothing
        As in ``fit_field_mixture``.
    sample
        Cells that are looked at, some of each section; all by default.

    Returns
    -------
    (S, p) of each section, or None.
    """
    if how == "never" or len(neighbours) == 1:
        return None
    section = np.repeat(np.arange(len(neighbours)), [near.n_cells for near in neighbours])
    near = neighbours
    if sample is not None:
        features, near, section = features[sample.cells], sample.neighbours, section[sample.cells]

    clock = Clock("Comparing sections", 200)

    def fit(done: int, of: NDArray[np.int64] | None) -> Generator[Progress, None, FieldMixture]:
        work = fit_field_mixture(
            features,
            near,
            min(_NICHES, len(features) // 2),
            smoothing=smoothing,
            starts=_STARTS,
            seed=0,
            section=of,
            prior=np.inf,
        )
        return (yield from relay(work, lambda share: clock.tick(done + int(100 * share))))

    def telling(fitted: FieldMixture) -> float:
        from sklearn.metrics import adjusted_mutual_info_score  # 60 MB, seldom needed

        return float(adjusted_mutual_info_score(section, fitted.probability.argmax(1)))

    moved = yield from fit(0, section)
    if how == "auto":
        plain = yield from fit(100, None)
        if telling(plain) - telling(moved) < _TELLING:
            return None
    require_finite("The shifts of sections", shift=moved.shift)
    return moved.shift.astype(np.float32)
