"""``perturb``: edit a region from the command line and predict the effect around it."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_gest.cli.app import app, examples
from napari_gest.cli.console import run, say, tell
from napari_gest.cli.options import (
    READING,
    Device,
    ExpressionScale,
    IncludeGenerated,
    Layer,
    OnDevice,
    OneSection,
    Overwrite,
    Scale,
    SectionKey,
    Seed,
    SpatialKey,
    Tissue,
    UmPerUnit,
    model_folder,
    refuse_given,
    say_spacing,
    take,
)
from napari_gest.errors import InputError
from napari_gest.tissue.reading import Reading

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import DataFrame

    from napari_gest.model.gest import GeST
    from napari_gest.tasks.perturbation.perturb import Perturbed
    from napari_gest.tasks.perturbation.scenario import Labels, Scenario
    from napari_gest.tissue.edits import Edit
    from napari_gest.tissue.section import Section


# What a scenario says itself.
_DECIDED = (
    *("roi", "edits", "skip_unknown", "strength", "only", "replace_by", "remove", "readout"),
    *("input", "reach_um", "bands_um", "permutations", "seed"),
)


class Readout(StrEnum):
    """How surrounding cells are predicted."""

    response = "response"
    generation = "generation"


class Input(StrEnum):
    """How edited expression enters."""

    token = "token"
    continuous = "continuous"


@app.command(
    epilog=examples(
        "perturb brain.h5ad --model mouse-preoptic-merfish --roi R.geojson --edits edits.csv"
        " --out OUT.h5ad --table deg.csv",
        "perturb brain.h5ad --model mouse-preoptic-merfish --roi R.geojson --edits stroke.csv"
        " --skip-unknown --only cell_type=Microglia --strength 0.5 --table deg.csv",
        "perturb brain.h5ad --scenario saved --table again.csv",
    )
)
def perturb(
    context: typer.Context,
    path: Tissue,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Name of a bundled model, or a model folder."),
    ] = None,
    roi: Annotated[
        Path | None, typer.Option(metavar="R.geojson", help="Region of edited cells, in um.")
    ] = None,
    edits: Annotated[
        Path | None,
        typer.Option(metavar="EDITS.csv", help="Columns gene,op,value or gene,log2fc."),
    ] = None,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out edits of genes not in the panel.")
    ] = False,
    strength: Annotated[float, typer.Option(min=0, help="Scales the edits; 1 is as given.")] = 1.0,
    only: Annotated[
        str | None,
        typer.Option(metavar="KEY=A,B", help="Edit only cells with these values of obs KEY."),
    ] = None,
    replace_by: Annotated[
        str | None,
        typer.Option(
            metavar="KEY=A", help="Replace the region's cells by cells with this value of obs KEY."
        ),
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove the region's cells (read-out generation).")
    ] = False,
    readout: Annotated[
        Readout, typer.Option(help="Cells keep their identity and respond, or are generated again.")
    ] = Readout.response,
    input: Annotated[
        Input, typer.Option(help="Edited expression enters unchanged, or as the nearest meta cell.")
    ] = Input.continuous,
    reach_um: Annotated[
        float, typer.Option(help="How far around the region effects are predicted, in um.")
    ] = 150.0,
    bands_um: Annotated[
        str, typer.Option(help="Borders of the bands of distance, in um.")
    ] = "0,30,60,100,150",
    permutations: Annotated[
        int,
        typer.Option(
            min=0,
            max=100_000,
            help="Permutations for p-values: 0, or 19 or more; 0 gives no p-values.",
        ),
    ] = 200,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="OUT.h5ad", help="Tissue file to write.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(metavar="DEG.csv", help="Table of genes to write.")
    ] = None,
    save_scenario: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Save the scenario, to run it again.")
    ] = None,
    scenario: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Run a saved scenario, or a folder of several."),
    ] = None,
    section: OneSection = None,
    spatial_key: SpatialKey = "spatial",
    section_key: SectionKey = "section",
    layer: Layer = None,
    um_per_unit: UmPerUnit = 1.0,
    scale: Scale = ExpressionScale.auto,
    include_generated: IncludeGenerated = False,
    device: OnDevice = Device.auto,
    overwrite: Overwrite = False,
) -> None:
    """Edit the cells of a region and predict how the cells around it respond.

    OUT holds all cells with layers gest_control and gest_perturbed (log1p of total-normalised)
    and obs gest_distance_um; X is never changed. DEG has one row per gene for each band of
    distance and for all bands together.
    """
    if scenario is None and (model is None or roi is None):
        raise typer.BadParameter("give --model and --roi, or --scenario")
    if scenario is not None:
        refuse_given(context, _DECIDED, "--scenario")
    if out is None and table is None and save_scenario is None:
        raise typer.BadParameter("give --out, --table or --save-scenario, or nothing is kept")
    from napari_gest.files import Output, check_outputs, write_table
    from napari_gest.tasks.perturbation.significance import FEWEST
    from napari_gest.tissue.io import in_memory, kind_of, read_tissue, write_tissue

    if 0 < permutations < FEWEST:
        raise typer.BadParameter(f"--permutations {permutations}: give 0, or {FEWEST} or more")
    outputs = [] if out is None else [Output("--out", out, kind_of(out), overwrite)]
    from napari_gest.tasks.perturbation.scenario import (
        EFFECTS,
        SCENARIO,
        Scenario,
        Settings,
        read_scenarios,
    )

    if table is not None:
        outputs.append(Output("--table", table, EFFECTS, overwrite))
    if save_scenario is not None:
        outputs.append(Output("--save-scenario", save_scenario, SCENARIO, overwrite))
    inputs = [
        ("SECTION", path),
        ("--model", model_folder(model)),
        ("--roi", roi),
        ("--edits", edits),
        ("--scenario", scenario),
    ]
    check_outputs(outputs, inputs)
    reading = Reading(spatial_key, section_key, layer, um_per_unit, scale.value, include_generated)

    from napari_gest.model.gest import GeST
    from napari_gest.tasks.perturbation.scenario_source import ScenarioSource
    from napari_gest.tissue.roi import Roi

    if scenario is not None:
        every = read_scenarios(scenario)
        if any(asked.source is not None for asked in every):
            refuse_given(context, READING, "--scenario")
        if model is None:
            models = [("the scenario's model", model_folder(s.settings.model)) for s in every]
            check_outputs(outputs, models)
        if len(every) > 1 and (out is not None or save_scenario is not None):
            raise typer.BadParameter(
                f"'{scenario}' holds {len(every)} scenarios: give --table, or the folder of one"
            )
        for asked in every:
            _check_permutations(asked, FEWEST)
        adata = read_tissue(path)
    else:
        assert model is not None
        assert roi is not None
        adata = read_tissue(path)
        taken, fitted = take(reading, adata, section), GeST.load(model)
        say_spacing(taken, fitted)
        settings = Settings(
            model=model,
            section=taken.name,
            only=_labels(only),
            replace_by=_labels(replace_by),
            strength=strength,
            remove=remove,
            readout=readout.value,
            input=input.value,
            reach_um=reach_um,
            bands_um=_numbers(bands_um),
            seed=seed,
            n_permutations=permutations,
        )
        changes = _edits(edits, fitted.genes, skip_unknown)
        source = ScenarioSource.of(reading, taken, fitted) if save_scenario is not None else None
        every = [Scenario(settings, Roi.read_geojson(roi), changes, source)]
    tables = {}
    for asked in every:
        if len(every) > 1:
            say(f"{asked.settings.name}:")
        if scenario is not None:
            as_made = reading if asked.source is None else asked.source.reading
            taken = take(as_made, adata, section or asked.settings.section)
            fitted = GeST.load(model or asked.settings.model)
            say_spacing(taken, fitted)
            if asked.source is not None:
                asked.source.check(taken, fitted)
        result = _result(asked, adata, taken, fitted, device)
        # The effect is written before the slower permutation test.
        if out is not None:
            whole = in_memory(adata)
            result.write(whole)
            write_tissue(whole, out, overwrite=overwrite)
            tell(f"control and perturbed of section '{taken.name}': {out}")
        if table is None and save_scenario is None:
            return
        tables[asked.settings.name] = genes = _tested(asked, result)
        if save_scenario is not None:
            source = asked.source or ScenarioSource.of(reading, taken, fitted)
            _save(replace(asked, source=source), save_scenario, genes, overwrite)
    if table is not None:
        if len(every) > 1:
            import pandas as pd

            named = [t.assign(scenario=name) for name, t in tables.items()]
            genes = pd.concat(named, ignore_index=True)
        write_table(genes, table, EFFECTS, overwrite=overwrite)
        tell(f"{genes['gene'].nunique()} genes in {genes['band'].nunique()} bands: {table}")


def _result(
    asked: Scenario, adata: AnnData, section: Section, model: GeST, device: Device
) -> Perturbed:
    request = replace(asked.request(adata, section, model), device=device.value)
    request.check()
    result = run(request.run())
    say(
        f"{result.n_edited} cells edited, {result.n_changed_tokens} of them with another token;"
        f" {len(result.index)} cells around them."
    )
    return result


def _tested(asked: Scenario, result: Perturbed) -> DataFrame:
    from napari_gest.app.runs.effect import response_text
    from napari_gest.tasks.perturbation.perturb import ALL
    from napari_gest.tasks.perturbation.significance import SignificanceRequest, untested

    s = asked.settings
    if not s.n_permutations or s.remove:
        return untested(result.effects())
    table = run(SignificanceRequest(result, s.n_permutations, s.seed).run()).table
    say(f"{response_text(table[table['band'] == ALL])}.")
    return table


def _check_permutations(asked: Scenario, fewest: int) -> None:
    n = asked.settings.n_permutations
    if 0 < n < fewest:
        raise InputError(
            f"The scenario '{asked.settings.name}' asks for {n} permutations.",
            f"Write 0, or {fewest} or more, as n_permutations in its scenario.json.",
        )


def _save(asked: Scenario, folder: Path, genes: object, overwrite: bool) -> None:
    asked.renamed(folder.name).write(folder, genes, overwrite=overwrite)  # type: ignore[arg-type]
    tell(f"scenario: {folder}")


def _edits(path: Path | None, genes: tuple[str, ...], skip: bool) -> tuple[Edit, ...]:
    from napari_gest.tissue.edits import on_panel, read_edits

    if path is None:
        return ()
    edits = read_edits(path)
    if skip:
        edits, dropped = on_panel(edits, genes)
        say(f"{dropped} edits of genes that are not in the panel are left out.")
    return edits


def _labels(text: str | None) -> Labels | None:
    from napari_gest.tasks.perturbation.scenario import Labels

    if text is None:
        return None
    key, equals, values = text.partition("=")
    if not equals or not values:
        raise typer.BadParameter(f"'{text}' is not KEY=LABEL or KEY=LABEL,LABEL")
    return Labels(key=key, values=tuple(values.split(",")))


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"'{text}' is not a list of numbers with commas") from error
