"""A mixture on a random field: what it finds, and how it leans on the cells around."""

from __future__ import annotations

import numpy as np
import pytest
from bands import planted

from napari_gest.files import Scratch
from napari_gest.tasks.niches import random_field
from napari_gest.tasks.niches.random_field import (
    FieldMixture,
    Sample,
    around,
    fit_field_mixture,
)
from napari_gest.tasks.progress import finish
from napari_gest.tissue.neighbours import Neighbours
from napari_gest.tissue.section import Section


def fitted(section: Section, smoothing: float, starts: int = 2, noise: float = 1.0) -> FieldMixture:
    features = planted(section, noise=noise)[0].embedding
    near = [Neighbours.of(section.coords_um)]
    shares: list[float] = []
    work = fit_field_mixture(features, near, 3, smoothing=smoothing, starts=starts, seed=0)
    made = finish(work, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    np.testing.assert_allclose(made.probability.sum(1), 1, atol=1e-4)
    return made


def contiguous(section: Section, made: FieldMixture) -> float:
    labels = made.probability.argmax(1)
    index = Neighbours.of(section.coords_um).index
    return float((labels[index[:, 1:]] == labels[:, None]).mean())


def test_the_field_makes_niches_contiguous(section: Section) -> None:
    alone, together = (fitted(section, smoothing) for smoothing in (0.0, 2.0))
    assert contiguous(section, together) > contiguous(section, alone) + 0.05


def test_the_likeliest_start_is_returned(section: Section) -> None:
    found = [fitted(section, 1.0, starts).likelihood for starts in (1, 2, 4)]
    assert found == sorted(found)


def test_the_precision_is_that_of_what_varies_inside_niches(section: Section) -> None:
    made = fitted(section, 1.0, noise=0.5)
    np.testing.assert_allclose(1 / np.diag(made.precision), [0.25] * 2 + [2.25] * 4, rtol=0.2)


def test_around_is_the_mean_over_each_sections_own_neighbours() -> None:
    rng = np.random.default_rng(0)
    near = [Neighbours.of(rng.random((n, 2)), 4) for n in (20, 30)]
    values = rng.random((50, 3)).astype(np.float32)
    found = around(values, near)
    np.testing.assert_allclose(found[4], values[near[0].index[4, 1:]].mean(0), rtol=1e-5)
    np.testing.assert_allclose(found[24], values[20 + near[1].index[4, 1:]].mean(0), rtol=1e-5)


@pytest.mark.parametrize("in_files", [False, True])
def test_cells_taken_some_at_a_time_or_from_files_give_the_same_bits(
    section: Section, in_files: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, near = planted(section)[0].embedding, Neighbours.of(section.coords_um)
    some = np.arange(0, section.n_obs, 2)
    sample = Sample(some, [Neighbours.of(section.coords_um[some])])

    def made(files: Scratch | None = None) -> list[FieldMixture]:
        return [
            finish(
                fit_field_mixture(
                    features, [near], 3, smoothing=2.0, starts=2, seed=0, sample=of, files=files
                )
            )
            for of in (None, sample)
        ]

    monkeypatch.setattr(random_field, "_AT_ONCE", 97)
    whole = made()
    if in_files:
        with_files = made(Scratch("test-of-a-random-field"))
    else:  # of a sample the size matters: cells see what those before have come to
        monkeypatch.setattr(random_field, "_AT_ONCE", section.n_obs)
        whole, with_files = whole[:1], made()[:1]
    for one, other in zip(whole, with_files, strict=True):
        np.testing.assert_array_equal(one.probability, other.probability)
        assert one.likelihood == other.likelihood
