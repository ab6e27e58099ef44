"""Niches that are known because they were planted."""

from __future__ import annotations

import numpy as np

from napari_gest.tasks.niches.embed import Embedded
from napari_gest.tissue.section import Section


def planted(section: Section, seed: int = 0, noise: float = 0.5) -> tuple[Embedded, np.ndarray]:
    """Three bands across a section, told apart by two features in noise that is larger."""
    x = section.coords_um[:, 0]
    band = np.digitize(x, np.quantile(x, [0.3, 0.6]))
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(section.n_obs, 6)) * [noise, noise, 1.5, 1.5, 1.5, 1.5]
    features[:, 0] += 2 * band
    features[:, 1] += 2 * (band == 1)
    return Embedded(section, section.rows, features.astype(np.float32), {"model": "m"}), band
