"""Sections that stand apart: found, aligned with what they share kept, and left alone otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bands import planted
from sklearn.metrics import adjusted_mutual_info_score

from napari_gest.errors import InputError
from napari_gest.tasks.niches import cluster
from napari_gest.tasks.niches.align import Align, section_shifts
from napari_gest.tasks.niches.cluster import Method, cluster_niches, sample_of
from napari_gest.tasks.niches.embed import Embedded
from napari_gest.tasks.niches.niche_tree import niche_tree
from napari_gest.tasks.progress import finish
from napari_gest.tissue.neighbours import Neighbours
from napari_gest.tissue.section import Section

SHIFT = np.float32([4, -3, 8, 0, 5, 0])


def two(section: Section, shift: np.ndarray | float) -> tuple[list[Embedded], np.ndarray]:
    """Two donors with the same three bands, the second moved as a whole."""
    one, band = planted(section)
    other, _ = planted(section, seed=1)
    there = replace(section, name="other")
    moved = Embedded(there, section.rows, other.embedding + np.float32(shift), other.settings)
    return [one, moved], np.tile(band, 2)


@pytest.mark.parametrize("method", ["mixture", "kmeans"])
def test_niches_of_donors_are_the_anatomy_and_not_the_donor(
    section: Section, method: Method
) -> None:
    embedded, band = two(section, SHIFT)
    donor = np.repeat([0, 1], section.n_obs)
    asis, found = (
        cluster_niches(embedded, 3, method=method, align=how) for how in ("never", "auto")
    )
    assert adjusted_mutual_info_score(donor, asis.labels) > 0.3
    assert adjusted_mutual_info_score(donor, found.labels) < 0.05
    least = 0.8 if method == "mixture" else 0.6
    assert adjusted_mutual_info_score(band, found.labels) > least
    assert found.settings["aligned"]
    assert not asis.settings["aligned"]


def test_the_tree_is_of_aligned_sections_too(section: Section) -> None:
    embedded, band = two(section, SHIFT)
    tree = niche_tree(embedded, n_leaves=8)
    assert tree.settings["aligned"]
    assert adjusted_mutual_info_score(band, tree.cut(3).labels) > 0.5


def test_sections_that_do_not_stand_apart_are_clustered_as_before(section: Section) -> None:
    embedded, _ = two(section, 0)
    asis, found = (cluster_niches(embedded, 3, align=how) for how in ("never", "auto"))
    assert not found.settings["aligned"]
    assert np.array_equal(asis.probability, found.probability)


def test_a_section_with_more_of_a_niche_is_not_taken_for_a_shifted_one(section: Section) -> None:
    made, band = planted(section)
    n = section.n_obs
    features = np.concatenate([made.embedding, made.embedding[band < 2]])
    some = replace(section.ordered(), coords_um=section.coords_um)  # places do not matter here
    near = [Neighbours.of(some.coords_um), Neighbours.of(some.coords_um[band < 2])]
    shift = finish(section_shifts(features, near, "always", 0.0))
    assert shift is not None
    means = features[:n].mean(0) - features[n:].mean(0)
    assert abs(means[0]) > 0.5
    assert np.abs(shift[0] - shift[1])[0] < 0.4 * abs(means[0])


def test_one_section_has_no_shift(section: Section) -> None:
    made, _ = planted(section)
    near = [Neighbours.of(section.coords_um)]
    assert finish(section_shifts(made.embedding, near, "always", 1.0)) is None


def test_a_sample_has_cells_of_every_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_MANY", 400)
    monkeypatch.setattr(cluster, "_TILE", 50)
    rng = np.random.default_rng(0)
    sizes = (2000, 30, 2000, 20)
    sample = sample_of([rng.random((n, 2)) * 100 for n in sizes])
    assert sample is not None
    of = np.searchsorted(np.cumsum(sizes), sample.cells, side="right")
    assert set(of) == {0, 1, 2, 3}


def test_many_cells_are_aligned_by_a_sample(
    section: Section, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded, band = two(section, SHIFT)
    monkeypatch.setattr(cluster, "_MANY", section.n_obs)
    monkeypatch.setattr(cluster, "_TILE", section.n_obs // 4)
    found = cluster_niches(embedded, 3)
    assert found.settings["aligned"]
    assert adjusted_mutual_info_score(band, found.labels) > 0.7


@pytest.mark.parametrize("align", ["often", None, True])
def test_another_word_is_refused(section: Section, align: Align) -> None:
    with pytest.raises(InputError):
        cluster_niches(planted(section)[0], 3, align=align)
