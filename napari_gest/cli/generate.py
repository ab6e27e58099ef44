"""``generate``: unseen cells from the command line."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_gest.cli.agreement import tell_trained, trained_cells
from napari_gest.cli.app import app, examples
from napari_gest.cli.console import run, say, tell
from napari_gest.cli.options import (
    Device,
    ExpressionScale,
    IncludeGenerated,
    Layer,
    Mode,
    Model,
    NWorkers,
    OnDevice,
    OneSection,
    OutTissue,
    Overwrite,
    Scale,
    Scheduler,
    SectionKey,
    Seed,
    SpatialKey,
    Tissue,
    UmPerUnit,
    model_folder,
    naming,
    say_spacing,
    take,
)
from napari_gest.errors import InputError
from napari_gest.tissue.reading import Reading

if TYPE_CHECKING:
    from anndata import AnnData

    from napari_gest.tissue.roi import Roi
    from napari_gest.tissue.section import Section


_FEW = 5  # cells that a region may lack without a word


@app.command(
    epilog=examples(
        "generate brain.h5ad --model mouse-preoptic-merfish --mask-key hole --out filled.h5ad",
        "generate brain.h5ad --section A1 --model my-model --roi tear.geojson --mode sample"
        " --draws 5 --seed 7 --out filled.h5ad",
        "generate brain.h5ad --model my-model --mask-key hole --type-key type --out filled.h5ad",
    )
)
def generate(
    path: Tissue,
    model: Model,
    out: OutTissue,
    mask_key: Annotated[
        str | None, typer.Option(metavar="OBS_BOOL", help="obs column: True for unseen cells.")
    ] = None,
    roi: Annotated[
        Path | None, typer.Option(metavar="R.geojson", help="Region of unseen cells, in um.")
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(help="Mean over meta cells, the likeliest one, or whole cells drawn."),
    ] = Mode.weighted,
    draws: Annotated[
        int, typer.Option(min=1, help="Draws of the region; more than one needs --mode sample.")
    ] = 1,
    expected: Annotated[
        bool,
        typer.Option("--expected", help="Also write the mean of each cell; needs --mode sample."),
    ] = False,
    type_key: Annotated[
        str | None,
        typer.Option(metavar="OBS_COLUMN", help="obs column whose names generated cells get too."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="First hide measured patches like the region, generate them, and say how far to"
            " trust the result.",
        ),
    ] = False,
    check_table: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.csv", help="Write a table with the check's results for each gene."
        ),
    ] = None,
    check_map: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.csv",
            help="Hide the whole section tile by tile, and write where generation is better than"
            " the neighbours' mean. It takes some minutes.",
        ),
    ] = None,
    seed: Seed = 0,
    place_new: Annotated[
        bool,
        typer.Option(
            "--place-cells",
            help="Keep the region's cells and add new ones where it lacks them; done anyway if it"
            " has none.",
        ),
    ] = False,
    section: OneSection = None,
    spatial_key: SpatialKey = "spatial",
    section_key: SectionKey = "section",
    layer: Layer = None,
    um_per_unit: UmPerUnit = 1.0,
    scale: Scale = ExpressionScale.auto,
    include_generated: IncludeGenerated = False,
    device: OnDevice = Device.auto,
    workers: NWorkers = None,
    scheduler: Scheduler = None,
    overwrite: Overwrite = False,
) -> None:
    """Generate the unseen cells of a section and write them beside the measured ones.

    OUT holds all cells of SECTION with obs gest_generated, gest_entropy, gest_meta_cell, layers
    gest_expression and gest_sd (log1p of total-normalised) and uns gest. X is never changed.

    --mode sample draws a measured cell of the section for each: obs gest_donor names it, layer
    gest_counts holds its counts, and further draws are layers gest_draw_2, gest_draw_3 and so on.
    --expected adds layer gest_expected, the mean that --mode weighted would give.
    --type-key K adds obs gest_K and gest_K_confidence. --check adds uns gest/check, chooses the
    share of the section's field and prints a verdict. --check-map divides the section into tiles of
    the region's size and gives, for each, how far the error is below that of the neighbours' mean.
    """
    if (mask_key is None) == (roi is None):
        raise typer.BadParameter("give either --mask-key or --roi")
    if place_new and roi is None:
        raise typer.BadParameter("--place-cells needs --roi")
    from napari_gest.files import Output, check_outputs, write_table
    from napari_gest.tissue.io import kind_of, read_tissue, write_tissue
    from napari_gest.tissue.packed_names import packed_names

    outputs = [Output("--out", out, kind_of(out), overwrite)]
    if check_table is not None:
        from napari_gest.tasks.generation.check_report import CHECK_TABLE

        outputs.append(Output("--check-table", check_table, CHECK_TABLE, overwrite))
    if check_map is not None:
        from napari_gest.tasks.generation.check_map_report import CHECK_MAP_TABLE

        outputs.append(Output("--check-map", check_map, CHECK_MAP_TABLE, overwrite))
    check_outputs(outputs, [("SECTION", path), ("--model", model_folder(model)), ("--roi", roi)])
    # A check hides tissue all over the section; a region needs only what is around it.
    lazy = not check and check_table is None and check_map is None
    adata = read_tissue(path, lazy=lazy)
    reading = Reading(spatial_key, section_key, layer, um_per_unit, scale.value, include_generated)
    region = None
    if roi is not None:
        from napari_gest.tissue.roi import Roi

        region = Roi.read_geojson(roi)
    taken = take(reading, adata, section, None if place_new else region or mask_key, lazy=lazy)
    unseen, new = _unseen(adata, taken, mask_key, region, place_new, seed)

    from napari_gest.model.gest import GeST
    from napari_gest.tasks.generation.generate import GenerateRequest
    from napari_gest.tasks.workers import workers as working

    types = None
    if type_key is not None:
        from napari_gest.tasks.generation.cell_types import CellTypes

        with naming("--type-key"):
            types = CellTypes.from_obs(adata, type_key, taken)
    loaded = GeST.load(model)
    say_spacing(taken, loaded)
    request = GenerateRequest(
        taken,
        loaded,
        unseen,
        mode=mode.value,
        seed=seed,
        new_coords_um=new,
        draws=draws,
        types=types,
        expected=expected,
        device=device.value,
    )
    request.check()
    checked = None
    if check or check_table is not None:
        from napari_gest.tasks.generation.check import CheckRequest

        of_region = CheckRequest(taken, request.model, unseen, new, seed, device=device.value)
        checked = run(of_region.run())
        request = replace(request, field=checked.field)
    mapped = None
    if check_map is not None:
        from napari_gest.tasks.generation.check_map import CheckMapRequest

        hidden = unseen if unseen.any() else None
        of_tiles = CheckMapRequest(taken, request.model, hidden, seed=seed, device=device.value)
        mapped = run(of_tiles.run())
    with packed_names(adata) if lazy else nullcontext():
        result = run(request.run())
    if checked is not None:
        adata = result.to_anndata(adata)
        checked.write(adata)
        write_tissue(adata, out, overwrite=overwrite)
    else:
        with working(scheduler, workers) as doing:
            result.write_copy(adata, out, overwrite=overwrite, workers=doing)
    if checked is not None and check_table is not None:
        write_table(checked.table, check_table, CHECK_TABLE, index=True, overwrite=overwrite)
    if mapped is not None and check_map is not None:
        write_table(mapped.table, check_map, CHECK_MAP_TABLE, index=True, overwrite=overwrite)
    tell(f"{len(result.rows)} cells of section '{taken.name}' generated: {out}")
    if mode is Mode.sample:
        further = [f"gest_draw_{number}" for number in range(2, draws + 1)]
        others = f"; the others are {', '.join(further)}" if further else ""
        tell(f"gest_expression and gest_donor are {result.draw_name()}{others}")
    agreement = result.agreement(taken) if unseen.any() else None
    if agreement is not None:
        _print_agreement(agreement, "the mean" if expected else result.draw_name())
        if mode is Mode.sample and not expected:
            tell("  (a draw is as noisy as tissue; --mode weighted has the lowest error)")
        tell_trained(trained_cells(taken, result.index, request.model), len(result.index))
    if checked is not None:
        tell(f"check: {checked.verdict}")
    if mapped is not None:
        tell(f"map: {mapped.verdict}")


def _unseen(
    adata: AnnData,
    section: Section,
    mask_key: str | None,
    region: Roi | None,
    place_new: bool,
    seed: int,
) -> tuple[Any, Any]:
    """Return (n_obs,) bool of the cells to generate, and (m, 2) um of cells to add or None."""
    if region is None:
        from napari_gest.tissue.roi import mask_from_obs

        assert mask_key is not None
        return mask_from_obs(adata, mask_key, section.rows), None
    import numpy as np

    from napari_gest.tissue.placement import place_cells

    unseen = region.contains(section.coords_um)
    if unseen.all():
        raise InputError(
            "The region holds every cell of the section.",
            "Leave some tissue outside it: the model generates from what surrounds a region.",
        )
    if unseen.any() and not place_new:
        _say_lacking(region, section)
        return unseen, None
    new = place_cells(region, section.occupied_um, np.random.default_rng(seed))
    if not len(new):
        raise InputError(
            "There is no room for another cell in the region.",
            "Give a larger region, or leave --place-cells out to generate the cells it has.",
        )
    say(f"The region has {unseen.sum()} measured cells; {len(new)} new ones are placed.")
    return np.zeros_like(unseen), new


def _say_lacking(region: Roi, section: Section) -> None:
    """Say how many more cells would fit in a region with cells, if it has an empty part."""
    from napari_gest.tissue.placement import n_lacking

    n_inside = int(region.contains(section.occupied_um).sum())
    try:
        n = n_lacking(region, section.occupied_um)
    except InputError:  # too little tissue around it to tell
        return
    # Numbers of cells vary from place to place without any part being empty.
    if n > max(_FEW, 3 * (n + n_inside) ** 0.5):
        say(f"{n} more cells would fit in the empty part: add --place-cells.")


def _print_agreement(agreement: Any, draw: str) -> None:
    of = f" of {draw}" if draw else ""
    tell(f"agreement{of} with the {agreement.n_cells} measured cells (model space):")
    tell(f"  {'':10}{'GeST':>10}{'mean of 60 nearest':>20}")
    for name in ("rmse", "rmse_z", "pearson", "spearman"):
        ours, theirs = getattr(agreement, name), getattr(agreement.neighbours, name)
        tell(f"  {name:10}{ours:10.3f}{theirs:20.3f}")
