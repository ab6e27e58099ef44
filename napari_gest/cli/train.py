"""``fit``, ``fine-tune`` and ``pretrain``: models of one's own tissue."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_gest.cli.app import app, examples
from napari_gest.cli.console import print_fields, run, say
from napari_gest.cli.describe import card
from napari_gest.cli.options import (
    Device,
    ExpressionScale,
    IncludeGenerated,
    Layer,
    Model,
    OnDevice,
    OutModel,
    Overwrite,
    Scale,
    SectionKey,
    Seed,
    SpatialKey,
    UmPerUnit,
    checked,
    model_folder,
    naming,
    take,
)
from napari_gest.errors import GestError, InputError
from napari_gest.tissue.reading import Reading

if TYPE_CHECKING:
    from anndata import AnnData

    from napari_gest.model.config import ModelConfig
    from napari_gest.model.gest import GeST
    from napari_gest.tasks.training.budget import Budget
    from napari_gest.tasks.training.train import FitRequest
    from napari_gest.tasks.training.train_config import TrainConfig
    from napari_gest.tissue.section import Section


class Strategy(StrEnum):
    """How several processes train together."""

    ddp = "ddp"


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
    typer.Option(
        metavar="FOLDER",
        help="Folder of the training state; training resumes from it if it exists.",
    ),
]
Devices = Annotated[
    int, typer.Option(min=1, help="Processes on this machine, one a device (extra 'scale').")
]
Nodes = Annotated[
    int, typer.Option(min=1, help="Machines that run this command, or torchrun, together.")
]
OnStrategy = Annotated[
    Strategy, typer.Option(help="How several processes share the work; ddp: they add gradients up.")
]
Steps = Annotated[int | None, typer.Option(min=1, help="Optimiser steps.", show_default=False)]
MetaCells = Annotated[
    int | None, typer.Option(min=2, help="Size K of the vocabulary.", show_default=False)
]
Layers = Annotated[int | None, typer.Option(min=1, help="Decoder layers.", show_default=False)]
Heads = Annotated[int | None, typer.Option(min=1, help="Attention heads.", show_default=False)]
Width = Annotated[int | None, typer.Option(min=4, help="Width of the decoder.", show_default=False)]

Start = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="Base or model to start from, by name or folder; none: random weights. By default the"
        " bundled base; none where a size is given.",
    ),
]
BudgetS = Annotated[
    float | None,
    typer.Option(
        "--budget",
        metavar="SECONDS",
        min=10,
        help="Wall time that all of it may take; the number of steps follows, and is printed.",
    ),
]


@app.command(
    epilog=examples(
        "fit brain.h5ad --out my-model",
        "fit brain.h5ad --budget 60 --out my-model",
        "fit brain.h5ad --start none --out my-model",
        "fit a.h5ad b.h5ad --validation-section A1 --meta-cells 256 --out my-model",
        "fit brain.h5ad --steps 8000 --resume my-state --out my-model",
    )
)
def fit(
    paths: Train,
    out: OutModel,
    section: SomeSections = None,
    validation_section: Validation = None,
    start: Start = None,
    budget: BudgetS = None,
    steps: Steps = None,
    seed: Seed = 0,
    meta_cells: MetaCells = None,
    layers: Layers = None,
    heads: Heads = None,
    width: Width = None,
    resume: Resume = None,
    spatial_key: SpatialKey = "spatial",
    section_key: SectionKey = "section",
    layer: Layer = None,
    um_per_unit: UmPerUnit = 1.0,
    scale: Scale = ExpressionScale.auto,
    include_generated: IncludeGenerated = False,
    device: OnDevice = Device.auto,
    devices: Devices = 1,
    nodes: Nodes = 1,
    strategy: OnStrategy = Strategy.ddp,
    overwrite: Overwrite = False,
) -> None:
    """Train a model on your own tissue, with any panel of genes."""
    shape = {"n_layers": layers, "n_heads": heads, "d_model": width}
    sized = any(value is not None for value in shape.values())
    if sized and start not in (None, "none"):
        raise typer.BadParameter("--layers, --heads and --width go with --start none alone")
    if budget is not None and steps is not None:
        raise typer.BadParameter("--budget settles the number of steps: leave --steps out")
    _check_outputs(out, resume, overwrite, paths, None if start == "none" else start, "--start")
    reading = Reading(spatial_key, section_key, layer, um_per_unit, scale.value, include_generated)
    training, validation = _training_sections(paths, section, validation_section, reading)

    from napari_gest.model.config import ModelConfig
    from napari_gest.tasks.training.budget import Budget, of_length, process_began
    from napari_gest.tasks.training.start import FROM_SCRATCH, start_of
    from napari_gest.tasks.training.train import configs_for

    begin = start_of(FROM_SCRATCH if start is None and sized else start)
    model_config, train_config = configs_for(training, begin)
    if sized:
        model_config = ModelConfig()  # options that are not given have consistent defaults
    model_config = checked(model_config, n_meta_cells=meta_cells, **shape)
    if steps is not None:
        train_config = of_length(train_config, steps)
    clock = None if budget is None else Budget(budget, process_began())
    request = (training, validation, model_config, train_config, seed, resume, begin)
    together = Together(device, devices, nodes, strategy)
    model = _train(out, overwrite, *request, together=together, budget=clock)
    if model is not None and model.tokenizer.n_meta_cells < model_config.n_meta_cells:
        say(
            f"The vocabulary has {model.tokenizer.n_meta_cells} meta cells instead of"
            f" {model_config.n_meta_cells}: the tissue has too few cells for more."
        )


@app.command(
    "fine-tune",
    epilog=examples(
        "fine-tune brain.h5ad --model mouse-preoptic-merfish --out my-model",
        "fine-tune brain.h5ad --section A1 --section A2 --model my-model --steps 500 --out newer",
        "fine-tune brain.h5ad --section A1 --model my-model --label-key region --steps 0 --out b",
    ),
)
def fine_tune(
    paths: Train,
    model: Model,
    out: OutModel,
    section: SomeSections = None,
    validation_section: Validation = None,
    steps: Annotated[
        int | None,
        typer.Option(min=0, help="Optimiser steps; 0 with --label-key alone.", show_default=False),
    ] = None,
    label_key: Annotated[
        str | None, typer.Option(metavar="OBS", help="Learn the labels in this obs column too.")
    ] = None,
    ignore_label: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A value that means no label; repeat for more."),
    ] = None,
    seed: Seed = 0,
    resume: Resume = None,
    spatial_key: SpatialKey = "spatial",
    section_key: SectionKey = "section",
    layer: Layer = None,
    um_per_unit: UmPerUnit = 1.0,
    scale: Scale = ExpressionScale.auto,
    include_generated: IncludeGenerated = False,
    device: OnDevice = Device.auto,
    devices: Devices = 1,
    nodes: Nodes = 1,
    strategy: OnStrategy = Strategy.ddp,
    overwrite: Overwrite = False,
) -> None:
    """Continue training a model on your own tissue; for other genes its vocabulary is rebuilt.

    With --label-key it also learns the labels in that column, for 'annotate'. Cells without a
    label only serve as neighbours of labelled cells.
    """
    if ignore_label and label_key is None:
        raise typer.BadParameter("--ignore-label needs --label-key")
    if steps == 0 and label_key is None:
        raise typer.BadParameter("--steps 0 trains nothing but labels: give --label-key")
    _check_outputs(out, resume, overwrite, paths, model)
    reading = Reading(spatial_key, section_key, layer, um_per_unit, scale.value, include_generated)
    labels: Labels | None = None
    if label_key is not None:
        labels = Labels(label_key, tuple(ignore_label or ()))
    training, validation = _training_sections(paths, section, validation_section, reading, labels)

    from napari_gest.model.gest import GeST
    from napari_gest.tasks.training.train import configs_for

    start = GeST.load(model)
    model_config, train_config = configs_for(training, start)
    train_config = checked(train_config, n_steps=steps or None)
    request = (training, validation, model_config, train_config, seed, resume, start)
    together = Together(device, devices, nodes, strategy)
    _train(out, overwrite, *request, together=together, labels=labels, only_labels=steps == 0)


def _check_outputs(
    out: Path,
    resume: Path | None,
    overwrite: bool,
    paths: list[Path],
    model: str | None = None,
    option: str = "--model",
) -> None:
    from napari_gest.files import Output, check_outputs
    from napari_gest.model.checkpoint import MODEL
    from napari_gest.tasks.training.train import STATE

    outputs = [Output("--out", out, MODEL, overwrite)]
    if resume is not None:
        outputs.append(Output("--resume", resume, STATE, overwrite=True, parents=True))
    inputs: list[tuple[str, Path | None]] = [("SECTION", path) for path in paths]
    check_outputs(outputs, [*inputs, (option, model_folder(model))])


@dataclass(frozen=True)
class Together:
    """Where it trains, and how many processes share it."""

    device: Device
    devices: int
    nodes: int
    strategy: Strategy


@dataclass
class Labels:
    """Labels to learn: their column, and those of each training section once it is read."""

    key: str
    ignore: tuple[str, ...]
    of: list[Any] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def read(self, adata: AnnData, section: Section) -> None:
        import numpy as np

        from napari_gest.tasks.labels.annotate import labels_from_obs

        too = section.include_generated
        with naming("--label-key"):
            every = labels_from_obs(adata, self.key, section.rows, include_generated=too)
        self.seen |= {str(name) for name in every if name is not None}
        every[np.isin(every.astype(str), self.ignore)] = None
        self.of.append(every)

    def check(self) -> None:
        """Raise InputError if a name to ignore is none of the column's."""
        from napari_gest.tissue.obs import few, natural_order

        unknown = [name for name in self.ignore if name not in self.seen]
        if unknown:
            raise InputError(
                f"No cell is labelled '{', '.join(unknown)}' in '{self.key}'.",
                f"Labels there: {few(natural_order(self.seen))} (--ignore-label).",
            )


def _training_sections(
    paths: list[Path],
    wanted: list[str] | None,
    validation: str | None,
    reading: Reading,
    labels: Labels | None = None,
) -> tuple[list[Section], Section | None]:
    """Return the sections to train on, and the one to validate on; read the former's labels."""
    from napari_gest.tissue.io import read_tissue
    from napari_gest.tissue.section import section_names

    training: list[Section] = []
    held_out, seen = [], set()
    for path in paths:
        adata = read_tissue(path, lazy=True)
        for name in section_names(adata, reading.section_key):
            seen.add(name)
            if name == validation:
                held_out.append(take(reading, adata, name, lazy=True))
            elif not wanted or name in wanted:
                training.append(take(reading, adata, name, lazy=True))
                if labels is not None:
                    labels.read(adata, training[-1])
    if labels is not None and training:
        labels.check()
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
    model_config: ModelConfig,
    train_config: TrainConfig,
    seed: int,
    resume: Path | None,
    start: Any,
    together: Together,
    labels: Labels | None = None,
    only_labels: bool = False,
    budget: Budget | None = None,
) -> GeST | None:
    """Train and write a model; return it where this process writes it."""
    from napari_gest.tasks.labels.annotate import HeadConfig, HeadRequest, renamed
    from napari_gest.tasks.training.train import FitRequest

    request = FitRequest(
        training,
        model_config,
        train_config,
        seed,
        validation=validation,
        checkpoint_dir=resume,
        start=start,
        name=out.name,
        budget=budget,
        device=together.device.value,
        devices=together.devices,
        nodes=together.nodes,
        strategy=together.strategy.value,
    )
    request.check()
    if labels is not None and start is not None:  # before the long training
        known = [part[[x is not None for x in part]] for part in labels.of]
        if len({x for part in known for x in part}) < 2:
            raise InputError(
                f"obs column '{labels.key}' has fewer than two labels in the training sections.",
                "Name another column (--label-key) or other sections (--section).",
            )
    if only_labels and not request.scale.is_first:
        return None
    model: GeST = start if only_labels else _trained(request)
    if not request.scale.is_first:
        return None
    if labels is not None:
        head = HeadRequest(
            model, training, labels.of, HeadConfig(), labels.key, together.device.value
        )
        model = run(head.run())
    if only_labels:
        model = renamed(model, out.name)
    model.save(out, overwrite=overwrite)
    print_fields(f"Model trained: {out}", card(model))
    return model


@app.command(
    epilog=examples(
        "pretrain brain.h5ad breast.h5ad embryo.h5ad --out my-base",
        "pretrain a.h5ad b.h5ad --steps 3000 --resume my-state --out my-base",
    )
)
def pretrain(
    paths: Train,
    out: OutModel,
    section: SomeSections = None,
    steps: Steps = None,
    seed: Seed = 0,
    meta_cells: MetaCells = None,
    layers: Layers = None,
    heads: Heads = None,
    width: Width = None,
    resume: Resume = None,
    spatial_key: SpatialKey = "spatial",
    section_key: SectionKey = "section",
    layer: Layer = None,
    um_per_unit: UmPerUnit = 1.0,
    scale: Scale = ExpressionScale.auto,
    include_generated: IncludeGenerated = False,
    device: OnDevice = Device.auto,
    overwrite: Overwrite = False,
) -> None:
    """Train a base on tissue of several panels, for 'fit --start' to begin with.

    Sections with the same genes are one panel. A base has no vocabulary: it generates nothing.
    """
    from napari_gest.files import Output, check_outputs
    from napari_gest.model.about import BASE
    from napari_gest.tasks.training.train_state import STATE

    outputs = [Output("--out", out, BASE, overwrite)]
    if resume is not None:
        outputs.append(Output("--resume", resume, STATE, overwrite=True, parents=True))
    check_outputs(outputs, [("SECTION", path) for path in paths])
    reading = Reading(spatial_key, section_key, layer, um_per_unit, scale.value, include_generated)
    training, _ = _training_sections(paths, section, None, reading)

    from napari_gest.tasks.training.budget import of_length
    from napari_gest.tasks.training.pretrain import (
        PRETRAIN_CONFIG,
        PRETRAIN_MODEL,
        PretrainRequest,
    )

    config = PRETRAIN_CONFIG if steps is None else of_length(PRETRAIN_CONFIG, steps)
    shape = checked(
        PRETRAIN_MODEL, n_meta_cells=meta_cells, n_layers=layers, n_heads=heads, d_model=width
    )
    request = PretrainRequest(training, shape, config, seed, resume, out.name, device=device.value)
    request.check()
    base = run(request.run()).base
    base.save(out, overwrite=overwrite)
    print_fields(f"Base trained: {out}", card(base))


def _trained(request: FitRequest) -> GeST:
    """Return the trained model; of several processes, the first one speaks."""
    from napari_gest.tasks.progress import finish

    if request.scale.is_first:
        return run(request.run()).model
    try:
        return finish(request.run()).model
    except GestError as error:
        raise typer.Exit(1) from error
