"""What predictions for measured cells read around them is what generation reads."""

from __future__ import annotations

import numpy as np
import torch

from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.generate import GenerateRequest
from napari_gest.tasks.generation.generation import Generation
from napari_gest.tasks.perturbation.neighborhood_context import Around
from napari_gest.tissue.section import Section


@torch.inference_mode()
def test_it_is_the_context_of_generation(section: Section, tiny_model: GeST) -> None:
    centre = section.coords_um.mean(0)
    far = np.linalg.norm(section.coords_um - centre, axis=1)
    hidden = np.sort(np.argsort(far)[:40])
    unseen = np.zeros(section.n_obs, bool)
    unseen[hidden] = True
    generation = Generation(GenerateRequest(section, tiny_model, unseen, passes=1))
    coords, mixture, mass, _, _, geometry = generation.content(centre)
    ((_, expected),) = generation.encode(coords, mixture, centre, None, mass, None, geometry)
    around = Around(section, tiny_model)
    near, pool, context = around.context(centre, hidden)
    assert not set(near) & set(hidden)
    assert (np.diff(far[near]) >= 0).all()
    assert len(pool.mass) == context.n_cells == len(mass)
    for ours, theirs in zip(
        [*context.keys, *context.values, context.mixture, context.xy, context.mass],
        [*expected.keys, *expected.values, expected.mixture, expected.xy, expected.mass],
        strict=True,
    ):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_cells_are_read_once(section: Section, tiny_model: GeST) -> None:
    around = Around(section, tiny_model)
    cells = np.array([5, 3, 8])
    first = around.tokens(cells)
    around._token[3] = 7
    assert list(around.tokens(cells)) == [first[0], 7, first[2]]
