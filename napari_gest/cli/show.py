"""``demo`` and ``view``: the only commands that open a window."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_gest.cli.app import app, examples


@app.command(
    epilog=examples(
        "demo",
        "demo --out pictures --no-show",
    )
)
def demo(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for what the demo makes.")] = Path(
        "demo"
    ),
    show: Annotated[
        bool | None,
        typer.Option("--show/--no-show", help="Keep the window open; by default, if it can."),
    ] = None,
) -> None:
    """Open the sample in napari, draw a region, generate its cells and paint them."""
    from napari_gest.widgets.demo import run_demo

    for path in run_demo(out_dir, show) or []:
        print(path)


@app.command(
    epilog=examples(
        "view brain.h5ad",
        "view brain.h5ad --section A1 --model mouse-preoptic-merfish",
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
) -> None:
    """Open tissue in napari."""
    from napari_gest.tissue.io import check_input

    for path in paths:
        check_input(path)
    from napari_gest.widgets.app import launch

    launch(paths, section=section, model=model)
