from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from napari_gest.app.sample_tissue import SAMPLE_ROI, SAMPLE_SECTION, gene_around
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.generate import generate
from napari_gest.tissue.io import read_tissue
from napari_gest.tissue.roi import Roi, mask_from_obs
from napari_gest.tissue.section import Section

ROOT = Path(__file__).parents[1]
SCRIPT = runpy.run_path(str(ROOT / "sample_data" / "make.py"))


def test_the_sample_is_made_in_the_panel_of_a_model(tiny_model: GeST, tmp_path: Path) -> None:
    tiny_model.save(tmp_path / "tiny")
    SCRIPT["make"](str(tmp_path / "tiny"), tmp_path)
    adata = read_tissue(tmp_path / "sample_section.h5ad")
    section = Section.from_anndata(adata)
    assert section.genes == tiny_model.genes
    roi = Roi.read_geojson(tmp_path / "sample_roi.geojson")
    hole = roi.contains(section.coords_um)
    assert 80 < hole.sum() < 400
    assert (mask_from_obs(adata, "hole", section.rows) == hole).all()
    made = json.loads((tmp_path / "provenance.json").read_text())
    assert made["cells_in_region"] == hole.sum()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample as the script writes it today."""
    folder = tmp_path_factory.mktemp("sample")
    SCRIPT["make"](SCRIPT["MODEL"], folder)
    return folder


@pytest.mark.parametrize("folder", ["sample_data", "napari_gest/samples"])
def test_the_sample_is_what_the_script_writes(made: Path, folder: str) -> None:
    kept, new = (read_tissue(f / "sample_section.h5ad") for f in (ROOT / folder, made))
    assert (kept.X != new.X).nnz == 0
    assert kept.obsm["spatial"] == pytest.approx(new.obsm["spatial"], abs=1e-6)
    assert list(kept.var_names) == list(new.var_names)
    assert kept.obs.equals(new.obs)
    corners, drawn = (
        np.array(Roi.read_geojson(f / "sample_roi.geojson").geometry.exterior.coords)
        for f in (ROOT / folder, made)
    )
    assert corners == pytest.approx(drawn, abs=1e-6)
    said, says = (json.loads((f / "provenance.json").read_text()) for f in (ROOT / folder, made))
    assert said == says


def test_it_says_that_it_is_simulated() -> None:
    source = read_tissue(SAMPLE_SECTION).uns["source"]
    assert source["anatomy"] == "brain"
    assert "no measured cell" in source["notes"]


def test_gest_is_ahead_of_sixty_neighbours_on_it() -> None:
    section = Section.from_anndata(read_tissue(SAMPLE_SECTION))
    roi = Roi.read_geojson(SAMPLE_ROI)
    model = GeST.load(SCRIPT["MODEL"])
    unseen = roi.contains(section.coords_um)
    ours = generate(section, model, unseen, seed=0).agreement(section)
    assert ours is not None
    assert ours.neighbours is not None
    assert ours.rmse_z < ours.neighbours.rmse_z - 0.02
    assert ours.pearson > ours.neighbours.pearson
    assert ours.spearman > ours.neighbours.spearman


def test_the_gene_is_chosen_without_looking_into_the_region() -> None:
    adata = read_tissue(SAMPLE_SECTION)
    section, roi = Section.from_anndata(adata), Roi.read_geojson(SAMPLE_ROI)
    gene = gene_around(section, roi, 250.0)
    kept = json.loads((ROOT / "sample_data" / "provenance.json").read_text())
    assert kept["gene"] == gene
    values = adata.X.toarray()
    values[roi.contains(section.coords_um)] = 1
    adata.X = sparse.csr_matrix(values)
    assert gene_around(Section.from_anndata(adata), roi, 250.0) == gene
