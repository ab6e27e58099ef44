"""A tree of niches: every number of them at once."""

from __future__ import annotations

import numpy as np
import pytest
from bands import planted
from sklearn.metrics import adjusted_mutual_info_score

from napari_gest.errors import InputError
from napari_gest.palette import palette
from napari_gest.tasks.niches.embed import Embedded
from napari_gest.tasks.niches.niche_tree import NicheTree, niche_tree
from napari_gest.tissue.section import Section


@pytest.fixture
def tree(embedded: list[Embedded]) -> NicheTree:
    return niche_tree(embedded, n_leaves=8)


def test_a_tree_has_every_number_of_niches_nested(tree: NicheTree) -> None:
    finer = tree.cut(tree.n_leaves)
    for k in range(tree.n_leaves - 1, 0, -1):
        coarser = tree.cut(k)
        assert coarser.probability.shape[1] == k
        # Mass only merges: a coarse niche's mass is that of the fine ones in it.
        np.testing.assert_allclose(coarser.probability.sum(1), 1, atol=1e-4)
        pairs = set(zip(finer.probability.sum(0).round(1), strict=False))
        assert coarser.probability.sum(0).max() >= max(p[0] for p in pairs) - 0.2
        finer = coarser


def test_one_niche_more_leaves_all_other_colours(tree: NicheTree) -> None:
    for k in range(1, tree.n_leaves):
        coarse, fine = tree.cut(k), tree.cut(k + 1)
        assert set(coarse.colors) == set(palette(k)) < set(fine.colors)
        new = palette(k + 1)[k]
        kept = np.array([fine.colors[label] != new for label in fine.labels])
        before = np.array(coarse.colors)[coarse.labels]
        # A cell between two leaves may change its niche where one of them splits off.
        same = before[kept] == np.array(fine.colors)[fine.labels[kept]]
        assert same.mean() > 0.98


def test_a_tree_cuts_planted_bands_apart(section: Section) -> None:
    made, band = planted(section)
    assert adjusted_mutual_info_score(band, niche_tree(made, n_leaves=6).cut(3).labels) > 0.8


def test_a_tree_cannot_be_cut_finer_than_its_leaves(tree: NicheTree) -> None:
    with pytest.raises(InputError, match="n_niches is"):
        tree.cut(tree.n_leaves + 1)
