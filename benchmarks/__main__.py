"""Command line of the benchmarks: ``python -m benchmarks NAME``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.common.timing import Figure
from napari_gest.errors import GestError
from napari_gest.files import JSON, TEXT, FileKind, check_output, write_text

app = typer.Typer(
    help="Benchmarks of napari-gest: accuracy of its results, and their cost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _output(kind: FileKind) -> Callable[[Path | None], Path | None]:
    """Return a callback that refuses a file that could not be written at the end."""

    def check(path: Path | None) -> Path | None:
        if path is not None:
            try:
                check_output(path, kind, overwrite=True, parents=True)
            except GestError as error:
                raise typer.BadParameter(str(error)) from error
        return path

    return check


Json = Annotated[
    Path | None,
    typer.Option("--json", help="Write every number to FILE.", callback=_output(JSON)),
]
Markdown = Annotated[
    Path | None, typer.Option(help="Write the tables to FILE.", callback=_output(TEXT))
]
SectionKey = Annotated[str, typer.Option(help="obs column that names sections.")]
SpatialKey = Annotated[str, typer.Option(help="obsm key of coordinates.")]
Rows = Annotated[
    list[Path] | None,
    typer.Option(help="Run nothing: tabulate an earlier --json; repeatable."),
]
Quick = Annotated[bool, typer.Option("--quick", help="A minute or two, on simulated tissue.")]


@app.command()
def generation(
    split: Annotated[
        list[str] | None, typer.Option(help="Real split by name; all if none is given.")
    ] = None,
    test: Annotated[Path | None, typer.Option(help="Any .h5ad or .zarr to score.")] = None,
    train: Annotated[
        list[Path] | None,
        typer.Option(help="Training files for --test; by default its other sections train."),
    ] = None,
    section: Annotated[
        list[str] | None, typer.Option(help="Sections of --test to hold out; all if omitted.")
    ] = None,
    section_key: SectionKey = "section",
    spatial_key: SpatialKey = "spatial",
    layer: Annotated[str | None, typer.Option(help="Layer with linear expression.")] = None,
    um_per_unit: Annotated[float, typer.Option(help="Micrometres in a coordinate unit.")] = 1.0,
    type_key: Annotated[
        str | None, typer.Option(help="obs column of cell types in --test.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Score this model, by name or folder; train none.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="Base or model to train from, by name or folder; none: random weights. By default"
            " as `fit` has it: the bundled base; none where --model-settings are given."
        ),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds of the holes, with commas.")] = "0,1,2,3,4",
    training_seed: Annotated[int, typer.Option(help="Seed of training.")] = 0,
    model_settings: Annotated[str, typer.Option(help="ModelConfig fields, JSON.")] = "{}",
    train_settings: Annotated[str, typer.Option(help="TrainConfig fields, JSON.")] = "{}",
    generate_settings: Annotated[str, typer.Option(help="generate() fields, JSON.")] = "{}",
    buffer_um: Annotated[float, typer.Option(help="Ring around each hole that is hidden.")] = 0.0,
    only: Annotated[
        list[str] | None,
        typer.Option(help="'points', 'distribution', 'check' or 'ablation'; repeatable."),
    ] = None,
    rows: Rows = None,
    markdown: Markdown = None,
    json_file: Json = None,
    quick: Quick = False,
) -> None:
    """GeST and the baselines, on sections held out of training.

    Four parts: the expected expression against the baselines (points), drawn cells as a
    distribution (distribution), expectations of the check against the truth (check), and drawn
    cells without one part of the method (ablation).

    Examples
    --------
    python -m benchmarks generation --split mpoa+0.26

    python -m benchmarks generation --split molcart --only distribution

    python -m benchmarks generation --test other_animal.h5ad --model mouse-preoptic-merfish

    python -m benchmarks generation --test mine.h5ad --section s3 --markdown table.md

    python -m benchmarks generation --rows a.json --rows b.json --markdown table.md
    """
    from benchmarks.common.datasets import SPLITS, Source, Split, leave_one_out
    from benchmarks.common.scored_section import Group, read_groups
    from benchmarks.common.split_run import PARTS, RADII_QUICK, Options, quick_split, run_split
    from benchmarks.generation.report import HEAD, readme_table, tables
    from napari_gest.tasks.training.start import BUNDLED_BASE, FROM_SCRATCH

    shape = json.loads(model_settings)
    start = start or (FROM_SCRATCH if shape or quick else BUNDLED_BASE)
    options = Options(
        seeds=tuple(int(s) for s in seeds.split(",")),
        training_seed=training_seed,
        model=model,
        start=None if start == FROM_SCRATCH else start,
        model_settings=shape,
        train_settings=json.loads(train_settings),
        generate_settings=json.loads(generate_settings),
        buffer_um=buffer_um,
        parts=tuple(only or PARTS),
    )
    if set(options.parts) - set(PARTS):
        raise typer.BadParameter(f"--only takes {' or '.join(PARTS)}")
    errors = Console(stderr=True)
    try:
        if rows:
            splits = []
        elif quick:
            splits = [quick_split()]
            options = options.quick(RADII_QUICK)
        elif test is not None:
            source = Source(
                str(test),
                tuple(section or ()),
                section_key,
                spatial_key,
                layer,
                um_per_unit,
                type_key,
            )
            if train:
                others = tuple(replace(source, path=str(p), sections=()) for p in train)
                splits = [Split(f"{Path(test).stem}-given-train", others, source)]
            elif model:
                splits = [Split(Path(test).stem, (), source)]
            else:
                splits = leave_one_out(replace(source, sections=()), section or ())
        else:
            splits = [SPLITS[name] for name in split or SPLITS]
    except KeyError as error:
        raise typer.BadParameter(f"no split {error}; splits: {', '.join(SPLITS)}") from error
    except GestError as error:
        errors.print(str(error), style="red")
        raise typer.Exit(1) from error
    groups = [group for path in rows or () for group in read_groups(path)]

    def keep(found: list[Group]) -> None:
        if json_file:  # after every seed, so that an interrupted run is not lost
            text = json.dumps([asdict(g) for g in [*groups, *found]], indent=1, default=float)
            write_text(json_file, text + "\n", JSON, overwrite=True, parents=True)

    for one in splits:
        if one.missing:
            errors.print(
                f"skipped {one.name}: {', '.join(one.missing)} absent; point GEST_DATA at the"
                " folder of the data sets",
                style="yellow",
            )
            continue
        try:
            groups += run_split(one, options, errors, keep)
        except GestError as error:
            errors.print(f"{one.name}: {error}", style="red")
            raise typer.Exit(1) from error
    if groups:
        short = [readme_table(groups)] if any(group.rows for group in groups) else []
        _show_tables(list(tables(groups)), markdown, HEAD, *short)


Dataset = Annotated[
    list[str] | None, typer.Option(help="dlpfc, starmap, osmfish or her2st; all if omitted.")
]
File = Annotated[Path | None, typer.Option(help="Any labelled .h5ad or .zarr to score instead.")]
LabelKey = Annotated[str, typer.Option(help="obs column of labels in --file.")]
Only = Annotated[list[str] | None, typer.Option(help="Run this method alone; repeat for more.")]
Rivals = Annotated[Path, typer.Option(help="JSON of rivals' rows to add to the tables.")]
KEPT_RIVALS = Path(__file__).with_name("rivals") / "results.json"


@app.command()
def niches(
    dataset: Dataset = None,
    file: File = None,
    label_key: LabelKey = "region",
    section_key: SectionKey = "section",
    spatial_key: SpatialKey = "spatial",
    model: Annotated[
        str | None, typer.Option(help="Embed with this model; by default one is fitted.")
    ] = None,
    seeds: Annotated[
        str, typer.Option(help="Seeds, with commas; each fits a model and clusters.")
    ] = "0,1,2,3,4",
    fine_tuning_seeds: Annotated[
        str, typer.Option(help="Seeds for which a bundled model is fine-tuned too; slow.")
    ] = "0",
    rivals: Rivals = KEPT_RIVALS,
    only: Only = None,
    rows: Rows = None,
    markdown: Markdown = None,
    json_file: Json = None,
    quick: Quick = False,
) -> None:
    """Niche clustering against region labels, GeST and simple rivals (Table 2).

    Examples
    --------
    python -m benchmarks niches --dataset starmap

    python -m benchmarks niches --file mine.h5ad --label-key layer --json rows.json
    """
    from benchmarks.niches.command import Options, run_niches

    options = Options(
        tuple(dataset or ()),
        file,
        label_key,
        {"section_key": section_key, "spatial_key": spatial_key},
        model,
        tuple(int(s) for s in seeds.split(",")),
        tuple(int(s) for s in fine_tuning_seeds.split(",") if s),
        rivals=rivals,
        only=tuple(only or ()),
        rows=tuple(rows or ()),
        json_file=json_file,
        quick=quick,
    )
    _labelled(run_niches, options, markdown)


@app.command()
def annotation(
    dataset: Dataset = None,
    file: File = None,
    label_key: LabelKey = "region",
    section_key: SectionKey = "section",
    spatial_key: SpatialKey = "spatial",
    model: Annotated[
        str | None, typer.Option(help="Embed with this model; by default one is fitted.")
    ] = None,
    training_seed: Annotated[int, typer.Option(help="Seed of the fit.")] = 0,
    labelled: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Labelled sections, the set's own if omitted; repeatable."),
    ] = None,
    rivals: Rivals = KEPT_RIVALS,
    only: Only = None,
    rows: Rows = None,
    markdown: Markdown = None,
    json_file: Json = None,
    quick: Quick = False,
) -> None:
    """Labels transferred to held-out sections, GeST and neighbourhood classifiers (Table 3).

    Examples
    --------
    python -m benchmarks annotation --dataset dlpfc

    python -m benchmarks annotation --file mine.h5ad --label-key layer
    """
    from benchmarks.niches.command import Options, run_annotation

    options = Options(
        tuple(dataset or ()),
        file,
        label_key,
        {"section_key": section_key, "spatial_key": spatial_key},
        model,
        training_seed=training_seed,
        n_labelled=tuple(labelled or ()),
        rivals=rivals,
        only=tuple(only or ()),
        rows=tuple(rows or ()),
        json_file=json_file,
        quick=quick,
    )
    _labelled(run_annotation, options, markdown)


@app.command(name="niche-scale")
def niche_scale(
    cells: Annotated[
        str, typer.Option(help="Cells of the sections, with commas.")
    ] = "20000,100000,500000",
    json_file: Json = None,
    quick: Quick = False,
) -> None:
    """Time and memory of embedding niches, cuts of the tree, shared and exact windows."""
    import torch

    from benchmarks.scale.niche_scale import figures, left_out

    torch.set_num_threads(1)
    sizes = (1000, 2000) if quick else tuple(int(n) for n in cells.split(","))
    errors = Console(stderr=True)

    def say(what: str) -> None:
        errors.print(what, style="dim")

    for line in left_out(sizes):
        errors.print(line)
    _show("Niches: cost", figures(sizes, 600 if quick else 4000, say), json_file)


@app.command()
def scale(
    cells: Annotated[
        str, typer.Option(help="Cells of the tissues, with commas, ascending.")
    ] = "10000,100000,1000000,3000000",
    folder: Annotated[
        Path, typer.Option(help="Where tissue is simulated to: 1.5 GB for a million cells.")
    ] = Path("runs/scale"),
    rows: Annotated[
        Path | None, typer.Option(help="Costs by now, to which others are added; in the folder.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="Write the page of results, with a PNG beside it.")
    ] = None,
    stage: Annotated[
        list[str] | None, typer.Option(help="Stage to run; all of them if none is given.")
    ] = None,
    only_show: Annotated[
        bool, typer.Option("--only-show", help="Run nothing: show what was measured.")
    ] = False,
    keep: Annotated[bool, typer.Option(help="Leave the tissue where it is.")] = False,
    minutes: Annotated[
        float,
        typer.Option(
            min=0.1, help="Minutes of the processor after which a published method has failed."
        ),
    ] = 30.0,
    memory_gb: Annotated[
        float, typer.Option(min=0, help="Address space of a published method; 0: no limit.")
    ] = 16.0,
    json_file: Json = None,
    quick: Quick = False,
) -> None:
    """Seconds and peak memory of atlases on disk; goes on where it was broken off.

    Published methods run where their environments are built (`make rivals`), until each fails.
    """
    from benchmarks.scale import atlas
    from benchmarks.scale.picture import draw
    from benchmarks.scale.published import Limits

    sizes = (1000, 2000) if quick else tuple(int(n) for n in cells.split(","))
    folder = folder / "quick" if quick else folder
    rows = rows or folder / "rows.json"
    errors = Console(stderr=True)
    unknown = [one for one in stage or () if one not in atlas.STAGES]
    if unknown:
        raise typer.BadParameter(f"no stage '{unknown[0]}' among {', '.join(atlas.STAGES)}")
    if only_show:
        costs = atlas.read(rows)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        say = partial(errors.print, style="dim")
        limits = Limits(minutes, memory_gb)
        costs = atlas.run(folder, sizes, rows, say, stage or atlas.STAGES, keep, limits)
    _show("Scale", atlas.figures(costs), json_file)
    if page:
        draw(costs, page.with_suffix(".png"))
        text = atlas.markdown(costs, page.with_suffix(".png").name)
        write_text(page, text, TEXT, overwrite=True, parents=True)


def _labelled(work: Callable[..., Any], options: Any, markdown: Path | None) -> None:
    """Run a benchmark on labelled sections and show it."""
    import torch

    torch.set_num_threads(1)  # two threads wait for each other on busy processors
    errors = Console(stderr=True)
    try:
        _, made = work(options, errors)
    except KeyError as error:
        raise typer.BadParameter(f"no data set {error}") from error
    except GestError as error:
        errors.print(str(error), style="red")
        raise typer.Exit(1) from error
    _show_tables(made, markdown)


@app.command()
def speed(
    model: Annotated[
        str | None, typer.Option(help="Model to generate with; the first bundled one.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of torch; by default as many as the viewer takes.")
    ] = None,
    json_file: Json = None,
    quick: Quick = False,
) -> None:
    """Speed of generation as ratios, each measured in one run on the same threads."""
    import torch

    from benchmarks.scale.speed import run
    from napari_gest.tasks.threads import share_processors

    share_processors() if threads is None else torch.set_num_threads(threads)
    errors = Console(stderr=True)
    figures = run(model, quick, lambda what: errors.print(f"measuring {what}", style="dim"))
    _show(f"Speed, threads: {torch.get_num_threads()}", figures, json_file)


@app.command()
def canvas(
    model: Annotated[str, typer.Option(help="Model to generate with.")] = "mouse-preoptic-merfish",
    cells: Annotated[int, typer.Option(help="Cells of the simulated section.")] = 100_000,
    unseen: Annotated[int, typer.Option(help="Cells of the region that is generated.")] = 1000,
    json_file: Json = None,
    quick: Quick = False,
) -> None:
    """Waiting times in the window; without a screen on a virtual one, drawn in software."""
    from contextlib import nullcontext

    from benchmarks.window.canvas import run
    from napari_gest.widgets.display import has_display, virtual_display

    with nullcontext() if has_display() else virtual_display():
        figures = run(model, *((3000, 100, 2) if quick else (cells, unseen, 7)))
    _show(f"Window, {3000 if quick else cells:,} cells", figures, json_file)


@app.command()
def soak(
    rounds: Annotated[int, typer.Option(min=2, help="Rounds of open, run, keep, clear.")] = 60,
    cells: Annotated[int, typer.Option(help="Cells of the simulated section.")] = 20_000,
    warm_up: Annotated[int, typer.Option(min=1, help="Rounds before memory is compared.")] = 10,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="End after the round in which these minutes have passed."),
    ] = None,
    niches_every: Annotated[
        int, typer.Option(min=0, help="Find niches in every n-th round; 0: never.")
    ] = 5,
    model: Annotated[str, typer.Option(help="Model to generate with.")] = "mouse-preoptic-merfish",
    trace: Annotated[
        bool, typer.Option("--trace", help="Measure memory allocated by Python separately; slow.")
    ] = False,
    json_file: Json = None,
    quick: Quick = False,
) -> None:
    """Memory left by rounds of work in one window; without a screen on a virtual one.

    Examples
    --------
    python -m benchmarks soak --rounds 60 --cells 20000

    python -m benchmarks soak --rounds 10000 --minutes 60 --cells 100000
    """
    from contextlib import nullcontext

    from benchmarks.window.soak import run
    from napari_gest.widgets.display import has_display, virtual_display

    if quick:
        rounds, cells, warm_up, niches_every = 6, 2000, 2, 3
    errors = Console(stderr=True)
    with nullcontext() if has_display() else virtual_display():
        figures, made = run(model, cells, rounds, min(warm_up, rounds - 1), niches_every, trace,
                            lambda what: errors.print(what, style="dim"), minutes)  # fmt: skip
    _show(f"Memory, {len(made)} rounds of {cells:,} cells", figures, json_file)


@app.command(name="imports")
def imports_(json_file: Json = None, quick: Quick = False) -> None:
    """Import time in new interpreters, and the heavy packages that are loaded."""
    from benchmarks.common.imports import figures

    _show("Import", figures(2 if quick else 7), json_file)


@app.command()
def rivals(
    task: Annotated[str | None, typer.Option(help="niches or annotation; both if omitted.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Rival by name; all if omitted.")] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(help="starmap, dlpfc or osmfish; all where none is given.")
    ] = None,
    section: Annotated[
        list[str] | None, typer.Option(help="Section to cluster or label; all if omitted.")
    ] = None,
    test: Annotated[Path | None, typer.Option(help="Any .h5ad or .zarr with labels.")] = None,
    label_key: Annotated[str, typer.Option(help="obs column of labels in --test.")] = "region",
    visium: Annotated[bool, typer.Option(help="The cells of --test are Visium spots.")] = False,
    seeds: Annotated[str, typer.Option(help="Seeds of the rivals, with commas.")] = "0",
    threads: Annotated[int, typer.Option(help="Threads of one call.")] = 1,
    timeout: Annotated[float, typer.Option(help="Seconds for one call.")] = 1800.0,
    cache: Annotated[
        Path, typer.Option(help="Folder of stored results, from which a run resumes.")
    ] = Path("runs/rivals"),
    fresh: Annotated[bool, typer.Option(help="Run again what is kept.")] = False,
    kept: Annotated[bool, typer.Option(help="Run nothing, show stored results.")] = False,
    markdown: Markdown = None,
    json_file: Json = None,
    quick: Quick = False,
) -> None:
    """Published methods on the labelled sections, each in its own environment.

    Examples
    --------
    python -m benchmarks rivals --task niches --only BANKSY --only SpaGCN

    python -m benchmarks rivals --test mine.h5ad --label-key layer --seeds 0,1,2,3,4
    """
    from benchmarks.common.datasets import data_dir
    from benchmarks.labels.labelled import REAL, Labelled, from_file, real, simulated_cells
    from benchmarks.rivals.cases import cases
    from benchmarks.rivals.registry import ANNOTATION, NICHES, VISIUM
    from benchmarks.rivals.registry import rivals as registered
    from benchmarks.rivals.run import Options, run_all
    from benchmarks.rivals.table import sources, tables

    errors = Console(stderr=True)
    if task not in (None, NICHES, ANNOTATION):
        raise typer.BadParameter("tasks are niches and annotation; see also rivals-generation")
    try:
        chosen = registered(task, only or ())
    except KeyError as error:
        raise typer.BadParameter(f"no rival {error}") from error
    tasks = [t for t in (NICHES, ANNOTATION) if any(r.task == t for r in chosen)]
    found: list[tuple[Labelled, bool]] = []
    try:
        if quick:
            found = [(simulated_cells(0), False)]
        elif test is not None:
            found = [(from_file(test, label_key), visium)]
        else:
            for name in dataset or REAL:
                if (data_dir() / REAL[name][0]).exists():
                    found.append((real(name), name in VISIUM))
                else:
                    errors.print(
                        f"skipped {name}: {REAL[name][0]} absent; point GEST_DATA at the folder of"
                        " the data sets",
                        style="yellow",
                    )
    except KeyError as error:
        raise typer.BadParameter(f"no data set {error}; there are {', '.join(REAL)}") from error
    except GestError as error:
        errors.print(str(error), style="red")
        raise typer.Exit(1) from error
    wanted = [
        case
        for each in tasks
        for sections, spots in found
        for case in cases(sections, each, visium=spots)
        if not section or case.section in section
    ]
    options = Options(cache, timeout, threads, fresh, kept)
    rows = run_all(
        chosen,
        wanted,
        [int(s) for s in seeds.split(",")],
        options,
        lambda what: errors.print(what, style="dim"),
    )
    _show_tables(tables(rows), markdown, sources([NICHES, ANNOTATION]))
    _write_json(json_file, [asdict(r) for r in rows])


@app.command("rivals-generation")
def rivals_generation(
    data: Annotated[
        str, typer.Option(help="Development data of the card, by name.")
    ] = "molcart A2",
    model: Annotated[
        str | None, typer.Option(help="GeST, by name or folder; by default one is trained.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Rival by name; all if omitted.")] = None,
    seeds: Annotated[str, typer.Option(help="Seeds of the holes, with commas.")] = "0",
    threads: Annotated[int, typer.Option(help="Threads of one call.")] = 1,
    timeout: Annotated[float, typer.Option(help="Seconds for one call.")] = 3600.0,
    cache: Annotated[
        Path, typer.Option(help="Folder of stored results, from which a run resumes.")
    ] = Path("runs/rivals"),
    fresh: Annotated[bool, typer.Option(help="Run again what is kept.")] = False,
    kept: Annotated[bool, typer.Option(help="Run no rival, take stored results.")] = False,
    markdown: Markdown = None,
    json_file: Json = None,
    quick: Quick = False,
) -> None:
    """Published generators, GeST, baselines and the oracle in holes of a development section.

    Examples
    --------
    python -m benchmarks rivals-generation --markdown docs/results/generation-rivals.md

    python -m benchmarks rivals-generation --only soGEN --model my_model --timeout 600
    """
    import torch

    from benchmarks.card.rows import DATA, DEVELOPMENT
    from benchmarks.rivals.generators import run_generators
    from benchmarks.rivals.registry import GENERATION
    from benchmarks.rivals.registry import rivals as registered
    from benchmarks.rivals.run import Options

    errors = Console(stderr=True)
    torch.set_num_threads(1)  # two threads wait for each other on busy processors
    development = [name for name, one in DATA.items() if one.part == DEVELOPMENT]
    if data not in development:
        raise typer.BadParameter(f"no development data '{data}' among {', '.join(development)}")
    try:
        chosen = registered(GENERATION, only or ())
    except KeyError as error:
        raise typer.BadParameter(f"no rival {error}") from error
    try:
        head, made, record = run_generators(
            "simulated" if quick else data,
            [int(s) for s in seeds.split(",")],
            model,
            chosen,
            Options(cache, timeout, threads, fresh, kept),
            lambda what: errors.print(what, style="dim"),
        )
    except GestError as error:
        errors.print(str(error), style="red")
        raise typer.Exit(1) from error
    _show_tables(made, markdown, head)
    _write_json(json_file, record, float)


@app.command()
def sample(
    model: Annotated[
        str | None, typer.Option(help="Model; that of the sample if omitted.", show_default=False)
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds of tissue and generation.")] = "0,1,2,3,4",
    markdown: Markdown = None,
    json_file: Json = None,
    quick: Quick = False,
) -> None:
    """The bundled sample: GeST against 60 neighbours, and the tissue against real sections.

    Examples
    --------
    python -m benchmarks sample --markdown docs/results/sample.md
    """
    from benchmarks.generation import sample as bundled

    errors = Console(stderr=True)
    chosen = [int(s) for s in seeds.split(",")][: 1 if quick else None]
    scores, looks = bundled.run(model, chosen, lambda what: errors.print(what, style="dim"))
    _show_tables(bundled.tables(scores, looks), markdown, bundled.preamble())
    record = {"scores": [asdict(s) for s in scores], "looks": [asdict(x) for x in looks]}
    _write_json(json_file, record)


@app.command("perturbation-signs")
def perturbation_signs(
    worlds: Annotated[int, typer.Option(min=1, help="Worlds in which targets respond.")] = 90,
    nulls: Annotated[int, typer.Option(min=0, help="Worlds in which nothing responds.")] = 40,
    markdown: Markdown = None,
    json_file: Json = None,
    quick: Quick = False,
) -> None:
    """Signs reported on worlds drawn anew each seed, null runs, and oracles that know the reach.

    Worlds are kept in runs/perturbation/signs, so a run that was cut off goes on where it was.

    Examples
    --------
    python -m benchmarks perturbation-signs --quick

    python -m benchmarks perturbation-signs --json signs.json
    """
    from benchmarks.perturbation.signs import NULLS, WORLDS, Size, run_worlds, tables

    errors = Console(stderr=True)
    size = Size.quick() if quick else Size()
    made = run_worlds(
        size,
        list(WORLDS)[: 2 if quick else worlds],
        list(NULLS)[: 1 if quick else nulls],
        lambda what: errors.print(what, style="dim"),
    )
    _show_tables(tables(*made), markdown)
    record = {"worlds": [asdict(w) for w in made[0]], "nulls": [asdict(w) for w in made[1]]}
    _write_json(json_file, record, float)


@app.command("perturbation-keys")
def perturbation_keys(
    tissue: Annotated[
        list[str] | None, typer.Option(help="Tissue by name; all where none is given.")
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="Key by name; all where none is given.")
    ] = None,
    rows: Rows = None,
    markdown: Markdown = None,
    json_file: Json = None,
    quick: Quick = False,
) -> None:
    """Edits of real tissue against signed keys of other experiments, with simple rules beside.

    Examples
    --------
    python -m benchmarks perturbation-keys --tissue "Xenium brain" --json runs/keys-brain.json

    python -m benchmarks perturbation-keys --rows runs/keys-brain.json --markdown keys.md
    """
    from benchmarks.common.datasets import data_dir
    from benchmarks.perturbation.key_scores import FOLDER, HEAD, Row, run_tissue, tables
    from benchmarks.perturbation.key_tissues import QUICK, TISSUES
    from benchmarks.perturbation.keys import KEYS

    errors = Console(stderr=True)
    known = {t.name: t for t in TISSUES}
    if set(tissue or ()) - set(known):
        raise typer.BadParameter(f"tissues are {', '.join(known)}")
    if set(key or ()) - set(KEYS):
        raise typer.BadParameter(f"keys are {', '.join(KEYS)}")
    made = [Row(**row) for path in rows or () for row in json.loads(path.read_text())]
    chosen = [QUICK] if quick else [known[name] for name in tissue or known]
    for one in [] if rows else chosen:
        absent = [p for p in (one.source.resolve(), data_dir() / FOLDER) if not p.exists()]
        if absent:
            errors.print(
                f"skipped {one.name}: {', '.join(map(str, absent))} absent; point GEST_DATA at the"
                " folder of the data sets",
                style="yellow",
            )
            continue
        made += run_tissue(one, lambda what: errors.print(what, style="dim"), key or ())
        _write_json(json_file, [asdict(row) for row in made], float)
    if made:
        _show_tables(tables(made), markdown, HEAD)


@app.command()
def perturbation(
    seeds: Annotated[str, typer.Option(help="Seeds of tissue and model, with commas.")] = "",
    null_runs: Annotated[
        int, typer.Option(min=0, help="Runs without a programme for each seed.")
    ] = 20,
    other_edits: Annotated[
        int, typer.Option(min=0, help="Edits of genes that drive nothing, for each seed.")
    ] = 20,
    real: Annotated[
        bool, typer.Option("--real/--no-real", help="Also real tissue, if it is present.")
    ] = True,
    markdown: Markdown = None,
    json_file: Json = None,
    quick: Quick = False,
) -> None:
    """Planted ligand-receptor programme, null runs, and real tissue after a stroke table.

    Examples
    --------
    python -m benchmarks perturbation --quick

    python -m benchmarks perturbation --json perturbation.json
    """
    import benchmarks.perturbation.command as planted
    from benchmarks.perturbation.planted import Setting
    from benchmarks.perturbation.stroke import real_tables

    errors = Console(stderr=True)

    def step(what: str) -> None:
        errors.print(what, style="dim")

    setting = Setting.quick() if quick else Setting()
    chosen = tuple(int(s) for s in seeds.split(",")) if seeds else planted.SEEDS
    if quick:
        chosen, null_runs, other_edits = chosen[:1], min(null_runs, 2), min(other_edits, 2)
    scores, calls = [], []
    for seed in chosen:
        scored, called = planted.run_seed(setting, seed, null_runs, other_edits, step)
        scores += scored
        calls += called
    made = planted.tables(scores, calls, setting)
    if real and not quick:
        made += real_tables(step)
    _show_tables(made, markdown)
    record = {
        "scores": [asdict(s) for s in scores],
        "calls": [asdict(c) for c in calls],
        "real": [asdict(t) for t in made[3:]],
    }
    _write_json(json_file, record, float)


@app.command()
def kill(
    rounds: Annotated[int, typer.Option(min=1, help="Processes to kill.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the moments.")] = 0,
    only: Annotated[str | None, typer.Option(help="Only the case of this name.")] = None,
    json_file: Json = None,
    quick: Quick = False,
) -> None:
    """Processes killed at random moments of writing: the old or the new output must be complete.

    Examples
    --------
    python -m benchmarks kill --rounds 100 --seed 1

    python -m benchmarks kill --rounds 50 --only session
    """
    from benchmarks.robustness.kill import run

    errors = Console(stderr=True)
    rounds = min(rounds, 11) if quick else rounds
    try:
        counts = run(rounds, seed, lambda what: errors.print(what, style="dim"), only)
    except KeyError as error:
        raise typer.BadParameter(str(error.args[0])) from error
    table = Table(title="Killed while writing", title_justify="left")
    headings = ("what", "killed", "old stood", "new stood", "swept", "restored", "damaged")
    for heading in headings:
        table.add_column(heading)
    for c in counts:
        numbers = (c.rounds, c.old, c.new, c.swept, c.restored, len(c.damage))
        table.add_row(c.name, *map(str, numbers))
    _console().print(table)
    _write_json(json_file, [asdict(c) for c in counts])
    for c in counts:
        for what in c.damage:
            errors.print(f"{c.name}: {what}", style="red")
    if any(c.damage for c in counts):
        raise typer.Exit(1)


@app.command()
def fuzz(
    cases: Annotated[int, typer.Option(min=1, help="Cases in all.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all cases.")] = 0,
    kind: Annotated[
        str | None, typer.Option(help="Only this kind, or corpus; all if omitted.")
    ] = None,
    case: Annotated[
        int | None, typer.Option(min=0, help="Only the case of this number, of --kind.")
    ] = None,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Run --case here, without limits, to debug.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, max=2, help="Cases at a time.")] = 1,
    keep: Annotated[
        Path | None, typer.Option(help="Folder for the inputs of failed cases.")
    ] = None,
    json_file: Json = None,
    quick: Quick = False,
) -> None:
    """Malformed input for every reader and writer; fails unless it is refused by name or handled.

    Examples
    --------
    python -m benchmarks fuzz --cases 10000 --seed 1

    python -m benchmarks fuzz --seed 1 --kind zarr --case 17 --in-process
    """
    from benchmarks.fuzz.command import Options, run_fuzz

    options = Options(200 if quick else cases, seed, kind, case, in_process, jobs, keep, json_file)
    try:
        passed = run_fuzz(options, _console())
    except KeyError as error:
        raise typer.BadParameter(str(error.args[0])) from error
    if not passed:
        raise typer.Exit(1)


@app.command()
def transfer(
    tissue: Annotated[
        list[str] | None, typer.Option(help="Data set by name; all where none is given.")
    ] = None,
    part: Annotated[
        str, typer.Option(help="Holes to fill: development, or test, which are scored once.")
    ] = "development",
    start: Annotated[
        list[str] | None,
        typer.Option(help="What training starts from, beside 60 neighbours; none and gest-base."),
    ] = None,
    budget: Annotated[
        list[float] | None,
        typer.Option(help="Seconds of processor time; 0 until done. 30, 60 and 180."),
    ] = None,
    cells: Annotated[
        list[int] | None, typer.Option(help="Cells around the middle; 0 for all. 10,000.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds of holes and training, with commas.")] = "0",
    rows: Rows = None,
    json_file: Json = None,
    markdown: Markdown = None,
    quick: Quick = False,
) -> None:
    """A base against training from scratch at equal time, on tissue that it has not seen.

    Rows that are in --json already are not computed again, so a run that was cut off goes on.

    Examples
    --------
    python -m benchmarks transfer --tissue mop --budget 60 --json rows.json

    python -m benchmarks transfer --part test --json test.json --markdown docs/results/transfer.md
    """
    from benchmarks.transfer.report import read_rows, tables
    from benchmarks.transfer.run import Plan, run_transfer

    if rows:
        _show_tables(tables([row for path in rows for row in read_rows(path)]), markdown)
        return
    plan = Plan(
        tuple(tissue or ()),
        part,
        tuple(start or ("none", "gest-base")),
        tuple(budget or (30.0, 60.0, 180.0)),
        tuple(cells or (10_000,)),
        tuple(int(seed) for seed in seeds.split(",")),
        quick,
    )
    known = read_rows(json_file) if json_file is not None and json_file.exists() else []

    def keep(found: Sequence[Any]) -> None:
        _write_json(json_file, [asdict(row) for row in found])

    try:
        found = run_transfer(plan, known, keep, _console())
    except KeyError as error:
        raise typer.BadParameter(f"there is no tissue {error}") from error
    _show_tables(tables(found), markdown)


@app.command()
def pretraining(json_file: Json = None, markdown: Markdown = None, quick: Quick = False) -> None:
    """What matters in pretraining: data, size, how often a panel is drawn.

    Rows that are in --json already are not computed again, so a run that was cut off goes on.
    """
    from benchmarks.transfer.pretraining import (
        N_STEPS,
        read_rows,
        run_pretraining,
        table,
    )

    known = read_rows(json_file) if json_file is not None and json_file.exists() else []
    found = run_pretraining(
        known,
        lambda rows: _write_json(json_file, [asdict(row) for row in rows]),
        _console(),
        n_steps=4 if quick else N_STEPS,
        quick=quick,
    )
    _show_tables([table(found)], markdown)


@app.command()
def card(
    page: Annotated[
        Path | None, typer.Option(help="The page; docs/benchmarks.md if omitted.")
    ] = None,
    json_file: Json = None,
    quick: Quick = False,
) -> None:
    """Write docs/benchmarks.md and its figures from stored results; check what the docs quote.

    Nothing is measured (`card-run` does that). It fails where a figure of the README or of a
    summary is not the one that is stored. With --quick nothing is written.
    """
    from benchmarks.card import render
    from benchmarks.card.check import problems
    from benchmarks.card.store import Store

    if not quick:
        page = page or render.PAGE
        figures = render.FIGURES if page == render.PAGE else page.parent / "images"
        render.write(Store(), page, figures)
    found = problems()
    for line in found:
        _console().print(line, style="red")
    _write_json(json_file, found)
    if found:
        raise typer.Exit(1)


@app.command("card-run")
def card_run(
    budget: Annotated[
        float, typer.Option(min=0.0, help="Minutes; a row begins where its time is left.")
    ] = 10.0,
    only: Annotated[
        list[str] | None, typer.Option(help="Rows whose name contains this; repeatable.")
    ] = None,
    part: Annotated[
        str | None, typer.Option(help="development or test; both where none is given.")
    ] = None,
    tests_again: Annotated[
        bool,
        typer.Option("--tests-again", help="Score stale test sections again: a finished form."),
    ] = False,
    replay: Annotated[
        Path | None,
        typer.Option(help="Measure nothing new: compare with the code of this checkout."),
    ] = None,
    json_file: Json = None,
    quick: Quick = False,
) -> None:
    """Measure rows of the card that are missing or stale, most wanted first.

    Each row and seed is written to docs/results/card when it is done, so a run that was cut off
    goes on. What went wrong in a row is its result; the others run. Test sections that have scores
    are left alone, however stale, unless --tests-again is given. Only one such run at a time: two
    would measure the same rows.

    --replay CHECKOUT: of each set of modules that changed, one row is measured with the code of the
    checkout and with the present one. Where both give the same figures to the last bit, stored
    results stay valid.

    Examples
    --------
    python -m benchmarks card-run --budget 30

    python -m benchmarks card-run --budget 5 --only table4-molcart --part development
    """
    from benchmarks.card.rows import DATA, QUICK, queue
    from benchmarks.card.run import run_card
    from benchmarks.card.store import Store

    store, units = Store(), queue()
    if quick:
        from benchmarks.common.split_run import quick_split
        from benchmarks.common.training import RUNS

        quick_split()
        store, units, budget = Store(RUNS / "quick" / "card"), [(QUICK, 0)], 1e3
        store.path(QUICK, 0).unlink(missing_ok=True)  # of an earlier time
    if only:
        units = [u for u in units if any(word in u[0].id for word in only)]
    if part:
        units = [u for u in units if DATA[u[0].data].part == part]
    if replay is not None:
        from benchmarks.card.replay import replay as compare

        valid = compare(store, replay.absolute(), _console().print, units=units)
        _console().print(f"{valid} results stay valid")
        return
    if not units:
        raise typer.BadParameter("no row has such a name")
    errors = Console(stderr=True)
    run_card(
        store,
        budget,
        lambda what: errors.print(what, style="dim"),
        units=units,
        tests_again=tests_again,
    )
    found = [result for row, seed in units if (result := store.read(row, seed)) is not None]
    _write_json(json_file, [asdict(result) for result in found])


def _show_tables(made: Sequence[Any], markdown: Path | None, *first: Any) -> None:
    """Print tables and write them to a file, in the file after tables for the file alone."""
    console = _console()
    for table in made:
        table.show(console)
    if markdown:
        parts = [part if isinstance(part, str) else part.markdown() for part in [*first, *made]]
        write_text(markdown, "\n".join(parts), TEXT, overwrite=True, parents=True)


def _console() -> Console:
    """Return a console that does not cut tables short in a log file."""
    return Console(width=None if Console().is_terminal else 220)


def _show(title: str, figures: list[Figure], json_file: Path | None) -> None:
    """Print figures with their bars; a bar that is missed is printed like one that is met."""
    table = Table(title=title, title_justify="left")
    for heading in ("what", "figure", "bar", ""):
        table.add_column(heading)
    for f in figures:
        table.add_row(f.what, f.value, f.bar, {True: "met", False: "missed", None: ""}[f.met])
    _console().print(table)
    _write_json(json_file, [asdict(f) for f in figures], lambda v: v.item())


def _write_json(
    path: Path | None, record: object, default: Callable[[Any], object] | None = None
) -> None:
    """Write every number to a file, if one is given; an earlier one is replaced."""
    if path:
        text = json.dumps(record, indent=1, default=default)
        write_text(path, text, JSON, overwrite=True, parents=True)


if __name__ == "__main__":
    app(prog_name="python -m benchmarks")
