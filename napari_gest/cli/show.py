"""``demo`` and ``view``: the only commands that open a window."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_gest.cli.app import app, examples
from napari_gest.cli.options import (
    ExpressionScale,
    IncludeGenerated,
    Layer,
    Scale,
    SectionKey,
    SpatialKey,
    UmPerUnit,
)
from napari_gest.tissue.reading import Reading


@app.command(
    epilog=examples(
        "demo",
        "demo --out pictures --no-show",
    )
)
def demo(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the demo's files.")] = Path(
        "demo"
    ),
    show: Annotated[
        bool | None,
        typer.Option("--show/--no-show", help="Keep the window open; by default, if it can."),
    ] = None,
) -> None:
    """Open the sample in napari, draw a region, generate its cells and paint them."""
    from napari_gest.files import as_usual
    from napari_gest.widgets.demo import run_demo

    with as_usual():  # a window's event loop runs no Python signal handlers
        paths = run_demo(out_dir, show)
    for path in paths or []:
        print(path)


@app.command(
    epilog=examples(
        "view brain.h5ad",
        "view brain.h5ad --section A1 --model mouse-preoptic-merfish",
        "view brain.h5ad --spatial-key pixels --um-per-unit 0.2125 --layer counts",
    )
)
def view(
    paths: Annotated[
        list[Path], typer.Argument(metavar="SECTION...", help="Tissue: .h5ad files or .zarr.")
    ],
    section: Annotated[
        str | None, typer.Option(metavar="NAME", help="The section to open, if several.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Model to choose in the dock.")
    ] = None,
    spatial_key: SpatialKey = "spatial",
    section_key: SectionKey = "section",
    layer: Layer = None,
    um_per_unit: UmPerUnit = 1.0,
    scale: Scale = ExpressionScale.auto,
    include_generated: IncludeGenerated = False,
) -> None:
    """Open tissue in napari."""
    from napari_gest.files import as_usual
    from napari_gest.tissue.io import check_input

    reading = Reading(spatial_key, section_key, layer, um_per_unit, scale.value, include_generated)
    for path in paths:
        check_input(path)
    from napari_gest.widgets.window import launch

    with as_usual():  # a window's event loop runs no Python signal handlers
        launch(paths, section=section, model=model, reading=reading)
