"""Where the bundled synthetic section lies, and the region drawn on it."""

from __future__ import annotations

from pathlib import Path

import napari_gest

_SAMPLES = Path(napari_gest.__file__).parent / "samples"
SAMPLE_SECTION = _SAMPLES / "sample_section.h5ad"
SAMPLE_ROI = _SAMPLES / "sample_roi.geojson"
