"""The bundled synthetic section: where it lies, the region drawn on it, the gene to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import napari_gest

if TYPE_CHECKING:
    from napari_gest.tissue.roi import Roi
    from napari_gest.tissue.section import Section

_SAMPLES = Path(napari_gest.__file__).parent / "samples"
SAMPLE_SECTION = _SAMPLES / "sample_section.h5ad"
SAMPLE_ROI = _SAMPLES / "sample_roi.geojson"
AROUND_UM = 150.0  # as far as the neighbourhood of a region is looked at


def gene_around(section: Section, roi: Roi, target_sum: float) -> str:
    """Return the gene with the clearest pattern among the cells around a region.

    That is the one with the highest Moran's I over measured cells within 150 um of the region.
    Nothing inside of it is looked at.

    Parameters
    ----------
    section
        The tissue.
    roi
        The region, um, x y.
    target_sum
        Total that each cell is scaled to.
    """
    from napari_gest.tissue.moran import top_svgs
    from napari_gest.tissue.roi import Roi

    wider = Roi(roi.geometry.buffer(AROUND_UM))
    near = wider.contains(section.coords_um) & ~roi.contains(section.coords_um)
    values = section.model_space(target_sum)[near]
    return section.genes[int(top_svgs(values, section.coords_um[near], 1)[0])]
