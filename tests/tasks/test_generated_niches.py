"""Generated cells get the niches of the measured cells most like them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_gest.errors import InputError
from napari_gest.tasks.embed import embed_niches
from napari_gest.tasks.generated import Generated
from napari_gest.tasks.generated_niches import as_section, generated_niches
from napari_gest.tasks.niche_tree import niche_tree


@pytest.fixture
def copied(section, tiny_model) -> Generated:
    """Cells "generated" as they were measured, and two new ones like the first two."""
    target_sum = tiny_model.target_sum
    near = np.linalg.norm(section.coords_um - section.coords_um.mean(0), axis=1)
    index = np.sort(np.argsort(near)[:40])
    values = section.model_space(target_sum)[index]
    expression = np.concatenate([values, values[:2]])
    n = len(expression)
    return Generated(
        section=section,
        rows=np.concatenate([section.rows[index], [-1, -1]]),
        index=index,
        coords_um=np.concatenate([section.coords_um[index], section.coords_um[index[:2]] + 1.0]),
        expression=expression,
        sd=np.zeros_like(expression),
        entropy=np.zeros(n, np.float32),
        meta_cell=np.zeros(n, np.int32),
        depth_um=np.zeros(n, np.float32),
        genes=section.genes,
        settings={"target_sum": target_sum},
    )


def test_the_section_has_generated_cells_in_place_of_measured_ones(copied, section, tiny_model):
    made = as_section(copied)
    assert made.n_obs == section.n_obs + 2
    np.testing.assert_allclose(
        made.model_space(tiny_model.target_sum)[: section.n_obs],
        section.model_space(tiny_model.target_sum),
        atol=1e-4,
    )
    np.testing.assert_array_equal(made.rows[-2:], [-1, -1])
    np.testing.assert_array_equal(made.coords_um[-2:], copied.coords_um[-2:])
    doubled = Generated(**{**vars(copied), "expression": copied.expression * 0})
    assert as_section(doubled).expression[copied.index].nnz == 0


def test_cells_like_the_measured_ones_are_in_their_niches(copied, section, tiny_model):
    embedded = embed_niches(section, tiny_model)
    found = generated_niches(copied, tiny_model, embedded)
    assert found.alike.shape == (42, 15)
    niches = niche_tree(embedded, n_leaves=6).cut(3)
    labels = found.labels(niches)
    same = labels[:40] == niches.labels[copied.index]
    assert same.mean() > 0.85
    merged = niches.merged(niches.names)
    assert (found.labels(merged) == 0).all()


def test_cells_embedded_by_another_model_are_refused(copied, section, tiny_model):
    embedded = embed_niches(section, tiny_model)
    embedded.settings["model"] = "other"
    with pytest.raises(InputError, match="other"):
        generated_niches(copied, tiny_model, embedded)
