"""Clustering: together, smooth, reproducible, and without the network."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from bands import planted
from sklearn.metrics import adjusted_mutual_info_score

from napari_gest.errors import InputError
from napari_gest.model.decoder import Decoder
from napari_gest.model.gest import GeST
from napari_gest.tasks.niches import cluster
from napari_gest.tasks.niches.cluster import ClusterRequest, cluster_niches, niche_features, smooth
from napari_gest.tasks.niches.embed import Embedded, embed_niches, niche_means
from napari_gest.tasks.niches.niche_tree import niche_tree
from napari_gest.tasks.progress import finish
from napari_gest.tissue.neighbours import Neighbours
from napari_gest.tissue.section import Section


def test_finds_planted_bands(section: Section) -> None:
    made, band = planted(section, noise=1.0)
    mixture = cluster_niches(made, 3)
    assert adjusted_mutual_info_score(band, mixture.labels) > 0.9
    kmeans = cluster_niches(made, 3, method="kmeans", smoothing=0)
    assert adjusted_mutual_info_score(band, kmeans.labels) < 0.8


def test_what_only_single_cells_differ_in_is_left_out(section: Section) -> None:
    made, band = planted(section, noise=1.0)
    single = made.embedding
    means, covariance = finish(niche_means(single, section.coords_um, 13))
    embedded = Embedded(section, section.rows, means, {"model": "m"}, covariance)
    features = niche_features([embedded])
    assert features.shape[1] == 3  # of six, two are shared with the cells around: at least three
    there = (means - means.mean(0))[section.order]
    fits = [np.linalg.lstsq(features, there[:, j])[1][0] for j in range(6)]
    left_over = np.array(fits) / (means.var(0) * len(means))
    assert left_over[:2].max() < 0.1
    assert np.sort(left_over[2:])[1:].min() > 0.5
    mixture = cluster_niches(embedded, 3)
    assert adjusted_mutual_info_score(band, mixture.labels) > 0.7


def test_how_sections_differ_as_a_whole_is_no_reason_to_keep_a_direction(section: Section) -> None:
    made, _ = planted(section)
    both = []
    for shift in (0.0, 50.0):
        means, covariance = finish(
            niche_means(made.embedding + np.float32([0, 0, 0, 0, 0, shift]), section.coords_um, 13)
        )
        both.append(Embedded(section, section.rows, means, {"model": "m"}, covariance))
    features = niche_features(both)
    n = section.n_obs
    between = np.abs(features[:n].mean(0) - features[n:].mean(0))
    assert between.max() < 5 * features[:n].std(0).max()


def test_smoothing_makes_niches_more_contiguous(section: Section) -> None:
    made, _ = planted(section, noise=1.0)
    around = Neighbours.of(section.coords_um).index[:, 1:]

    def alike(smoothing: float) -> float:
        niche = cluster_niches(made, 3, smoothing=smoothing).labels
        return float((niche[around] == niche[:, None]).mean())

    assert alike(5.0) > alike(0.0) + 0.02


def test_smoothing_by_nothing_is_the_identity(section: Section) -> None:
    near = Neighbours.of(section.coords_um)
    share = np.random.default_rng(0).dirichlet(np.ones(4), section.n_obs).astype(np.float32)
    assert smooth(share, [near], 0.0) is share
    smoother = smooth(share, [near], 3.0)
    np.testing.assert_allclose(smoother.sum(1), 1, atol=1e-5)


def test_sections_together_share_their_niches(section: Section) -> None:
    made, band = planted(section)
    other, _ = planted(section, seed=1)
    other = replace(other, section=replace(section, name="other"))
    labels = cluster_niches([made, other], 3).labels
    first, second = labels[: section.n_obs], labels[section.n_obs :]
    for niche in range(3):
        inside = first == niche
        assert (band[inside] == np.bincount(band[inside]).argmax()).mean() > 0.9
    assert (first == second).mean() > 0.9


def test_seeds_are_reproducible_and_stability_is_told(embedded: list[Embedded]) -> None:
    one, two = (cluster_niches(embedded, 4, seed=5, repeats=2) for _ in range(2))
    assert np.array_equal(one.labels, two.labels)
    assert one.stability is not None
    assert ((one.stability > 0) & (one.stability <= 1)).all()
    assert 0 < one.settings["stability"] <= 1
    assert cluster_niches(embedded, 4, seed=5).stability is None


def test_clustering_never_calls_the_network(
    embedded: list[Embedded], monkeypatch: pytest.MonkeyPatch
) -> None:
    def called(*_: object, **__: object) -> None:
        raise AssertionError("the network was called")

    for name in ("table", "encode", "ask", "predict"):
        monkeypatch.setattr(Decoder, name, called)
    assert cluster_niches(embedded, 3).n_niches == 3
    assert niche_tree(embedded, n_leaves=6).cut(4).n_niches == 4


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"method": "guess"}, "guess"),
        ({"n_niches": 1}, "n_niches is 1"),
        ({"n_niches": 10_000}, "10000"),
        ({"smoothing": -1.0}, "smoothing"),
        ({"repeats": -1}, "repeats"),
        ({"method": "leiden"}, "resolution"),
    ],
)
def test_bad_settings_are_refused(embedded: list[Embedded], settings: dict, named: str) -> None:
    with pytest.raises(InputError, match=named):
        ClusterRequest(embedded, **settings).check()


def test_embeddings_of_two_kinds_are_not_clustered_together(
    embedded: list[Embedded], tiny_model: GeST
) -> None:
    other = embed_niches(embedded[1].section, tiny_model, read="hidden")
    with pytest.raises(InputError, match="different"):
        cluster_niches([embedded[0], other], 3)


def test_leiden_says_what_to_install(
    embedded: list[Embedded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "igraph", None)
    with pytest.raises(InputError, match="igraph") as caught:
        cluster_niches(embedded, None, method="leiden", resolution=1.0)
    assert "napari-gest[leiden]" in caught.value.remedy


def test_leiden_gives_more_niches_at_a_higher_resolution(embedded: list[Embedded]) -> None:
    few, many = (cluster_niches(embedded, None, method="leiden", resolution=r) for r in (0.2, 2.0))
    assert 1 <= few.n_niches < many.n_niches
    again = cluster_niches(embedded, None, method="leiden", resolution=2.0)
    assert np.array_equal(many.labels, again.labels)


def test_a_seed_of_numpy_is_a_seed_of_leiden_too(embedded: list[Embedded]) -> None:
    given = (
        cluster_niches(embedded, None, method="leiden", resolution=1.0, seed=seed)
        for seed in (3, np.int64(3))
    )
    one, two = given
    np.testing.assert_array_equal(one.labels, two.labels)


def test_of_many_cells_a_start_is_chosen_on_tiles(
    section: Section, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The niches are those that all cells give, at a fraction of the cost."""
    embedded, _ = planted(section, noise=0.5)
    known = cluster_niches(embedded, 3)
    monkeypatch.setattr(cluster, "_MANY", 300)
    monkeypatch.setattr(cluster, "_TILE", 50)
    coords = [section.coords_um[section.order]]
    sample = cluster.sample_of(coords)
    assert sample is not None
    assert 100 <= len(sample.cells) <= 200
    assert sum(near.n_cells for near in sample.neighbours) == len(sample.cells)
    assert len(np.unique(sample.cells)) == len(sample.cells)
    made = cluster_niches(embedded, 3)
    assert adjusted_mutual_info_score(made.labels, known.labels) > 0.9
    again = cluster_niches(embedded, 3)
    np.testing.assert_array_equal(made.probability, again.probability)
    monkeypatch.setattr(cluster, "_MANY", 10**6)
    assert cluster.sample_of(coords) is None
