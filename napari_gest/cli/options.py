"""Options that several commands share, each defined once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

import napari_gest
from napari_gest.cli.console import say
from napari_gest.errors import InputError
from napari_gest.seeds import MAX_SEED

if TYPE_CHECKING:
    from anndata import AnnData
    from pydantic import BaseModel

    from napari_gest.model.gest import GeST
    from napari_gest.tissue.reading import Reading
    from napari_gest.tissue.roi import Roi
    from napari_gest.tissue.section import Section

_MOST_APART = 5.0  # times the usual distance between cells, without a warning

Config = TypeVar("Config", bound="BaseModel")


class Mode(StrEnum):
    """Read-outs of the model."""

    pick = "pick"
    weighted = "weighted"
    sample = "sample"


class Device(StrEnum):
    """Where the network computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class ExpressionScale(StrEnum):
    """Scale of stored values; log1p values are transformed back by expm1."""

    auto = "auto"
    linear = "linear"
    log1p = "log1p"


Tissue = Annotated[Path, typer.Argument(metavar="SECTION", help="Tissue: .h5ad or .zarr.")]
OutTissue = Annotated[Path, typer.Option(metavar="OUT.h5ad", help="Tissue file to write.")]
OneSection = Annotated[
    str | None, typer.Option(metavar="NAME", help="The section, if there are several.")
]
SpatialKey = Annotated[str, typer.Option(help="Key of obsm with coordinates, x and y.")]
SectionKey = Annotated[str, typer.Option(help="Column of obs that names sections.")]
Layer = Annotated[
    str | None, typer.Option(help="Layer with linear expression; X by default.", metavar="NAME")
]
UmPerUnit = Annotated[float, typer.Option(help="Micrometres in one unit of the coordinates.")]
Scale = Annotated[
    ExpressionScale,
    typer.Option(
        help="Scale of the values; auto: linear, and values that look logged are refused."
    ),
]
Seed = Annotated[
    int, typer.Option(min=0, max=MAX_SEED, help="Seed: the same seed gives the same result.")
]
OnDevice = Annotated[
    Device,
    typer.Option(
        help="Where the network computes: the processor, an NVIDIA or an Apple GPU; auto: an NVIDIA"
        " GPU where there is one."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
OutModel = Annotated[Path, typer.Option(metavar="MODEL", help="Model folder to write.")]
Model = Annotated[
    str, typer.Option(metavar="MODEL", help="Name of a bundled model, or a model folder.")
]


IncludeGenerated = Annotated[
    bool,
    typer.Option(
        "--include-generated",
        help="Take generated cells as if they had been measured; --layer names where their values"
        " are.",
    ),
]


NWorkers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="Read cells in this many processes on this machine; needs napari-gest[scale].",
        show_default=False,
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Read cells on a Dask cluster, such as tcp://node1:8786; needs napari-gest[scale].",
    ),
]


# The options that say how tissue is read.
READING = ("spatial_key", "section_key", "layer", "um_per_unit", "scale", "include_generated")


def refuse_given(context: typer.Context, names: Sequence[str], beside: str) -> None:
    """Refuse options that were given on the command line beside one that decides them."""
    given = [name for name in names if _is_given(context, name)]
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise typer.BadParameter(f"{beside} decides {flags}: leave {flags} out")


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


@contextmanager
def naming(option: str) -> Iterator[None]:
    """Name the option to change in the remedy of what is wrong with a column."""
    try:
        yield
    except InputError as error:
        raise InputError(error.cause, f"{error.remedy.removesuffix('.')} ({option}).") from error


def take(
    reading: Reading,
    adata: AnnData,
    name: str | None = None,
    unseen: str | Roi | None = None,
    *,
    lazy: bool = False,
) -> Section:
    """Take a section out of a file, and say what becomes of the generated cells in it.

    With ``lazy`` expression is left in the file, where it was opened so.
    """
    from napari_gest.tissue.section import Section

    section = Section.read(reading, adata, name, unseen, lazy=lazy)
    if len(section.generated_um):
        say(
            f"Section '{section.name}': {len(section.generated_um)} generated cells are left out"
            " (--include-generated takes them)."
        )
    if section.generated_from:
        say(f"Section '{section.name}': generated cells are from {section.generated_from}.")
    return section


def say_spacing(section: Section, model: GeST) -> None:
    """Warn where cells are far denser or sparser than where a model was trained."""
    from napari_gest.tissue.window import window_side

    shape = model.config
    if not shape.window_um:  # a base is of no tissue
        return
    here, there = (
        side / shape.window_cells**0.5
        for side in (window_side(section.coords_um, shape.window_cells), shape.window_um)
    )
    if not there / _MOST_APART <= here <= there * _MOST_APART:
        say(
            f"Warning: cells of section '{section.name}' lie about {_short(here)} um apart, but"
            f" {_short(there)} um where the model was trained. The unit may be wrong:"
            f" --um-per-unit is {section.um_per_unit:g}."
        )


def _short(length_um: float) -> str:
    """Return a length with two digits that count."""
    return f"{float(f'{length_um:.2g}'):,g}"


def model_folder(model: str | None) -> Path | None:
    """Return the folder of a model, given by name or path, without importing torch."""
    if model is None:
        return None
    bundled = Path(napari_gest.__file__).parent / "model" / "weights" / model
    return bundled if bundled.is_dir() else Path(model)


def checked(config: Config, **settings: Any) -> Config:
    """Return a configuration with the given settings; validation errors become InputError."""
    from pydantic import ValidationError

    given = {key: value for key, value in settings.items() if value is not None}
    try:
        return type(config)(**config.model_dump() | given)
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(
            f"These settings do not fit together: {problem}.",
            "Change them; the defaults fit.",
        ) from error
