"""A linear layer from niche embeddings to labels (Sec. 4.5), refitted on a whole section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Chosen on development sections; docs/decisions/0012.
_STEPS = 10
_TRAINED_CELLS = 100.0  # weight of a label's prior mean, in cells of the new section
_FOUND = 0.4  # share of the covariance that comes from the new section
_LAYER = 0.3  # share of the log probability that comes from the linear layer
_TEMPER = 0.3  # power of the mixture's likelihood: neighbouring means share cells
_CHUNK = 8192
ARRAYS = ("weight", "bias", "means", "covariance")


@dataclass(frozen=True, eq=False)
class LabelHead:
    """The label layer of a model: classes, weights and the settings of its features.

    Attributes
    ----------
    classes
        C names.
    weight, bias
        (C, F) and (C,) float32, of F features.
    means
        (C, F) float32 mean features of each label.
    covariance
        (F, F) float32, covariance of the features within labels, of full rank.
    settings
        Settings of the features and of training. JSON values.
    """

    classes: tuple[str, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    means: NDArray[np.float32]
    covariance: NDArray[np.float32]
    settings: dict[str, Any]

    def probability(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, C) probabilities of features (n, F), by the linear layer alone."""
        return np.exp(_log_softmax(features @ self.weight.T + self.bias))

    def adapted(
        self, features: NDArray[np.float32], prior: NDArray[np.floating] | None = None
    ) -> NDArray[np.float32]:
        """Return (n, C) probabilities for the features (n, F) of all cells of a section.

        The section is modelled as a mixture of Gaussians, one for each label, with a shared
        covariance. Their means are estimated by expectation-maximisation, starting from the
        linear layer's labels. The prior of each mean is the labelled cells' mean plus the shift
        of the section as a whole. So a label with few cells keeps the learned mean, and the mean
        of a label with many cells adapts. The probabilities are a product of the mixture's and
        of the linear layer's, the latter on features without the shift, and of the labels'
        ``prior`` (C,), given as logarithms. Rows sum to 1.
        """
        expected = np.float32(0) if prior is None else prior.astype(np.float32)
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
            logits = (1 - _LAYER) * _TEMPER * mixture + _LAYER * layer + expected
            share = np.exp(_log_softmax(logits))
        return share


def _log_softmax(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    logits = logits - logits.max(1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)), np.float32)
