"""Influence: leaving out is exact, and what matters most matters most."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import combine_pvalues

from napari_gest.errors import InputError
from napari_gest.model.decoder import Context
from napari_gest.model.gest import GeST
from napari_gest.tasks.perturbation.influence import Query, context_of, influence
from napari_gest.tasks.perturbation.neighborhood_context import Around
from napari_gest.tissue.section import Section

CELL = 40


def without(context: Context, j: int) -> Context:
    """Return the context with a cell's keys, values and place in the prior cut out."""
    keep = [i for i in range(context.n_cells) if i != j]
    return Context(
        [k[:, :, keep] for k in context.keys],
        [v[:, :, keep] for v in context.values],
        context.mixture[:, keep],
        context.xy[:, keep],
        context.mass[:, keep],
    )


@torch.inference_mode()
def test_a_mask_equals_cutting_the_item_out_of_the_cache(
    section: Section, tiny_model: GeST
) -> None:
    found = influence(section, tiny_model, CELL)
    neighbours, pool, query = context_of(Around(section, tiny_model), CELL)
    assert np.array_equal(found.neighbours, neighbours)
    assert np.array_equal(found.item, pool.group)
    assert pool.mass.max() > 1  # far ones come in groups
    n = len(pool.mass)
    for j in (0, 7, n - 1):
        cut = Query(tiny_model, without(query.context, j), query.xy, query.geometry)
        alone = cut.expression(np.zeros((1, n - 1), bool))[0]
        assert np.allclose(found.expression - alone, found.change[j], atol=2e-6)
        share = query.size(found.change)[j] / pool.mass[j]
        assert found.influence[pool.group == j] == pytest.approx(share)


@torch.inference_mode()
def test_the_nearest_cell_equals_encoding_without_it(section: Section, tiny_model: GeST) -> None:
    """It is last in the content, so nothing has read from it and leaving it out is exact."""
    around = Around(section, tiny_model)
    neighbours, pool, query = context_of(around, CELL)
    context, last = query.context, len(pool.mass) - 1
    assert pool.group[0] == last
    near = [neighbours[pool.group == item] for item in range(last)]
    geometry = np.stack([around.geometry(cells).mean(0) for cells in near])
    fresh = tiny_model.network.encode(
        tiny_model.network.table(),
        context.mixture[:, :last],
        context.xy[:, :last],
        mass=context.mass[:, :last],
        geometry=torch.from_numpy(geometry),
    )
    alone = Query(tiny_model, fresh, query.xy, query.geometry)
    alone = alone.expression(np.zeros((1, last), bool))[0]
    found = influence(section, tiny_model, CELL)
    assert np.allclose(found.expression - alone, found.change[last], atol=2e-6)


def test_the_top_k_matter_more_than_random_ones(section: Section, tiny_model: GeST) -> None:
    """Over several cells: the weights are random, and a single cell proves little."""
    found = [influence(section, tiny_model, i, k=4, n_random=40) for i in range(0, 400, CELL)]
    top, others = (np.mean([getattr(f, n) for f in found]) for n in ("top_k", "random_k"))
    assert top > others
    assert combine_pvalues([f.fidelity_p for f in found]).pvalue <= 0.1


def test_the_cell_itself_has_no_influence(section: Section, tiny_model: GeST) -> None:
    assert CELL not in influence(section, tiny_model, CELL).neighbours


@pytest.mark.parametrize(
    ("cell", "k", "cause"), [(-1, 4, "cell is -1"), (600, 4, "cell is 600"), (0, 0, "k is 0")]
)
def test_bad_requests(section: Section, tiny_model: GeST, cell: int, k: int, cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        influence(section, tiny_model, cell, k=k)
