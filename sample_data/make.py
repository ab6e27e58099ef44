"""Make the sample: a synthetic section in a bundled model's panel, a region, provenance.

    python sample_data/make.py [MODEL]

Writes ``sample_section.h5ad``, ``sample_roi.geojson`` and ``provenance.json`` beside this file and,
for the package, into ``napari_gest/samples``. Cells are drawn from the model's vocabulary by
``simulate``; no measured cell is in them.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np

import napari_gest
from napari_gest import GeST, Roi, Section, simulate, write_tissue
from napari_gest.files import JSON, write_text

HERE = Path(__file__).parent
PACKAGED = HERE.parent / "napari_gest" / "samples"
FILES = ("sample_section.h5ad", "sample_roi.geojson", "provenance.json")
MODEL = "mouse-preoptic-merfish"
N_CELLS = 4000
SEED = 7
RADIUS_UM = 240.0


def outline(centre_um: np.ndarray) -> np.ndarray:
    """Return (48, 2) corners, um, x y, of a region as a hand might draw it."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = RADIUS_UM * (1 + 0.15 * np.cos(2 * angle + 0.7) + 0.06 * np.sin(3 * angle))
    return centre_um + radius[:, None] * np.c_[np.cos(angle), np.sin(angle)]


def make(name: str, folder: Path) -> None:
    """Write the three files of the sample in the panel of model ``name``."""
    model = GeST.load(name)
    adata = simulate(
        N_CELLS,
        seed=SEED,
        profiles=np.expm1(model.tokenizer.c_expr.astype(np.float64)),
        genes=model.genes,
    )
    section = Section.from_anndata(adata)
    # At the edge of the nucleus, where the tissue changes inside the region.
    nucleus = section.coords_um[adata.obs["region"] == "nucleus"]
    edge = nucleus[np.argmax(nucleus[:, 0])]
    roi = Roi.from_vertices([outline(edge)])
    adata.obs["hole"] = roi.contains(section.coords_um)
    roi.write_geojson(folder / "sample_roi.geojson", overwrite=True)
    write_tissue(adata, folder / "sample_section.h5ad", overwrite=True)
    provenance = {
        "made_by": f"sample_data/make.py, napari-gest {napari_gest.__version__}",
        "what": f"one synthetic section, {N_CELLS} cells x {len(model.genes)} genes, raw counts",
        "cells_in_region": int(adata.obs["hole"].sum()),
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
