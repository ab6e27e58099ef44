"""The command line: one subcommand per public function.

Only typer and rich are imported here; each command imports what it runs, so help is instant.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

from napari_gest import __version__
from napari_gest.errors import GestError, InputError

if TYPE_CHECKING:
    from anndata import AnnData

    from napari_gest.tasks.progress import Progress
    from napari_gest.tissue.section import Section

R = TypeVar("R")


class _Commands(TyperGroup):
    """Turns a user's mistake into two lines on stderr and exit code 1, Ctrl-C into 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except GestError as error:
            _say(f"Error: {error.cause}\nRemedy: {error.remedy}")
            raise typer.Exit(1) from error
        except MemoryError as error:
            _say(
                "Error: There is not enough memory for this.\n"
                "Remedy: Close other programs, or take one section (--section) of the file."
            )
            raise typer.Exit(1) from error
        except KeyboardInterrupt as interrupt:
            _say("Interrupted; nothing was written.")
            raise typer.Exit(130) from interrupt


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Generate unseen cells of spatial transcriptomics with GeST.",
)


def _examples(*commands: str) -> str:
    # An empty line between them keeps each on a line of its own.
    return "\n\n".join(["Examples:", *(f"  napari-gest {command}" for command in commands)])


class Mode(StrEnum):
    """Read-outs of the model."""

    pick = "pick"
    weighted = "weighted"
    sample = "sample"


SpatialKey = Annotated[str, typer.Option(help="Key of obsm with coordinates, x and y.")]
SectionKey = Annotated[str, typer.Option(help="Column of obs that names sections.")]
Layer = Annotated[
    str | None, typer.Option(help="Layer with linear expression; X by default.", metavar="NAME")
]
UmPerUnit = Annotated[float, typer.Option(help="Micrometres in one unit of the coordinates.")]
AllowLogged = Annotated[
    bool, typer.Option("--allow-logged", help="Accept logged expression; expm1 undoes it.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed: the same one gives the same result.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is at the output.")]
OutModel = Annotated[Path, typer.Option(metavar="MODEL", help="Model folder to write.")]
Model = Annotated[
    str, typer.Option(metavar="MODEL", help="Name of a bundled model, or a model folder.")
]


@dataclass(frozen=True)
class _Reading:
    """How sections are read from a file; see ``Section.from_anndata``."""

    spatial_key: str
    section_key: str
    layer: str | None
    um_per_unit: float
    allow_logged: bool

    def section(self, adata: AnnData, name: str | None) -> Section:
        from napari_gest.tissue.section import Section

        return Section.from_anndata(adata, name, **vars(self))


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        print(f"napari-gest {__version__}")
        raise typer.Exit


@app.command(
    epilog=_examples(
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
    epilog=_examples(
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


@app.command(
    epilog=_examples(
        "generate brain.h5ad --model mouse-preoptic-merfish --mask-key hole --out filled.h5ad",
        "generate brain.h5ad --section A1 --model my-model --roi tear.geojson --mode sample"
        " --seed 7 --out filled.h5ad",
    )
)
def generate(
    path: Annotated[Path, typer.Argument(metavar="SECTION", help="Tissue: .h5ad or .zarr.")],
    model: Model,
    out: Annotated[Path, typer.Option(metavar="OUT.h5ad", help="Tissue file to write.")],
    mask_key: Annotated[
        str | None, typer.Option(metavar="OBS_BOOL", help="obs column: True for unseen cells.")
    ] = None,
    roi: Annotated[
        Path | None, typer.Option(metavar="R.geojson", help="Region of unseen cells, in um.")
    ] = None,
    mode: Annotated[
        Mode, typer.Option(help="Likeliest meta cell, mean over all, or a random draw.")
    ] = Mode.weighted,
    seed: Seed = 0,
    place_new: Annotated[
        bool,
        typer.Option(
            "--place-cells",
            help="Place new cells where the region lacks them; done anyway if it has none.",
        ),
    ] = False,
    section: Annotated[
        str | None, typer.Option(metavar="NAME", help="The section, if there are several.")
    ] = None,
    spatial_key: SpatialKey = "spatial",
    section_key: SectionKey = "section",
    layer: Layer = None,
    um_per_unit: UmPerUnit = 1.0,
    allow_logged: AllowLogged = False,
    overwrite: Overwrite = False,
) -> None:
    """Generate the unseen cells of a section and write them beside the measured ones.

    OUT holds all cells of SECTION with obs gest_generated, gest_entropy, gest_meta_cell, layers
    gest_expression and gest_sd (log1p of total-normalised) and uns gest. X is never changed.
    """
    if (mask_key is None) == (roi is None):
        raise typer.BadParameter("give either --mask-key or --roi")
    if place_new and roi is None:
        raise typer.BadParameter("--place-cells needs --roi")
    from napari_gest.tissue.io import check_output, check_suffix, read_tissue, write_tissue

    check_suffix(out)
    check_output(out, overwrite=overwrite)
    adata = read_tissue(path)
    reading = _Reading(spatial_key, section_key, layer, um_per_unit, allow_logged)
    taken = reading.section(adata, section)
    unseen, new = _unseen(adata, taken, mask_key, roi, place_new, seed)

    from napari_gest.model.gest import GeST
    from napari_gest.tasks.generate import GenerateRequest

    request = GenerateRequest(
        taken, GeST.load(model), unseen, mode=mode.value, seed=seed, new_coords_um=new
    )
    request.check()
    result = _run(request.run())
    write_tissue(result.to_anndata(adata), out, overwrite=overwrite)
    print(f"{len(result.rows)} cells of section '{taken.name}' generated: {out}")
    if unseen.any():
        _print_agreement(result.agreement(taken))


def _unseen(
    adata: AnnData,
    section: Section,
    mask_key: str | None,
    roi: Path | None,
    place_new: bool,
    seed: int,
) -> tuple[Any, Any]:
    """Return (n_obs,) bool of the cells to generate, and (m, 2) um of cells to add or None."""
    from napari_gest.tissue.roi import Roi, mask_from_obs

    if roi is None:
        assert mask_key is not None
        return mask_from_obs(adata, mask_key, section.rows), None
    import numpy as np

    from napari_gest.tissue.placement import place_cells

    region = Roi.read_geojson(roi)
    unseen = region.contains(section.coords_um)
    if unseen.all():
        raise InputError(
            f"The region in '{roi}' holds every cell of the section.",
            "Leave some tissue outside it: the model generates from what surrounds a region.",
        )
    if unseen.any() and not place_new:
        return unseen, None
    new = place_cells(region, section.coords_um, np.random.default_rng(seed))
    if not len(new) and not unseen.any():
        raise InputError(f"The region in '{roi}' is too small for a cell.", "Give a larger region.")
    _say(f"The region has {unseen.sum()} measured cells; {len(new)} new ones are placed.")
    return unseen, new if len(new) else None


def _print_agreement(agreement: Any) -> None:
    print(f"agreement with the {agreement.n_cells} measured cells (model space):")
    print(f"  {'':10}{'GeST':>10}{'mean of 60 nearest':>20}")
    for name in ("rmse", "rmse_z", "pearson", "spearman"):
        print(f"  {name:10}{getattr(agreement, name):10.3f}{getattr(agreement.floor, name):20.3f}")


Train = Annotated[
    list[Path], typer.Argument(metavar="SECTION...", help="Tissue: .h5ad files or .zarr folders.")
]
SomeSections = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Train on this section; repeat for more. All by default."),
]
Validation = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Validate on this section instead of on held-out holes."),
]
Resume = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Keep the state here, and go on from it if it is there."),
]
Steps = Annotated[int | None, typer.Option(min=1, help="Optimiser steps.", show_default=False)]


@app.command(
    epilog=_examples(
        "fit brain.h5ad --out my-model",
        "fit a.h5ad b.h5ad --validation-section A1 --meta-cells 256 --out my-model",
        "fit brain.h5ad --steps 8000 --resume my-state --out my-model",
    )
)
def fit(
    paths: Train,
    out: OutModel,
    section: SomeSections = None,
    validation_section: Validation = None,
    steps: Steps = None,
    seed: Seed = 0,
    meta_cells: Annotated[
        int | None, typer.Option(min=2, help="Size K of the vocabulary.", show_default=False)
    ] = None,
    layers: Annotated[
        int | None, typer.Option(min=1, help="Decoder layers.", show_default=False)
    ] = None,
    heads: Annotated[
        int | None, typer.Option(min=1, help="Attention heads.", show_default=False)
    ] = None,
    width: Annotated[
        int | None, typer.Option(min=4, help="Width of the decoder.", show_default=False)
    ] = None,
    resume: Resume = None,
    spatial_key: SpatialKey = "spatial",
    section_key: SectionKey = "section",
    layer: Layer = None,
    um_per_unit: UmPerUnit = 1.0,
    allow_logged: AllowLogged = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a model on your own tissue, whatever its genes."""
    from napari_gest.tissue.io import check_output

    check_output(out, overwrite=overwrite)
    reading = _Reading(spatial_key, section_key, layer, um_per_unit, allow_logged)
    training, validation = _training_sections(paths, section, validation_section, reading)

    from napari_gest.model.config import ModelConfig

    config = _checked(
        ModelConfig, n_meta_cells=meta_cells, n_layers=layers, n_heads=heads, d_model=width
    )
    _train(out, overwrite, training, validation, config, steps, seed, resume, None)


@app.command(
    "fine-tune",
    epilog=_examples(
        "fine-tune brain.h5ad --model mouse-preoptic-merfish --out my-model",
        "fine-tune brain.h5ad --section A1 --section A2 --model my-model --steps 500 --out newer",
    ),
)
def fine_tune(
    paths: Train,
    model: Model,
    out: OutModel,
    section: SomeSections = None,
    validation_section: Validation = None,
    steps: Steps = None,
    seed: Seed = 0,
    resume: Resume = None,
    spatial_key: SpatialKey = "spatial",
    section_key: SectionKey = "section",
    layer: Layer = None,
    um_per_unit: UmPerUnit = 1.0,
    allow_logged: AllowLogged = False,
    overwrite: Overwrite = False,
) -> None:
    """Train a model on with your own tissue; for other genes its vocabulary is rebuilt."""
    from napari_gest.tissue.io import check_output

    check_output(out, overwrite=overwrite)
    reading = _Reading(spatial_key, section_key, layer, um_per_unit, allow_logged)
    training, validation = _training_sections(paths, section, validation_section, reading)

    from napari_gest.model.gest import GeST

    start = GeST.load(model)
    _train(out, overwrite, training, validation, start.config, steps, seed, resume, start)


def _training_sections(
    paths: list[Path], wanted: list[str] | None, validation: str | None, reading: _Reading
) -> tuple[list[Section], Section | None]:
    """Return the sections to train on, and the one to validate on."""
    from napari_gest.tissue.io import read_tissue
    from napari_gest.tissue.section import section_names

    training, held_out, seen = [], [], set()
    for path in paths:
        adata = read_tissue(path)
        for name in section_names(adata, reading.section_key):
            seen.add(name)
            if name == validation:
                held_out.append(reading.section(adata, name))
            elif not wanted or name in wanted:
                training.append(reading.section(adata, name))
    for name in [*(wanted or []), *([validation] if validation else [])]:
        if name not in seen:
            raise InputError(
                f"There is no section '{name}'; sections here: {', '.join(sorted(seen))}.",
                "Name one of them, or give the obs column that names sections (--section-key).",
            )
    if not training or len(held_out) > 1:
        raise InputError(
            f"That leaves {len(training)} sections to train on, {len(held_out)} to validate on.",
            "Name at least one section for training and at most one other for validation.",
        )
    return training, held_out[0] if held_out else None


def _train(
    out: Path,
    overwrite: bool,
    training: list[Section],
    validation: Section | None,
    config: Any,
    steps: int | None,
    seed: int,
    resume: Path | None,
    start: Any,
) -> None:
    from napari_gest.tasks.train import FitRequest, TrainConfig

    request = FitRequest(
        training,
        config,
        _checked(TrainConfig, n_steps=steps),
        seed,
        validation=validation,
        checkpoint_dir=resume,
        start=start,
        name=out.name,
    )
    request.check()
    model = _run(request.run()).model
    model.save(out, overwrite=overwrite)
    _print_fields(f"Model trained: {out}", _card(model))


def _checked(config: Callable[..., R], **settings: Any) -> R:
    """Return a configuration of the settings given, its complaints turned into one for users."""
    from pydantic import ValidationError

    try:
        return config(**{key: value for key, value in settings.items() if value is not None})
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(
            f"These settings do not fit together: {problem}.",
            "Change them; the defaults fit.",
        ) from error


@app.command(
    epilog=_examples(
        "simulate tissue.h5ad",
        "simulate big.h5ad --cells 1000000 --genes 300 --sections 4 --seed 1",
        "simulate sample.h5ad --panel mouse-preoptic-merfish",
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
    overwrite: Overwrite = False,
) -> None:
    """Make a synthetic tissue with regions, niches, cell types and counts."""
    from napari_gest.tissue import simulate as simulation
    from napari_gest.tissue.io import check_output, check_suffix, write_tissue

    check_suffix(out)
    check_output(out, overwrite=overwrite)
    if panel is None:
        adata = simulation.simulate(cells, genes, sections, seed)
    else:
        import numpy as np

        from napari_gest.model.gest import GeST

        vocabulary = GeST.load(panel).tokenizer
        adata = simulation.simulate(
            cells,
            genes,
            sections,
            seed,
            profiles=np.expm1(vocabulary.c_expr.astype(np.float64)),
            genes=vocabulary.genes,
        )
    write_tissue(adata, out, overwrite=overwrite)
    print(f"{adata.n_obs} cells x {adata.n_vars} genes in {sections} sections: {out}")


@app.command(
    epilog=_examples(
        "models",
        "models mouse-preoptic-merfish",
    )
)
def models(
    name: Annotated[
        str | None, typer.Argument(help="Print the whole card of this model or folder.")
    ] = None,
) -> None:
    """List the bundled models, or print one model's card."""
    import json

    from napari_gest.model.gest import GeST, bundled_models

    if name is not None:
        print(json.dumps(_card(GeST.load(name)), indent=1, ensure_ascii=False))
        return
    if not bundled_models():
        print("No models are bundled; train one with 'napari-gest fit'.")
    for bundled in bundled_models():
        _print_fields(bundled, _card(GeST.load(bundled)))


def _card(model: Any) -> dict[str, Any]:
    shape = model.config
    return {
        "name": model.name,
        "genes": len(model.genes),
        "meta_cells": shape.n_meta_cells,
        "size": f"{shape.n_layers} layers, {shape.n_heads} heads, width {shape.d_model}",
        "parameters": model.n_parameters,
        "window": f"{shape.window_cells} cells, {shape.window_um:.0f} um",
        **model.card,
    }


def _print_fields(title: str, fields: dict[str, Any]) -> None:
    """Print what fits on a line; lists and tables are for the whole card."""
    print(title)
    for key, value in fields.items():
        if key != "name" and isinstance(value, str | int | float):
            print(f"  {key:14}{value}")


@app.command(
    epilog=_examples(
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
    """Say what is in a tissue file, a region or a model folder."""
    from napari_gest.tissue.io import read_tissue

    if path.suffix in (".geojson", ".json"):
        from napari_gest.tissue.roi import Roi

        region = Roi.read_geojson(path)
        x0, y0, x1, y1 = region.geometry.bounds
        _print_fields(
            str(path),
            {
                "area": f"{region.area_um2:.0f} um2",
                "x": f"{x0:g} to {x1:g} um",
                "y": f"{y0:g} to {y1:g} um",
            },
        )
    elif path.is_dir() and path.suffix != ".zarr":
        from napari_gest.model.gest import GeST

        _print_fields(str(path), _card(GeST.load(path)))
    else:
        _print_tissue(path, read_tissue(path), spatial_key, section_key)


def _print_tissue(path: Path, adata: AnnData, spatial_key: str, section_key: str) -> None:
    import numpy as np

    from napari_gest import keys
    from napari_gest.tissue.section import section_names

    fields: dict[str, Any] = {"cells": adata.n_obs, "genes": adata.n_vars}
    for key in ("obs", "obsm", "layers", "uns"):
        fields[key] = ", ".join(map(str, getattr(adata, key).keys())) or "none"
    if keys.GENERATED in adata.obs:
        fields["generated"] = f"{int(adata.obs[keys.GENERATED].sum())} cells"
    _print_fields(str(path), fields)
    print("  sections")
    coords = np.full((adata.n_obs, 2), np.nan)
    if spatial_key in adata.obsm:
        coords = np.asarray(adata.obsm[spatial_key], dtype=float)[:, :2]
    labels = np.full(adata.n_obs, "section", dtype=object)
    if section_key in adata.obs:
        labels = adata.obs[section_key].astype(str).to_numpy()
    for name in section_names(adata, section_key):
        cells = labels == name
        placed = coords[cells][np.isfinite(coords[cells]).all(axis=1)]
        size = " x ".join(f"{side:.0f}" for side in np.ptp(placed, axis=0)) if len(placed) else "-"
        print(f"    {name:20}{cells.sum():>9} cells  {size}")


def _run(work: Generator[Progress, None, R]) -> R:
    """Run a task to its end with its progress on stderr."""
    from napari_gest.tasks.progress import finish
    from napari_gest.tasks.threads import share_processors

    share_processors()
    with _progress() as show:
        return finish(work, show)


@contextmanager
def _progress() -> Generator[Callable[[Progress], None]]:
    """Yield what shows progress: a bar on a terminal, else a line for each tenth of a stage."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, TextColumn("{task.fields[eta]}"), console=console) as bar:
        tasks: dict[str, Any] = {}

        def show(tick: Progress) -> None:
            if tick.stage not in tasks:
                tasks[tick.stage] = bar.add_task(tick.stage, total=tick.total, eta="")
            bar.update(tasks[tick.stage], completed=tick.done, total=tick.total, eta=_eta(tick))

        yield show


class _Lines:
    """Progress for a log file."""

    def __init__(self) -> None:
        self.shown: tuple[str, int] | None = None

    def __call__(self, tick: Progress) -> None:
        now = (tick.stage, 10 * tick.done // max(tick.total, 1))
        if now != self.shown:
            self.shown = now
            _say(f"{tick.stage} {tick.done}/{tick.total} {_eta(tick)}".rstrip())


def _eta(tick: Progress) -> str:
    if tick.eta_s is None or tick.done >= tick.total:
        return ""
    minutes, seconds = divmod(round(tick.eta_s), 60)
    return f"{minutes}:{seconds:02d} left"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 a mistake in input, 2 in usage, 130 Ctrl-C."""
    app(args=arguments, prog_name="napari-gest")


if __name__ == "__main__":
    main()
