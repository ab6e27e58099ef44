"""The label layer: what it says of single cells, and of a section as a whole."""

from __future__ import annotations

import numpy as np
import pytest

from napari_gest.model import head as head_file
from napari_gest.model.head import LabelHead

MEANS = np.float32([[0, 0], [4, 0], [0, 4]])


def layer(off: float = 0.0) -> LabelHead:
    """Return the best linear layer for round clouds of unit spread around ``MEANS`` + off."""
    means = MEANS + np.float32(off)
    bias = -0.5 * np.square(means).sum(1)
    return LabelHead(("a", "b", "c"), means, bias, means, np.eye(2, dtype=np.float32), {})


def clouds(n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    kind = np.arange(3 * n) % 3
    noise = np.random.default_rng(0).normal(size=(3 * n, 2))
    return (MEANS[kind] + noise).astype(np.float32), kind


def test_probability_is_the_softmax_of_the_layer() -> None:
    features, kind = clouds()
    found, head = layer().probability(features), layer()
    expected = np.exp(features @ head.weight.T + head.bias)
    np.testing.assert_allclose(found, expected / expected.sum(1, keepdims=True), rtol=1e-4)
    assert (found.argmax(1) == kind).mean() > 0.9


def test_large_logits_stay_finite() -> None:
    found = layer().probability(np.float32([[1e4, 0], [0, 1e4]]))
    np.testing.assert_allclose(found, [[0, 1, 0], [0, 0, 1]], atol=1e-6)


def test_what_shifts_every_cell_is_taken_out() -> None:
    features, kind = clouds()
    moved = features + np.float32([2.5, 2.5])
    assert (layer().probability(moved).argmax(1) == kind).mean() < 0.8
    adapted = layer().adapted(moved)
    assert (adapted.argmax(1) == kind).mean() > 0.9
    np.testing.assert_allclose(adapted.sum(1), 1, atol=1e-5)


def test_where_the_origin_lies_does_not_matter() -> None:
    features, _ = clouds()
    moved = layer(7.0).adapted(features + np.float32(7.0))
    np.testing.assert_allclose(moved, layer().adapted(features), atol=2e-3)


def test_cells_in_parts_are_cells_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    features, _ = clouds()
    whole = layer().adapted(features)
    monkeypatch.setattr(head_file, "_CHUNK", 7)
    np.testing.assert_allclose(layer().adapted(features), whole, atol=1e-5)


def test_a_prior_moves_cells_between_labels_and_none_is_even_odds() -> None:
    features, _ = clouds()
    even = layer().adapted(features)
    np.testing.assert_array_equal(layer().adapted(features, np.zeros(3)), even)
    more = layer().adapted(features, np.array([1.0, 0.0, 0.0]))
    assert more[:, 0].sum() > even[:, 0].sum()
    np.testing.assert_allclose(more.sum(1), 1, atol=1e-5)
