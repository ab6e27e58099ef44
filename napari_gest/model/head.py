"""A linear layer from niche embeddings to labels (Sec. 4.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class LabelHead:
    """Labels that a model can give, and how it reads them off its embeddings.

    Attributes
    ----------
    classes
        C names.
    weight, bias
        (C, F) and (C,) float32, of F features.
    means
        (C, F) float32 mean features of each label, by which a section is aligned; empty where it
        is not.
    settings
        What the features are and how the layer was trained. JSON values.
    """

    classes: tuple[str, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    means: NDArray[np.float32]
    settings: dict[str, Any]

    def probability(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, C) of features (n, F); rows sum to 1."""
        logits = features @ self.weight.T + self.bias
        out = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(out / out.sum(1, keepdims=True), np.float32)
