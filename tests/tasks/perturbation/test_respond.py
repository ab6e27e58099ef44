"""How cells respond to their neighbours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_gest.model.gest import GeST
from napari_gest.tasks.perturbation.perturb import PerturbRequest
from napari_gest.tasks.perturbation.respond import fit_response
from napari_gest.tasks.progress import finish
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.section import Section


@pytest.mark.parametrize("entry", ["token", "continuous"])
def test_cells_out_of_reach_do_not_respond(request_: PerturbRequest, entry: str) -> None:
    made = finish(replace(request_, reach_um=400.0, input=entry).run())
    width = float(made.request.model.response.width_um[0])
    far = made.distance_um > 3 * width
    assert far.any()
    assert not made.effect[far].any()
    assert made.effect[~far].any()


def test_the_effect_falls_with_distance(request_: PerturbRequest) -> None:
    made = finish(replace(request_, reach_um=150.0, bands_um=(0, 30, 60, 150)).run())
    size = [np.abs(made.effect[b]).mean() for b in list(made.bands().values())[1:]]
    assert size[0] > size[1] > size[2]


def test_the_response_is_the_slope_times_the_dose(request_: PerturbRequest) -> None:
    made = finish(replace(request_, edits=(Edit("gene_3", "shift", 5.0),)).run())
    head, gene = made.request.model.response, made.genes.index("gene_3")
    direction = np.eye(len(made.genes))[gene]
    slopes, _ = head.slopes(direction, direction > 0)
    width = float(head.width_um[0])
    config = made.request.model.config
    density = config.window_cells / config.window_um**2
    coords, change = made.section.coords_um, made.edited.after - made.edited.before
    i = int(np.argmin(made.distance_um))
    distance = np.linalg.norm(coords[made.edited.cells] - coords[made.index[i]], axis=1)
    weight = np.exp(-0.5 * (distance / width) ** 2) / (2 * np.pi * width**2 * density)
    weight[distance > 3 * width] = 0
    dose = weight @ (change[:, gene] / head.spread[gene])
    tokenizer = made.request.model.tokenizer
    values = made.section.model_space(tokenizer.target_sum)[made.index[i]][None]
    identity = tokenizer.levels[tokenizer.tokens(values)[0], 2]
    expected = made.control[i] + dose * slopes[identity] * head.spread
    assert np.allclose(made.perturbed[i], np.maximum(expected, 0), atol=1e-5)


def test_a_response_head_is_saved_with_the_model(
    responding: GeST, request_: PerturbRequest, tmp_path
) -> None:
    responding.save(tmp_path / "m")
    loaded = GeST.load(tmp_path / "m")
    one, two = (finish(replace(request_, model=m).run()) for m in (responding, loaded))
    assert np.array_equal(one.perturbed, two.perturbed)
    assert loaded.card["response"][0]["name"] == "section_1"


def test_without_a_head_one_is_fitted_on_the_section(
    section: Section, tiny_model: GeST, request_: PerturbRequest
) -> None:
    fitted = fit_response(tiny_model, [section])
    one = finish(replace(request_, model=tiny_model).run())
    two = finish(replace(request_, model=fitted).run())
    assert np.array_equal(one.perturbed, two.perturbed)
    given = finish(replace(request_, model=tiny_model, response=fitted.response).run())
    assert np.array_equal(one.perturbed, given.perturbed)
