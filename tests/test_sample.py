from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import TYPE_CHECKING

from napari_gest.tissue.io import read_tissue
from napari_gest.tissue.roi import Roi, mask_from_obs
from napari_gest.tissue.section import Section

if TYPE_CHECKING:
    from napari_gest.model.gest import GeST

SCRIPT = Path(__file__).parents[1] / "sample_data" / "make.py"


def test_the_sample_is_made_in_the_panel_of_a_model(tiny_model: GeST, tmp_path: Path) -> None:
    tiny_model.save(tmp_path / "tiny")
    runpy.run_path(str(SCRIPT))["make"](str(tmp_path / "tiny"), tmp_path)
    adata = read_tissue(tmp_path / "sample_section.h5ad")
    section = Section.from_anndata(adata)
    assert section.genes == tiny_model.genes
    roi = Roi.read_geojson(tmp_path / "sample_roi.geojson")
    hole = roi.contains(section.coords_um)
    assert 80 < hole.sum() < 400
    assert (mask_from_obs(adata, "hole", section.rows) == hole).all()
    made = json.loads((tmp_path / "provenance.json").read_text())
    assert made["cells_in_region"] == hole.sum()
