"""What a check says of its patches."""

from __future__ import annotations

import numpy as np
import pytest

from napari_gest.tasks.check_report import Check, Scored

GENES = tuple(f"g{i}" for i in range(30))


def patches(gain: float, depth: float = 80.0, n: int = 300) -> list[Scored]:
    """Return patches in which half of the genes are predicted, and the local mean is noise."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(4):
        signal = rng.normal(size=(n, 30)).astype(np.float32) * (np.arange(30) < 15)
        truth = (2 + gain * signal + rng.normal(size=(n, 30))).astype(np.float32)
        depth_um = rng.uniform(0, depth, n)
        fading = np.where(depth_um < 50, 1, 0)[:, None]
        found.append(
            Scored(
                coords_um=rng.uniform(0, 200, (n, 2)),
                truth=truth,
                decoder=(2 + gain * signal * fading).astype(np.float32),
                field=None,
                neighbours={60: (2 + 0.1 * rng.normal(size=(n, 30))).astype(np.float32)},
                depth_um=depth_um,
            )
        )
    return found


def check(gain: float, depth: float = 80.0) -> Check:
    every = patches(gain, depth)
    rng = np.random.default_rng(1)
    return Check.of(
        every[:3],
        every[3],
        share=0.0,
        neighbours=60,
        genes=GENES,
        measured=np.ones(30, bool),
        known=(2 + rng.normal(size=(600, 30))).astype(np.float32),
        known_um=rng.uniform(0, 500, (600, 2)),
        n_choosing=3,
    )


def test_genes_that_are_predicted_are_told_from_those_that_are_not() -> None:
    found = check(1.0, depth=49.0)
    good = {f"g{i}" for i in range(15)}
    assert set(found.table.index[:15]) == good
    assert set(found.believable) == good
    # One gene in twenty may be taken for better by chance.
    assert 15 <= found.n_better <= 16
    assert found.table.loc["g0", "expected_correlation"] == pytest.approx(0.7, abs=0.1)
    assert f"{found.n_better} of 30 genes" in found.verdict
    assert "read the genes" in found.verdict


def test_nothing_is_promised_where_nothing_is_predicted() -> None:
    found = check(0.0)
    assert found.n_better <= 2
    assert not found.believable
    assert "No gene is expected" in found.verdict


def test_the_depth_at_which_the_gain_ends_is_said() -> None:
    found = check(1.0, depth=120.0)
    # It ends at 50 um; the band beyond may be ahead by chance, by more than its standard error.
    assert found.depth_um in (50.0, 75.0)
    assert f"Beyond {found.depth_um:.0f} um" in found.verdict
    assert "shrink the region" in found.advice
    assert check(1.0, depth=49.0).depth_um is None
