"""Lines that open tissue again as it is open now, for what *Copy as Python* gives."""

from __future__ import annotations

from pathlib import Path

import shapely

from napari_gest.tissue.reading import Reading
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.section import Section


def read_call(path: Path | None) -> str:
    """Return the call that reads the file of a section."""
    return f"read_tissue({'tissue.h5ad' if path is None else str(path)!r})"


def section_call(section: Section, adata: str = "adata") -> str:
    """Return the call that takes a section out of the variable ``adata`` as it was taken."""
    usual = vars(Reading())
    given = {k: v for k, v in vars(section.reading).items() if v != usual[k]}
    options = "".join(f", {key}={value!r}" for key, value in given.items())
    return f"Section.from_anndata({adata}, {section.name!r}{options})"


# What a script that calls ``roi_call`` imports.
ROI_IMPORT = "from shapely import from_geojson"


def roi_call(roi: Roi) -> str:
    """Return the call that makes a region, holes and all, to the last digit."""
    return f"Roi(from_geojson({shapely.to_geojson(roi.geometry)!r}))"
