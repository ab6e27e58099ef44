"""How often each label is to be expected, where labelled sections agree on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Chosen on development tasks; docs/decisions/0044.
_STRENGTH = 0.6  # power of the shares where sections agree
_SPREAD = 0.3  # variance of a label's log share between sections at which half is left
_LABELLED = 0.5  # of a section's cells at least: a few marks say nothing of shares


def label_prior(codes: Sequence[NDArray[np.int64]], n_labels: int) -> NDArray[np.float64]:
    """Return (C,) log prior of the labels of a new section; 0 without evidence.

    Tissue of one kind repeats its composition, tumours do not. So the mean shares of the labels
    count the more, the less they vary between labelled sections. One section shows no variation.

    Parameters
    ----------
    codes
        (n,) label of each cell of a labelled section, -1 where it has none.
    n_labels
        Number of labels C.
    """
    shares = []
    for of in codes:
        known = of[of >= 0]
        if len(known) and len(known) >= _LABELLED * len(of):
            count = np.bincount(known, minlength=n_labels) + 1.0
            shares.append(count / count.sum())
    if len(shares) < 2:
        return np.zeros(n_labels)
    log = np.log(shares)
    log -= log.mean(1, keepdims=True)
    spread = float(log.var(0, ddof=1).mean())
    prior = np.log(np.mean(shares, 0))
    return np.asarray(_STRENGTH / (1 + spread / _SPREAD) * (prior - prior.mean()))
