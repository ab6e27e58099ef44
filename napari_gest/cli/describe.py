"""``models`` and ``info``: the content of a model, a tissue file or a region."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_gest.cli.app import app, examples
from napari_gest.cli.console import print_fields, say
from napari_gest.cli.options import SectionKey, SpatialKey
from napari_gest.errors import GestError

if TYPE_CHECKING:
    from anndata import AnnData


@app.command(
    epilog=examples(
        "models",
        "models mouse-preoptic-merfish",
    )
)
def models(
    name: Annotated[
        str | None, typer.Argument(help="Print the whole card of this model or folder.")
    ] = None,
) -> None:
    """List the bundled models and bases, or print one model's card."""
    import json

    from napari_gest.model.gest import GeST, bundled_bases, bundled_models

    if name is not None:
        print(json.dumps(card(GeST.load(name)), indent=1, ensure_ascii=False))
        return
    if not bundled_models():
        print("No models are bundled; train one with 'napari-gest fit'.")
    for bundled in [*bundled_models(), *bundled_bases()]:
        try:
            print_fields(bundled, card(GeST.load(bundled)))
        except GestError as error:  # the other models can still be used
            say(f"{bundled} cannot be used. {error}")


def card(model: Any) -> dict[str, Any]:
    from napari_gest.model.gest import Base

    shape = model.config
    base = isinstance(model, Base)
    return {
        "name": model.name,
        **({"base": "models start from it: fit --start"} if base else {"genes": len(model.genes)}),
        "meta_cells": shape.n_meta_cells if base else model.tokenizer.n_meta_cells,
        "size": f"{shape.n_layers} layers, {shape.n_heads} heads, width {shape.d_model}",
        "parameters": model.n_parameters,
        "window": f"{shape.window_cells} cells" + ("" if base else f", {shape.window_um:.0f} um"),
        **({"labels": ", ".join(model.head.classes)} if model.head else {}),
        **model.card,
    }


@app.command(
    epilog=examples(
        "info brain.h5ad",
        "info tear.geojson",
        "info my-model",
    )
)
def info(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Tissue, GeoJSON or model folder.")],
    spatial_key: SpatialKey = "spatial",
    section_key: SectionKey = "section",
) -> None:
    """Print the content of a tissue file, a region or a model folder."""
    from napari_gest.files import check_name
    from napari_gest.tissue.io import read_tissue

    check_name(path)
    if path.suffix in (".geojson", ".json"):
        from napari_gest.tissue.roi import Roi

        region = Roi.read_geojson(path)
        x0, y0, x1, y1 = region.geometry.bounds
        print_fields(
            str(path),
            {
                "area": f"{region.area_um2:.0f} um2",
                "x": f"{x0:g} to {x1:g} um",
                "y": f"{y0:g} to {y1:g} um",
            },
        )
    elif path.is_dir() and path.suffix != ".zarr":
        from napari_gest.model.gest import GeST

        print_fields(str(path), card(GeST.load(path)))
    else:
        _print_tissue(path, read_tissue(path, lazy=True), spatial_key, section_key)


def _print_tissue(path: Path, adata: AnnData, spatial_key: str, section_key: str) -> None:
    import numpy as np

    from napari_gest import keys
    from napari_gest.tissue.kept import draw_of, kept_column
    from napari_gest.tissue.obs import obs_column
    from napari_gest.tissue.section import section_names, stored_coordinates

    fields: dict[str, Any] = {"cells": adata.n_obs, "genes": adata.n_vars}
    for key in ("obs", "obsm", "layers", "uns"):
        fields[key] = ", ".join(map(str, getattr(adata, key).keys())) or "none"
    if keys.GENERATED in adata.obs:
        made, new = (int(kept_column(adata, k).sum()) for k in (keys.GENERATED, keys.NEW_CELL))
        source = draw_of(adata, keys.EXPRESSION)
        fields["generated"] = f"{made} cells, {new} of them new; {source}"
    print_fields(str(path), fields)
    print("  sections")
    coords = np.full((adata.n_obs, 2), np.nan)
    if spatial_key in adata.obsm:
        coords = stored_coordinates(adata, spatial_key)
    labels = np.full(adata.n_obs, "section", dtype=object)
    if section_key in adata.obs:
        labels = obs_column(adata, section_key).astype(str).to_numpy()
    for name in section_names(adata, section_key):
        cells = labels == name
        placed = coords[cells][np.isfinite(coords[cells]).all(axis=1)]
        size = " x ".join(f"{side:.0f}" for side in np.ptp(placed, axis=0)) if len(placed) else "-"
        print(f"    {name:20}{cells.sum():>9} cells  {size}")
