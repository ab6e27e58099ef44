"""``niches`` and ``annotate``: the niche and the label of each cell."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_gest.cli.agreement import check_common, tell_trained, trained_labels
from napari_gest.cli.app import app, examples
from napari_gest.cli.console import run, say, tell
from napari_gest.cli.options import (
    Device,
    ExpressionScale,
    IncludeGenerated,
    Layer,
    Model,
    NWorkers,
    OnDevice,
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
from napari_gest.tissue.reading import Reading

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_gest.model.gest import GeST
    from napari_gest.tasks.labels.annotate import Annotated as Labelled
    from napari_gest.tasks.niches.cluster import Method as Way
    from napari_gest.tasks.niches.embed import Embedded, EmbedRequest
    from napari_gest.tissue.section import Section

Sections = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Take this section; repeat for more. All by default."),
]


class Read(StrEnum):
    """Source of a niche's embedding."""

    content = "content"
    expression = "expression"
    hidden = "hidden"


class Method(StrEnum):
    """How cells are clustered into a given number of niches."""

    mixture = "mixture"
    kmeans = "kmeans"


class Align(StrEnum):
    """When sections that differ as wholes are aligned before they are clustered."""

    auto = "auto"
    always = "always"
    never = "never"


@app.command(
    epilog=examples(
        "niches brain.h5ad --model mouse-preoptic-merfish --n-niches 8 --out niches.h5ad",
        "niches brain.h5ad --section A1 --model my-model --resolution 0.5 --out niches.h5ad",
        "niches brain.h5ad --model my-model --n-niches 8 --describe-by cell_type --out n.h5ad"
        " --table n.csv",
        "niches niches.h5ad --model mouse-preoptic-merfish --n-niches 12 --out other.h5ad",
    )
)
def niches(
    path: Tissue,
    model: Model,
    out: OutTissue,
    n_niches: Annotated[
        int | None, typer.Option(min=2, help="Number of niches.", show_default=False)
    ] = None,
    resolution: Annotated[
        float | None,
        typer.Option(min=0, help="Resolution of Leiden, instead of a number.", show_default=False),
    ] = None,
    read: Annotated[
        Read,
        typer.Option(
            help="Source of a niche's embedding: the expression measured in it (the default), the"
            " expression expected at its cell, or the hidden state, as in the paper."
        ),
    ] = Read.content,
    method: Annotated[
        Method,
        typer.Option(help="How niches are clustered, given --n-niches; --resolution uses Leiden."),
    ] = Method.mixture,
    align: Annotated[
        Align,
        typer.Option(
            help="Take away what sets each section apart as a whole, as donors or batches do:"
            " auto, where niches would largely be the sections; always; or never."
        ),
    ] = Align.auto,
    repeats: Annotated[
        int, typer.Option(min=0, help="Further seeds, to measure how stable each niche is.")
    ] = 0,
    describe_by: Annotated[
        str | None,
        typer.Option(metavar="OBS", help="Give the shares of this obs column in each niche."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(metavar="NICHES.csv", help="Table of niches to write.")
    ] = None,
    seed: Seed = 0,
    section: Sections = None,
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
    """Cluster the niches of cells; sections are clustered together and share their niches.

    OUT holds all cells of SECTION with obs gest_niche and gest_niche_confidence, obsm X_gest_niche
    and uns gest_niche_colors. X is never changed. If SECTION is such an OUT and model and --read
    are the same, its embedding is used again.
    NICHES.csv has one row per niche: cells, area, stability (with --repeats), marker genes and the
    shares of --describe-by.
    """
    if (n_niches is None) == (resolution is None):
        raise typer.BadParameter("give either --n-niches or --resolution")
    if resolution is not None and method is not Method.mixture:
        raise typer.BadParameter("--method is for --n-niches")
    from napari_gest.files import Output, check_outputs, write_table
    from napari_gest.tasks.niches.niches import REPORT
    from napari_gest.tissue.io import kind_of

    outputs = [Output("--out", out, kind_of(out), overwrite)]
    if table is not None:
        outputs.append(Output("--table", table, REPORT, overwrite))
    check_outputs(outputs, [("SECTION", path), ("--model", model_folder(model))])
    reading = Reading(spatial_key, section_key, layer, um_per_unit, scale.value, include_generated)
    adata, sections = _open(path, section, reading)

    from napari_gest.model.gest import GeST
    from napari_gest.tasks.labels.annotate import labels_from_obs
    from napari_gest.tasks.niches.cluster import ClusterRequest, check_asked
    from napari_gest.tasks.niches.embed import EmbedRequest
    from napari_gest.tasks.workers import workers as working
    from napari_gest.tissue.io import write_tissue

    way: Way = method.value if resolution is None else "leiden"
    check_asked(sum(s.n_obs for s in sections), way, n_niches, resolution)
    if describe_by is not None:
        with naming("--describe-by"):
            labels_from_obs(adata, describe_by)
    loaded = GeST.load(model)
    for taken in sections:
        say_spacing(taken, loaded)
        EmbedRequest(taken, loaded, read=read.value, device=device.value).check()
    with working(scheduler, workers) as doing:
        requests = [
            EmbedRequest(s, loaded, read=read.value, device=device.value, workers=doing)
            for s in sections
        ]
        embedded = [_embedded(request, adata) for request in requests]
    clustered = run(
        ClusterRequest(
            embedded,
            n_niches,
            method=way,
            resolution=resolution,
            seed=seed,
            repeats=repeats,
            align=align.value,
        ).run()
    )
    if clustered.settings["aligned"]:
        say("What sets each section apart as a whole was taken away; --align never leaves it in.")
    for one in embedded:
        one.write(adata)
    clustered.write(adata)
    write_tissue(adata, out, overwrite=overwrite)
    report, shares = clustered.report(), None
    printed = report.dropna(axis="columns").round(3).to_string()
    if describe_by is not None:
        shares = clustered.composition(adata.obs[describe_by].iloc[clustered.rows])
        report = report.join(shares.add_prefix("share of "))
    if table is not None:
        write_table(report, table, REPORT, index=True, overwrite=overwrite)
    tell(f"{clustered.n_niches} niches of {len(clustered.labels)} cells: {out}")
    tell(printed)
    if shares is not None:
        tell(f"\nshares of {describe_by}")
        tell(shares.round(3).T.to_string())
    if table is not None:
        tell(f"table of niches: {table}")


def _embedded(request: EmbedRequest, adata: AnnData) -> Embedded:
    stored = request.stored(adata)
    if stored is None:
        return run(request.run())
    say(f"Section '{request.section.name}' was embedded before: nothing is embedded again.")
    return stored


@app.command(
    epilog=examples(
        "annotate brain.h5ad --model my-labelled-model --out labelled.h5ad",
        "annotate brain.h5ad --section A2 --model my-labelled-model --compare-with region"
        " --out labelled.h5ad",
    )
)
def annotate(
    path: Tissue,
    model: Model,
    out: OutTissue,
    compare_with: Annotated[
        str | None,
        typer.Option(metavar="OBS", help="Print the agreement of labels with this obs column."),
    ] = None,
    section: Sections = None,
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
    """Label cells with a model whose label layer 'fine-tune --label-key' trained.

    OUT holds all cells of SECTION with obs gest_label and gest_label_confidence. X is never
    changed.
    """
    from napari_gest.files import Output, check_outputs
    from napari_gest.tissue.io import kind_of

    check_outputs(
        [Output("--out", out, kind_of(out), overwrite)],
        [("SECTION", path), ("--model", model_folder(model))],
    )
    reading = Reading(spatial_key, section_key, layer, um_per_unit, scale.value, include_generated)
    adata, sections = _open(path, section, reading)

    from napari_gest.model.gest import GeST
    from napari_gest.tasks.labels.annotate import AnnotateRequest, labels_from_obs
    from napari_gest.tasks.workers import workers as working
    from napari_gest.tissue.io import write_tissue

    loaded = GeST.load(model)
    for taken in sections:
        say_spacing(taken, loaded)
        AnnotateRequest(taken, loaded, device.value).check()
    known = {}
    if compare_with is not None:
        with naming("--compare-with"):
            known = {
                s.name: labels_from_obs(
                    adata, compare_with, s.rows, include_generated=include_generated
                )
                for s in sections
            }
        check_common(compare_with, known.values(), loaded)
    with working(scheduler, workers) as doing:
        results = [run(AnnotateRequest(s, loaded, device.value, doing).run()) for s in sections]
    for result in results:
        result.write(adata)
    write_tissue(adata, out, overwrite=overwrite)
    tell(f"{sum(len(r.rows) for r in results)} cells labelled: {out}")
    for result in results:
        tell(f"section '{result.section_name}'")
        for label in result.classes:
            inside = result.names == label
            mean = result.confidence[inside].mean() if inside.any() else 0.0
            tell(f"  {label:20}{inside.sum():>9} cells  confidence {mean:.2f}")
        if known:
            _tell_agreement(result, known[result.section_name], loaded)


def _tell_agreement(result: Labelled, names: NDArray[np.object_], model: GeST) -> None:
    import numpy as np

    named = np.array([name is not None for name in names], bool)
    if not named.any():
        tell("  no cell has a name to compare with")
        return
    agreement = result.agreement(names)
    tell(
        f"  macro-F1 {agreement.macro_f1:.3f}, balanced accuracy"
        f" {agreement.balanced_accuracy:.3f} over {agreement.n_cells} cells"
    )
    tell_trained(trained_labels(result.section, named, model), agreement.n_cells)


def _open(
    path: Path, wanted: Sequence[str] | None, reading: Reading
) -> tuple[AnnData, list[Section]]:
    from napari_gest.tissue.io import read_tissue
    from napari_gest.tissue.section import section_names

    adata = read_tissue(path, lazy=True)
    names = wanted or section_names(adata, reading.section_key)
    return adata, [take(reading, adata, name, lazy=True) for name in names]
