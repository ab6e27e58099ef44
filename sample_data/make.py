"""Make the sample: a synthetic section in a bundled model's panel, a region, provenance.

    python sample_data/make.py [MODEL]

Writes ``sample_section.h5ad``, ``sample_roi.geojson`` and ``provenance.json`` beside this file and,
for the package, into ``napari_gest/samples``. Cells are drawn from the model's vocabulary by
``simulate`` with the anatomy of a brain; no measured cell is in them.

One rule says where the region lies and which gene is looked at, whatever the seed. The region is
on the commissure, at 0.4 of the way from the midline to the right edge. The gene is the one with
the clearest pattern around the region (``napari_gest.app.sample_tissue.gene_around``). No result
of generation is looked at. ``python -m benchmarks sample`` scores five seeds.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from anndata import AnnData

import napari_gest
from napari_gest import GeST, Roi, Section, simulate, write_tissue
from napari_gest.app.sample_tissue import gene_around
from napari_gest.files import JSON, write_text

HERE = Path(__file__).parent
PACKAGED = HERE.parent / "napari_gest" / "samples"
FILES = ("sample_section.h5ad", "sample_roi.geojson", "provenance.json")
MODEL = "mouse-preoptic-merfish"
N_CELLS = 5000
SEED = 0
RADIUS_UM = 230.0
SIDEWAYS = 0.4  # from the midline to the edge
_NEAR_UM = 60.0


def outline(centre_um: np.ndarray) -> np.ndarray:
    """Return (48, 2) corners, um, x y, of a region as a hand might draw it."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = RADIUS_UM * (1 + 0.15 * np.cos(2 * angle + 0.7) + 0.06 * np.sin(3 * angle))
    return centre_um + radius[:, None] * np.c_[np.cos(angle), np.sin(angle)]


def region(adata: AnnData, coords_um: np.ndarray) -> Roi:
    """Return the region: on the commissure, ``SIDEWAYS`` of the way to the right edge."""
    place = adata.obs["region"].astype(str).to_numpy()
    midline = np.median(coords_um[place == "lining", 0])
    x = midline + SIDEWAYS * (coords_um[:, 0].max() - midline)
    tract = (place == "commissure") & (np.abs(coords_um[:, 0] - x) < _NEAR_UM)
    return Roi.from_vertices([outline(np.array([x, np.median(coords_um[tract, 1])]))])


def tissue(model: GeST, seed: int) -> tuple[AnnData, Roi]:
    """Return the section that is made of a seed, and its region."""
    adata = simulate(
        N_CELLS,
        seed=seed,
        profiles=np.expm1(model.tokenizer.c_expr.astype(np.float64)),
        genes=model.genes,
        anatomy="brain",
    )
    coords_um = Section.from_anndata(adata).coords_um
    roi = region(adata, coords_um)
    adata.obs["hole"] = roi.contains(coords_um)
    return adata, roi


def make(name: str, folder: Path) -> None:
    """Write the three files of the sample in the panel of model ``name``."""
    model = GeST.load(name)
    adata, roi = tissue(model, SEED)
    roi.write_geojson(folder / "sample_roi.geojson", overwrite=True)
    write_tissue(adata, folder / "sample_section.h5ad", overwrite=True)
    provenance = {
        "made_by": f"sample_data/make.py, napari-gest {napari_gest.__version__}",
        "what": f"one synthetic section, {N_CELLS} cells x {len(model.genes)} genes, raw counts",
        "anatomy": "brain, made up: layers, tracts, nuclei and a ventricle in two halves",
        "cells_in_region": int(adata.obs["hole"].sum()),
        "gene": gene_around(Section.from_anndata(adata), roi, model.target_sum),
        "profiles": f"vocabulary of the model '{model.name}'; no measured cell is in the file",
        "model_data": model.card.get("data", "see the model's card"),
        "seed": SEED,
        "licence": "CC0-1.0",
    }
    text = json.dumps(provenance, indent=1) + "\n"
    write_text(folder / "provenance.json", text, JSON, overwrite=True)


if __name__ == "__main__":
    make(sys.argv[1] if len(sys.argv) > 1 else MODEL, HERE)
    PACKAGED.mkdir(exist_ok=True)
    for file in FILES:
        shutil.copyfile(HERE / file, PACKAGED / file)
        print(PACKAGED / file)
