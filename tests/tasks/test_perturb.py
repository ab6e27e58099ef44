"""Perturbation: what must be exact, what must not change, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from anndata import AnnData

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.model.gest import GeST
from napari_gest.tasks.counterfactual import Edited
from napari_gest.tasks.generate import generate
from napari_gest.tasks.perturb import PerturbRequest, perturb
from napari_gest.tasks.progress import finish
from napari_gest.tasks.respond import fit_response
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.section import Section

READOUTS = ("response", "generation")


@pytest.fixture
def roi(section: Section) -> np.ndarray:
    centre = section.coords_um.mean(0)
    return np.linalg.norm(section.coords_um - centre, axis=1) < 80


@pytest.fixture(scope="module")
def responding(_simulated: AnnData, tiny_model: GeST) -> GeST:
    names = ("section_1", "section_2")
    return fit_response(tiny_model, [Section.from_anndata(_simulated, n) for n in names])


@pytest.fixture
def request_(section: Section, responding: GeST, roi: np.ndarray) -> PerturbRequest:
    edits = (Edit("gene_3", "set", 60.0), Edit("gene_7", "multiply", 3.0))
    return PerturbRequest(section, responding, roi, edits, reach_um=100.0)


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("entry", ["token", "continuous"])
def test_no_edit_has_exactly_no_effect(request_: PerturbRequest, readout: str, entry: str) -> None:
    made = finish(replace(request_, readout=readout, input=entry).run())
    unchanged = made.request.edited(strength=0.0)
    assert np.array_equal(unchanged.before, unchanged.after)
    again = finish(made.answers.expression(unchanged, ""))
    assert np.array_equal(again, made.control)
    nothing = finish(made.answers.expression(Edited.nothing(len(made.genes)), ""))
    assert np.array_equal(nothing, made.control)
    assert not np.array_equal(made.perturbed, made.control)


def test_control_is_what_generate_makes(
    section: Section, request_: PerturbRequest, responding: GeST
) -> None:
    made = finish(replace(request_, readout="generation", seed=4).run())
    unseen = np.zeros(section.n_obs, bool)
    unseen[made.index] = True
    alone = generate(section, responding, unseen, seed=4, residuals=False, field=0.0)
    assert np.array_equal(made.control, alone.expression)


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


@pytest.mark.parametrize("readout", READOUTS)
def test_one_seed_gives_the_same_bits_twice(request_: PerturbRequest, readout: str) -> None:
    one, two = (finish(replace(request_, readout=readout, seed=5).run()) for _ in range(2))
    assert np.array_equal(one.control, two.control)
    assert np.array_equal(one.perturbed, two.perturbed)


def test_an_edit_leaves_other_genes_of_the_cell_alone(request_: PerturbRequest) -> None:
    edited = request_.edited()
    changed = (edited.before != edited.after).any(0)
    genes = np.array(request_.model.genes)[changed]
    assert set(genes) == {"gene_3", "gene_7"}


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


def test_only_some_cells_are_edited(request_: PerturbRequest, section: Section) -> None:
    only = np.zeros(section.n_obs, bool)
    only[::2] = True
    made = finish(replace(request_, only=only).run())
    assert np.array_equal(made.edited.cells, np.flatnonzero(request_.roi & only))


def test_cells_are_replaced_by_others(request_: PerturbRequest, section: Section) -> None:
    donors = np.zeros(section.n_obs, bool)
    donors[np.flatnonzero(~request_.roi)[:5]] = True
    made = finish(replace(request_, edits=(), replace_by=donors, readout="generation").run())
    space = section.model_space(made.request.model.target_sum)[donors]
    for row in made.edited.after:
        assert np.abs(space - row).max(1).min() < 1e-5


def test_removed_cells_are_out_of_the_content(request_: PerturbRequest) -> None:
    made = finish(replace(request_, edits=(), remove=True, readout="generation").run())
    assert made.n_edited == request_.roi.sum() == made.n_changed_tokens
    assert not np.array_equal(made.control, made.perturbed)


def test_several_regions_at_once(section: Section, request_: PerturbRequest) -> None:
    two = request_.roi.copy()
    far = np.argmax(np.linalg.norm(section.coords_um - section.coords_um[two].mean(0), axis=1))
    two |= np.linalg.norm(section.coords_um - section.coords_um[far], axis=1) < 60
    made = finish(replace(request_, roi=two).run())
    assert made.n_edited == two.sum()
    both = finish(request_.run())
    assert set(both.index) - set(np.flatnonzero(two)) <= set(made.index)


def test_effects_have_a_row_for_each_gene_and_band(request_: PerturbRequest) -> None:
    made = finish(request_.run())
    table = made.effects()
    assert len(table) == len(made.bands()) * len(made.genes)
    whole = table[table["band"] == "all"].set_index("gene")["effect"]
    assert np.allclose(whole[list(made.genes)], made.effect.mean(0), atol=1e-6)
    assert (
        table["direction"] == np.sign(table["effect"]).map({-1: "down", 0: "none", 1: "up"})
    ).all()


def test_writing_adds_layers_and_never_touches_x(tissue: AnnData, request_: PerturbRequest) -> None:
    before = tissue.X.copy()
    made = finish(request_.run())
    changed = made.write(tissue)
    assert changed == {keys.CONTROL, keys.PERTURBED, keys.DISTANCE, keys.PERTURBATION}
    assert (before != tissue.X).nnz == 0
    control, perturbed = (tissue.layers[k].toarray() for k in (keys.CONTROL, keys.PERTURBED))
    assert np.allclose(control[made.rows], made.control, atol=1e-6)
    assert np.allclose(perturbed[made.rows], made.perturbed, atol=1e-6)
    touched = np.zeros(tissue.n_obs, bool)
    touched[made.rows] = touched[made.section.rows[made.edited.cells]] = True
    assert np.array_equal(control[~touched], perturbed[~touched])
    distance = tissue.obs[keys.DISTANCE].to_numpy()
    assert (distance[made.section.rows[request_.roi]] == 0).all()
    assert np.isnan(distance[600:]).all()
    assert made.write(tissue) == changed


def test_settings_can_be_stored(tissue: AnnData, request_: PerturbRequest, tmp_path) -> None:
    finish(request_.run()).write(tissue)
    tissue.write_h5ad(tmp_path / "out.h5ad")
    import anndata

    stored = anndata.read_h5ad(tmp_path / "out.h5ad").uns[keys.PERTURBATION]
    assert stored["readout"] == "response"


def test_the_plain_function(section: Section, responding: GeST, roi: np.ndarray) -> None:
    ticks = []
    made = perturb(
        section, responding, roi, [Edit("gene_3", "set", 60.0)], on_progress=ticks.append
    )
    assert ticks
    assert made.effect.shape == (len(made.index), len(responding.genes))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"roi": np.zeros(600, bool)}, "no cell in the region"),
        ({"roi": np.ones(600, bool)}, "covers every cell"),
        ({"roi": np.zeros(5, bool)}, "shape"),
        ({"edits": ()}, "no edit"),
        ({"edits": (Edit("gene_33", "knockout"),)}, "nearest: gene_3"),
        ({"edits": (Edit("gene_3", "multiply", 1.0),)}, "change none"),
        ({"edits": (Edit("gene_3", "multiply", 1.0001),), "input": "token"}, "token of none"),
        ({"strength": 0.0}, "change none"),
        ({"strength": -1.0}, "strength"),
        ({"reach_um": 0.0}, "reach_um"),
        ({"reach_um": 0.001}, "No cell lies within"),
        ({"reach_um": 1e6, "readout": "generation"}, "whole section"),
        ({"bands_um": (30.0, 0.0)}, "ascending"),
        ({"only": np.zeros(600, bool)}, "carries the labels"),
        ({"replace_by": np.zeros(600, bool)}, "no cell to replace"),
        ({"remove": True}, "both removed and edited"),
        ({"remove": True, "edits": ()}, "cannot tell"),
        ({"readout": "guess"}, "no readout"),
    ],
)
def test_bad_requests_are_refused_before_work(
    request_: PerturbRequest, change: dict, cause: str
) -> None:
    with pytest.raises(InputError, match=cause):
        replace(request_, **change).check()
