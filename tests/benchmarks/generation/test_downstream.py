from __future__ import annotations

import gzip

import numpy as np
import pytest

from benchmarks.common.holes import Case, Hole
from benchmarks.generation import rim_pairs
from benchmarks.generation.expression_change import (
    Change,
    compare_changes,
    region_against_ring,
    ring,
)
from benchmarks.generation.rim_pairs import RimPairs
from benchmarks.niches.niche_shares import NicheShares


@pytest.fixture(scope="module")
def case() -> Case:
    """Gene 0 is higher inside the hole, gene 1 lower, the other 18 are alike."""
    rng = np.random.default_rng(0)
    coords = rng.uniform(0, 800, (1600, 2))
    center = np.array([400.0, 400.0])
    mask = np.hypot(*(coords - center).T) <= 150
    values = rng.gamma(2, 1, (1600, 20))
    values[mask, 0] += 2
    values[mask, 1] *= 0.2
    hole = Hole(center, 150.0, mask, np.zeros(1600, bool))
    return Case("s", coords, values.astype(np.float32), hole, np.array([0, 1]))


def test_the_ring_is_as_large_as_the_hole_and_next_to_it(case):
    cells = ring(case)
    assert len(cells) == len(case.truth)
    far = np.hypot(*(case.known_coords - case.hole.center).T)
    assert far[cells].max() < np.delete(far, cells).min() + 60


def test_the_truth_agrees_with_itself_and_noise_does_not(case):
    truth = region_against_ring(case, case.truth)
    assert truth.called[:2].all()
    assert truth.difference[0] > 0 > truth.difference[1]
    same = compare_changes(truth, truth)
    assert same == {"de_sign": 1, "de_rank": 1, "de_precision": 1, "de_recall": 1}
    turned = compare_changes(truth, Change(-truth.difference, -truth.t, truth.q))
    assert turned["de_sign"] == turned["de_precision"] == turned["de_recall"] == 0
    assert turned["de_rank"] == pytest.approx(-1)
    nothing = Change(np.zeros(20), np.zeros(20), np.ones(20))
    scores = compare_changes(truth, nothing)
    assert scores["de_recall"] == scores["de_rank"] == 0
    assert np.isnan(scores["de_precision"])


def test_pairs_across_the_rim_by_hand():
    coords = np.array([[0.0, 0], [1, 0], [2, 0], [30, 0], [31, 0], [32, 0]])
    mask = np.array([True, False, False, False, False, False])
    values = np.array([[2, 0], [0, 3], [0, 1], [1, 1], [1, 1], [1, 1]], np.float32)
    hole = Hole(coords[0], 0.5, mask, np.zeros(6, bool))
    case = Case("s", coords, values, hole, np.array([0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rim_pairs, "_NEIGHBOURS", 2)
        pairs = RimPairs.of(case, [(0, 1)])
    # The cell of the hole meets both known cells beside it.
    assert pairs.across.tolist() == [[0, 1], [0, 2]]
    assert pairs.rim.tolist() == [[1, 2]]
    product = (2 * 3 + 2 * 1) / 2 / 2  # gene 0 is in the hole's cell only
    known = np.mean([0, 1, 1, 1])
    assert pairs.known[0] == pytest.approx(known)
    least = 0.05 * known
    expected = np.log2((product + least) / (known + least))
    np.testing.assert_allclose(pairs.enrichment(values[:1]), [expected], rtol=1e-6)


def test_pairs_of_the_truth_are_right_and_of_nothing_are_not(case):
    pairs = RimPairs.of(case, rim_pairs.correlated_pairs(case, 12))
    truth = pairs.enrichment(case.truth)
    assert pairs.compare(truth, truth) == {"pairs_rank": 1, "pairs_error": 0}
    other = pairs.compare(truth, pairs.enrichment(np.zeros_like(case.truth)))
    assert other["pairs_error"] > 1


def test_named_pairs_come_from_the_table_that_fits_the_panel(tmp_path, monkeypatch):
    monkeypatch.setenv("GEST_DATA", str(tmp_path))
    assert rim_pairs.named_pairs(["Tgfb1", "Tgfbr2"]) == []
    (tmp_path / "keys").mkdir()
    for species, names in (("human", "TGFB1,TGFBR1"), ("mouse", 'Tgfb1,"Tgfbr1, Tgfbr2"')):
        text = f"ligand.symbol,receptor.symbol\n{names}\n"
        path = tmp_path / "keys" / f"cellchatdb_{species}_lr.csv.gz"
        path.write_bytes(gzip.compress(text.encode()))
    assert rim_pairs.named_pairs(["Tgfbr2", "Actb", "Tgfb1", "Tgfbr1"]) == [(2, 0), (2, 3)]
    assert rim_pairs.named_pairs(["TGFBR1", "TGFB1"]) == [(1, 0)]


def test_niches_are_named_as_in_the_truth(case):
    true = np.zeros(1600, np.int64)
    true[case.coords_um[:, 0] > 400] = 1
    shares = NicheShares(None, None, case, 0, true)
    renamed = np.where(true == 1, 5, 3)
    name = shares._names(renamed[case.hole.known], true[case.hole.known])
    np.testing.assert_array_equal(name[renamed], true)
    inside = true[case.hole.mask]
    assert shares.compare(inside) == {"niche_error": 0, "niche_same": 1}
    turned = shares.compare(1 - inside)
    assert turned["niche_same"] == 0
    assert turned["niche_error"] == pytest.approx(abs(1 - 2 * inside.mean()))
