"""``simulate``: simulated tissue."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_gest.cli.app import app, examples
from napari_gest.cli.options import Overwrite, Seed, model_folder


class Anatomy(StrEnum):
    """How a section is built."""

    layers = "layers"
    brain = "brain"


@app.command(
    epilog=examples(
        "simulate tissue.h5ad",
        "simulate big.h5ad --cells 1000000 --genes 300 --sections 4 --seed 1",
        "simulate sample.h5ad --panel mouse-preoptic-merfish --anatomy brain",
        "simulate answers.h5ad --perturb --cells 18000 --sections 6",
    )
)
def simulate(
    out: Annotated[Path, typer.Argument(metavar="OUT.h5ad", help="Tissue file to write.")],
    cells: Annotated[int, typer.Option(min=1, help="Cells, in all sections together.")] = 5000,
    genes: Annotated[
        int | None, typer.Option(min=1, help="Genes; 150 by default.", show_default=False)
    ] = None,
    sections: Annotated[int, typer.Option(min=1, help="Sections.")] = 1,
    seed: Seed = 0,
    panel: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Take genes and cell profiles from this model."),
    ] = None,
    anatomy: Annotated[
        Anatomy,
        typer.Option(help="Layers with a nucleus, or layers, tracts and nuclei in two halves."),
    ] = Anatomy.layers,
    perturb: Annotated[
        bool,
        typer.Option("--perturb", help="Plant a ligand-receptor programme; 80 genes by default."),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Simulate tissue with regions, niches, cell types and counts.

    With --perturb cells of one type signal to their neighbours. X is then the tissue before an
    edit of the ligand and layers["perturbed"] the tissue after it; var says which genes respond.
    """
    if perturb and panel is not None:
        raise typer.BadParameter("--perturb makes its own genes; leave --panel out")
    if perturb and anatomy is not Anatomy.layers:
        raise typer.BadParameter("--perturb is planted in layers; leave --anatomy out")
    from napari_gest.files import Output, check_outputs
    from napari_gest.tissue import simulate as simulation
    from napari_gest.tissue.io import kind_of, write_tissue

    check_outputs([Output("OUT", out, kind_of(out), overwrite)], [("--panel", model_folder(panel))])
    if perturb:
        from napari_gest.tissue.programme import simulate_programme

        adata = simulate_programme(cells, 80 if genes is None else genes, sections, seed)
    else:
        profiles, names = None, None
        if panel is not None:
            import numpy as np

            from napari_gest.model.gest import GeST

            vocabulary = GeST.load(panel).tokenizer
            profiles = np.expm1(vocabulary.c_expr.astype(np.float64))
            names = vocabulary.genes
        adata = simulation.simulate(
            cells, genes, sections, seed, profiles=profiles, genes=names, anatomy=anatomy.value
        )
    write_tissue(adata, out, overwrite=overwrite)
    print(f"{adata.n_obs} cells x {adata.n_vars} genes in {sections} sections: {out}")
