"""Perturbation: what must be exact, what must not change, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.model.gest import GeST
from napari_gest.tasks.perturbation.perturb import PerturbRequest, perturb
from napari_gest.tasks.progress import finish
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.section import Section

READOUTS = ("response", "generation")


@pytest.mark.parametrize("readout", READOUTS)
def test_one_seed_gives_the_same_bits_twice(request_: PerturbRequest, readout: str) -> None:
    one, two = (finish(replace(request_, readout=readout, seed=5).run()) for _ in range(2))
    assert np.array_equal(one.control, two.control)
    assert np.array_equal(one.perturbed, two.perturbed)


@pytest.mark.parametrize("readout", READOUTS)
def test_tissue_left_on_disk_gives_the_same(
    request_: PerturbRequest, tissue: AnnData, tmp_path: Path, readout: str
) -> None:
    write_tissue(tissue, tmp_path / "tissue.h5ad")
    adata = read_tissue(tmp_path / "tissue.h5ad", lazy=True)
    stored = Section.from_anndata(adata, request_.section.name, lazy=True)
    assert stored.on_disk
    one = finish(replace(request_, readout=readout).run())
    two = finish(replace(request_, readout=readout, section=stored).run())
    assert np.array_equal(one.control, two.control)
    assert np.array_equal(one.perturbed, two.perturbed)


def test_an_edit_leaves_other_genes_of_the_cell_alone(request_: PerturbRequest) -> None:
    edited = request_.edited()
    changed = (edited.before != edited.after).any(0)
    genes = np.array(request_.model.genes)[changed]
    assert set(genes) == {"gene_3", "gene_7"}


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
