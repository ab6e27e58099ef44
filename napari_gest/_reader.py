"""What napari calls: the reader and the sample data. Imports stay light until one is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_gest.app.sample_tissue import SAMPLE_ROI, SAMPLE_SECTION
from napari_gest.errors import InputError
from napari_gest.tissue.text import load_json

LayerTuple = tuple[Any, dict[str, Any], str]


def get_reader(
    path: str | Sequence[str],
) -> Callable[[str | Sequence[str]], list[LayerTuple]] | None:
    """Return a reader if every path is an ``.h5ad`` file or an AnnData ``.zarr`` folder."""
    paths = [path] if isinstance(path, str | Path) else list(path)
    return read_layers if paths and all(_readable(Path(p)) for p in paths) else None


def read_layers(path: str | Sequence[str]) -> list[LayerTuple]:
    """Read all sections of one or more files, one Points layer each, side by side."""
    from napari_gest.app.first_view import first_colors
    from napari_gest.app.opened import open_sections, read_to_open
    from napari_gest.canvas.layers import side_by_side

    paths = [path] if isinstance(path, str | Path) else list(path)
    opened = [one for p in map(Path, paths) for one in open_sections(read_to_open(p), path=p)]
    layers = side_by_side(opened)
    for one, (_, settings, _) in zip(opened, layers, strict=True):
        settings["face_color"] = first_colors(one)  # without the dock nobody else colours them
    return layers


def sample_section() -> list[LayerTuple]:
    """Return the bundled synthetic section."""
    return read_layers(str(SAMPLE_SECTION))


def sample_section_with_region() -> list[LayerTuple]:
    """Return the bundled section with a region drawn on it."""
    from napari_gest.canvas.shapes import from_roi, region_settings
    from napari_gest.tissue.roi import Roi

    outlines = from_roi(Roi.read_geojson(SAMPLE_ROI))
    settings = {**region_settings(), "shape_type": "polygon", "edge_width": 4.0}
    return [*sample_section(), (outlines, settings, "shapes")]


def _readable(path: Path) -> bool:
    if path.suffix == ".h5ad":
        return path.is_file()
    if path.suffix != ".zarr" or not path.is_dir():
        return False
    # Other plugins read other kinds of zarr: claim only what says that it is an AnnData.
    for name in ("zarr.json", ".zattrs"):
        try:
            about = load_json(path / name, "zarr metadata", finite=False)
        except InputError:
            continue
        attributes = about.get("attributes", about) if isinstance(about, dict) else None
        return isinstance(attributes, dict) and attributes.get("encoding-type") == "anndata"
    return False
