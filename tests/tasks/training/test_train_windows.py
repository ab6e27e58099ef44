"""What training reads: windows that hide what is to be predicted, and holes set aside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_gest.model.gest import GeST
from napari_gest.tasks.training.train import TrainConfig
from napari_gest.tasks.training.train_windows import (
    Score,
    Tissue,
    discs,
    draw_window,
    stack,
    tissue_of,
    validation_batches,
)
from napari_gest.tissue.geometry import Geometry
from napari_gest.tissue.section import Section


@pytest.fixture
def hidden(section: Section, tiny_model: GeST) -> np.ndarray:
    return discs(section, 0.1, tiny_model.config, seed=0) >= 0


@pytest.fixture
def read(section: Section, tiny_model: GeST, hidden: np.ndarray) -> Tissue:
    tokenizer = tiny_model.tokenizer
    return tissue_of(section, ~hidden, tiny_model.target_sum, tokenizer, Score.of(tokenizer))


def test_hidden_cells_are_not_read_but_their_places_are(
    section: Section, hidden: np.ndarray, read: Tissue
) -> None:
    assert len(read.token) == read.tree.n == (~hidden).sum()
    np.testing.assert_array_equal(read.coords, section.coords_um[~hidden])
    everywhere = Geometry(section.coords_um)(np.flatnonzero(~hidden))
    np.testing.assert_array_equal(read.geometry, everywhere)


def test_discs_are_round_holes_of_the_share_wanted(
    section: Section, tiny_model: GeST, hidden: np.ndarray
) -> None:
    size = tiny_model.config.window_cells
    assert 0.1 * section.n_obs <= hidden.sum() <= 0.1 * section.n_obs + size
    near = cKDTree(section.coords_um).query(section.coords_um[hidden], k=5)[1]
    assert hidden[near].mean() > 0.8
    again = discs(section, 0.1, tiny_model.config, seed=0)
    assert np.array_equal(hidden, again >= 0)
    # Each disc has a number of its own, and cells that stand together.
    for number in range(again.max() + 1):
        cells = section.coords_um[again == number]
        assert np.linalg.norm(cells - cells.mean(0), axis=1).max() < np.ptp(section.coords_um) / 2
    more = discs(section, 0.1, tiny_model.config, seed=0, at_least=4)
    assert more.max() + 1 >= 4


def test_a_window_of_a_hole_pools_what_it_does_not_predict(read: Tissue, tiny_model: GeST) -> None:
    config = TrainConfig(targets=16, cell_dropout=0.3, hole_radius=6.0)
    rng = np.random.default_rng(0)
    windows = [draw_window(read, tiny_model.config, config, rng) for _ in range(5)]
    for window in windows:
        assert not set(window.context) & set(window.targets)
        assert len(window.targets) == 16
        assert window.pool.mass.sum() == len(window.context)
        # Turned, perhaps reflected, and in half windows: distances are those of the tissue.
        assert np.abs(window.turn @ window.turn.T).round(9).tolist() == (
            (np.eye(2) * (2 / tiny_model.config.window_um) ** 2).round(9).tolist()
        )
    n = min(len(window.pool.mass) for window in windows)
    batch = stack([window.read(n, 12) for window in windows], causal=False)
    k = tiny_model.tokenizer.n_meta_cells
    assert batch.mixture.shape == (5, n, k)
    assert batch.query_xy.shape == (5, 12, 2)
    np.testing.assert_allclose(batch.mixture.sum(-1), 1, atol=1e-5)
    first = windows[0]
    np.testing.assert_array_equal(batch.target[:12], read.token[first.targets[:12]])
    np.testing.assert_allclose(batch.values[:12], read.values[first.targets[:12]])
    # The nearest items come last and are single cells.
    assert (batch.mass[:, -4:] == 1).all()


def test_in_the_papers_orders_each_cell_is_followed_by_the_one_to_predict(
    read: Tissue, tiny_model: GeST
) -> None:
    config = TrainConfig(order="corner", cell_dropout=0.3)
    window = draw_window(read, tiny_model.config, config, np.random.default_rng(0))
    assert len(window.context) == tiny_model.config.window_cells - 1
    np.testing.assert_array_equal(window.context[1:], window.targets[:-1])
    assert (window.pool.mass == 1).all()


def test_validation_predicts_every_hidden_cell_once_from_known_ones(
    section: Section, tiny_model: GeST, hidden: np.ndarray
) -> None:
    score = Score.of(tiny_model.tokenizer)
    batches = list(validation_batches(section, hidden, hidden, tiny_model, score))
    truth = score.scale(section.model_space(tiny_model.target_sum))[hidden]
    found = np.concatenate([batch.values.numpy() for batch in batches])
    np.testing.assert_allclose(np.sort(found, 0), np.sort(truth, 0), rtol=1e-5)
    assert not any(batch.causal for batch in batches)
    # Other values in the hole change what is to be said, and nothing of what is seen.
    other = section.expression.toarray()
    other[hidden] = other[hidden][::-1]
    swapped = replace(section, expression=type(section.expression)(other))
    for one, two in zip(
        batches, validation_batches(swapped, hidden, hidden, tiny_model, score), strict=True
    ):
        assert bool((one.mixture == two.mixture).all())
        assert bool((one.residual == two.residual).all())


def test_validation_predicts_some_hidden_cells_and_sees_none(
    section: Section, tiny_model: GeST, hidden: np.ndarray
) -> None:
    score = Score.of(tiny_model.tokenizer)
    asked = hidden & (np.arange(section.n_obs) % 2 == 0)
    batches = list(validation_batches(section, hidden, asked, tiny_model, score))
    assert sum(len(batch.target) for batch in batches) == asked.sum()
    visible = sum(float(batch.mass[0].sum()) for batch in batches[:1])
    assert visible <= (~hidden).sum()


def test_no_dropout_may_have_a_sign(read: Tissue, tiny_model: GeST) -> None:
    windows = [
        draw_window(read, tiny_model.config, TrainConfig(targets=16, cell_dropout=none),
                    np.random.default_rng(0))
        for none in (0.0, -0.0)
    ]  # fmt: skip
    np.testing.assert_array_equal(windows[0].context, windows[1].context)
