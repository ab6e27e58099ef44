"""Slopes of the response in closed form, and the head on disk."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from napari_gest.errors import CheckpointError
from napari_gest.model.response import RESPONSE, ResponseHead

G, N = 40, 4000
SILENT = np.arange(G) == 0
DIRECTION = np.eye(G)[0]


def head(strength: float) -> ResponseHead:
    """Return the sums over two identities; in the first, gene 0 drives genes 1 to 9."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, N, G))
    y[:, 1:10] += strength * x[:, :1]
    gram, cross = x.T @ x, x.T @ y
    nothing = np.zeros((G, G))
    parts = {
        "gram": [gram, nothing],
        "cross": [cross, nothing],
        "square": [np.square(y).sum(0), np.zeros(G)],
        "freedom": [N - 1, 0],
        "spread": np.ones(G),
        "width_um": [20.0],
    }
    return ResponseHead(**{name: np.asarray(part, np.float32) for name, part in parts.items()})


def test_a_planted_slope_is_found_with_its_error() -> None:
    slope, error = head(0.5).slopes(DIRECTION, SILENT)
    assert slope.shape == error.shape == (2, G)
    np.testing.assert_allclose(slope[0, 1:10], 0.5, atol=0.06)
    np.testing.assert_allclose(slope[0, 10:], 0, atol=0.06)
    np.testing.assert_allclose(error[0], 1 / np.sqrt(N), rtol=0.1)


def test_where_nothing_responds_slopes_are_shrunk_to_nothing() -> None:
    made = head(0.0)
    plain = made.cross[0, 0] / made.gram[0, 0, 0]
    slope, _ = made.slopes(DIRECTION, SILENT)
    assert np.abs(slope[0]).max() < 0.6 * np.abs(plain).max()


def test_an_identity_without_cells_does_not_respond() -> None:
    slope, error = head(0.5).slopes(DIRECTION, SILENT)
    assert not slope[1].any()
    assert not error[1].any()


def test_a_head_reads_back_as_it_was_written(tmp_path: Path) -> None:
    assert ResponseHead.read(tmp_path) is None
    made = head(0.5)
    made.write(tmp_path)
    again = ResponseHead.read(tmp_path)
    assert again is not None
    for field in fields(made):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(made, field.name))


def test_a_damaged_head_is_named(tmp_path: Path) -> None:
    (tmp_path / RESPONSE).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="damaged") as caught:
        ResponseHead.read(tmp_path)
    assert RESPONSE in caught.value.remedy
