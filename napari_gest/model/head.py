"""A linear layer from niche embeddings to labels (Sec. 4.5), and labels of a whole section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Chosen on development sections; docs/decisions/0012.
_STEPS = 10
_TRAINED_CELLS = 100.0  # of a section, as many as the labelled cells of a label count for
_FOUND = 0.4  # share of the covariance that is the new section's
_LAYER = 0.3  # share of the log-probability that is the linear layer's
_TEMPER = 0.3  # of the mixture's: means over the same cells are no independent witnesses
_CHUNK = 8192
ARRAYS = ("weight", "bias", "means", "covariance")


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
        (C, F) float32 mean features of each label.
    covariance
        (F, F) float32 of the features inside labels, of full rank.
    settings
        What the features are and how the layer was trained. JSON values.
    """

    classes: tuple[str, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    means: NDArray[np.float32]
    covariance: NDArray[np.float32]
    settings: dict[str, Any]

    def probability(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, C) of features (n, F) by the linear layer alone; rows sum to 1."""
        return np.exp(_log_softmax(features @ self.weight.T + self.bias))

    def adapted(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, C) of the features (n, F) of all cells of a section; rows sum to 1.

        The section is a mixture of Gaussians, one for each label, that share a covariance. Their
        means are found by expectation-maximisation from the linear layer's labels on; each is
        held to the labelled cells' mean, moved by what shifts the section as a whole. A label
        with few cells so keeps what was learned, and one with many moves. The probabilities are
        a product of the mixture's and of the linear layer's on features without the shift.
        """
        centre = self.means.mean(0)
        x, n = features - centre, len(features)
        trained = (self.means - centre).astype(np.float64)
        total = np.zeros_like(self.covariance, np.float64)
        for start in range(0, n, _CHUNK):
            part = x[start : start + _CHUNK].astype(np.float64)
            total += part.T @ part
        bias = self.bias + self.weight @ centre
        share = np.exp(_log_softmax(x @ self.weight.T + bias))
        for _ in range(_STEPS):
            weight = share.sum(0, dtype=np.float64)[:, None] + 1e-9
            found = (share.T @ x) / weight
            certain = weight / (weight + _TRAINED_CELLS)
            shift = (certain * (found - trained)).sum(0) / (certain.sum() + 0.2)
            mean = certain * found + (1 - certain) * (trained + shift)
            both = (mean * weight).T @ found
            inside = (total - both - both.T + (mean * weight).T @ mean) / n
            covariance = (1 - _FOUND) * self.covariance + _FOUND * inside
            towards = np.linalg.solve(covariance, mean.T)
            offset = -0.5 * (mean.T * towards).sum(0)
            mixture = x @ towards.astype(np.float32) + offset.astype(np.float32)
            layer = _log_softmax(x @ self.weight.T + (bias - self.weight @ shift))
            logits = (1 - _LAYER) * _TEMPER * mixture + _LAYER * layer
            share = np.exp(_log_softmax(logits))
        return share


def _log_softmax(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    logits = logits - logits.max(1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)), np.float32)
