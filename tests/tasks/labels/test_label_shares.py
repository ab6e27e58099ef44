"""Shares of labels: expected again where sections agree, and only there."""

from __future__ import annotations

import numpy as np

from napari_gest.tasks.labels.label_shares import label_prior


def codes(*counts: int, unlabelled: int = 0) -> np.ndarray:
    return np.concatenate([np.repeat(np.arange(len(counts)), counts), np.full(unlabelled, -1)])


def test_shares_on_which_sections_agree_are_expected_again() -> None:
    prior = label_prior([codes(300, 60, 10), codes(310, 55, 12)], 3)
    assert prior[0] > prior[1] > prior[2]
    np.testing.assert_allclose(prior.sum(), 0, atol=1e-12)
    doubled = label_prior([codes(600, 120, 20), codes(310, 55, 12)], 3)
    np.testing.assert_allclose(doubled, prior, atol=0.05)  # shares count, not cells


def test_sections_that_differ_say_little() -> None:
    agreed = label_prior([codes(300, 60, 10)] * 2, 3)
    differing = label_prior([codes(300, 60, 10), codes(10, 350, 10)], 3)
    assert np.abs(differing).max() < 0.3 * np.abs(agreed).max()


def test_one_section_and_a_few_marks_say_nothing() -> None:
    assert not label_prior([codes(300, 60, 10)], 3).any()
    marked = codes(30, 6, 1, unlabelled=500)
    assert not label_prior([codes(300, 60, 10), marked], 3).any()
    assert not label_prior([np.full(5, -1), np.empty(0, np.int64)], 3).any()


def test_a_label_that_is_absent_everywhere_but_in_one_section_stays_possible() -> None:
    prior = label_prior([codes(300, 60), codes(300, 60, 10)], 3)
    assert np.isfinite(prior).all()
