"""One split from start to end: load, tune the baselines, train or load GeST, score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from benchmarks.common.datasets import Loaded, Source, Split, leave_one_out, load
from benchmarks.common.holes import RADII_UM
from benchmarks.common.scored_section import Group
from benchmarks.common.training import RUNS, trained
from benchmarks.generation.checked import score_checks
from benchmarks.generation.command import (
    TunedPointBaselines,
    score_ring,
    score_section,
    tune_point_baselines,
)
from benchmarks.generation.drawn import (
    TunedBaselines,
    score_ablations,
    score_distribution,
    tune_baselines,
)
from benchmarks.generation.drawn_scores import DrawnRow
from benchmarks.generation.named import NamedRow
from napari_gest.files import make_folder
from napari_gest.model.gest import GeST
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.io import write_tissue
from napari_gest.tissue.simulate import simulate

RADII_QUICK = (80.0, 120.0)
PARTS = ("points", "distribution", "check", "ablation")


@dataclass(frozen=True)
class Options:
    """Options of the command.

    Attributes
    ----------
    seeds
        Seeds of the test holes and of generation.
    training_seed
        Seed of training.
    model
        A model to score in place of a trained one.
    start
        A base or model from which training goes on; None for random weights.
    model_settings, train_settings, generate_settings
        Settings that replace the defaults.
    radii_um, buffer_um
        The holes.
    parts
        Parts that are scored: ``"points"``, the expected expression; ``"distribution"``, drawn
        cells; ``"check"``, the expectations of the check; ``"ablation"``, cells drawn without one
        part of the method.
    """

    seeds: tuple[int, ...] = (0,)
    training_seed: int = 0
    model: str | None = None
    start: str | None = None
    model_settings: dict[str, Any] = field(default_factory=dict)
    train_settings: dict[str, Any] = field(default_factory=dict)
    generate_settings: dict[str, Any] = field(default_factory=dict)
    radii_um: tuple[float, ...] = RADII_UM
    buffer_um: float = 0.0
    parts: tuple[str, ...] = PARTS

    def quick(self, radii_um: tuple[float, ...]) -> Options:
        """Return options that finish in a minute or two and only show that everything runs."""
        small = {"n_layers": 2, "n_heads": 2, "d_model": 32, "n_meta_cells": 64, "n_pcs": 15}
        short = {"n_steps": 120, "batch_windows": 4, "validate_every": 60}
        return replace(
            self,
            seeds=self.seeds[:1],
            radii_um=radii_um,
            model_settings=small | {"window_cells": 96} | self.model_settings,
            train_settings=short | self.train_settings,
        )


def quick_split() -> Split:
    """Write a small simulated tissue under ``runs`` and hold its last section out."""
    path = RUNS / "quick" / "simulated.h5ad"
    make_folder(path.parent)
    write_tissue(simulate(2400, 40, 2, seed=0), path, overwrite=True)
    source = Source(str(path))
    return leave_one_out(source, source.names()[-1:])[0]


def run_split(
    split: Split,
    options: Options,
    console: Console,
    on_seed: Callable[[list[Group]], None] = lambda _: None,
) -> list[Group]:
    """Return one `Group` per held-out section, all seeds in it.

    Parameters
    ----------
    split, options, console
        The split to score, the options, and the console for progress.
    on_seed
        Called after each seed with the groups so far.
    """
    groups: dict[str, Group] = {}
    start = Path(options.start).name if options.start and not options.model else ""
    # A model trained on the test section itself, outside its holes, has seen the ring.
    ring = not options.buffer_um and bool(split.train or options.model)
    points, distribution, checks, ablation = (part in options.parts for part in PARTS)
    tuned: TunedPointBaselines | None = None
    drawing: TunedBaselines | None = None
    with Bar(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console
    ) as bar:
        task = bar.add_task(f"{split.name}: reading", total=None)

        def step(what: str) -> None:
            bar.update(task, description=f"{split.name}: {what}", total=None)

        for seed in options.seeds:
            loaded = load(split, seed=seed, radii_um=options.radii_um, buffer_um=options.buffer_um)
            model, note = _model(split, loaded, options, _ticker(bar, task, split.name))
            # Scored in the model's own space, also for a model given by the user.
            loaded = load(
                split,
                seed=seed,
                radii_um=options.radii_um,
                buffer_um=options.buffer_um,
                genes=model.genes,
                target_sum=model.target_sum,
            )
            # Baselines are tuned once, on the first seed's validation holes, unless the training
            # cells themselves change with the seed.
            again = not split.train
            if points and (tuned is None or again):
                tuned = tune_point_baselines(loaded.validation_cases(), options.training_seed, step)
            if distribution and (drawing is None or again):
                drawing = tune_baselines(loaded, model, step)
            for section in loaded.test:
                if section.name not in groups:
                    groups[section.name] = Group(
                        [],
                        "",
                        {},
                        {},
                        note,
                        split.dataset,
                        start,
                        animal=loaded.animals.get(section.name, ""),
                    )
                group = groups[section.name]
                scored = split.name, section, loaded
                settings = options.generate_settings
                if tuned is not None:
                    group.best, group.baseline_settings = tuned.best, tuned.settings
                    group.validation = tuned.validation
                    group.rows += score_section(*scored, tuned, model, step, **settings)
                    if ring:
                        group.buffered += score_ring(*scored, tuned, model, step, **settings)
                if drawing is not None:
                    group.drawn_best, group.drawn_settings = drawing.best, drawing.settings
                    group.drawn_validation = drawing.validation
                    for row in score_distribution(*scored, drawing, model, step, **settings):
                        if isinstance(row, DrawnRow):
                            group.drawn.append(row)
                        elif isinstance(row, NamedRow):
                            group.named.append(row)
                        else:
                            group.downstream.append(row)
                if checks:
                    group.checks += score_checks(*scored, model, step, **settings)
                if ablation:
                    group.ablated += score_ablations(*scored, model, step, **settings)
            on_seed(list(groups.values()))
    return list(groups.values())


def _model(
    split: Split, loaded: Loaded, options: Options, tick: Callable[[Progress], None]
) -> tuple[GeST, str]:
    if options.model is not None:
        model = GeST.load(options.model)
        return model, f"given model '{model.name}'"
    done = trained(
        split,
        loaded,
        options.training_seed,
        tick,
        model_settings=options.model_settings,
        train_settings=options.train_settings,
        start=options.start,
    )
    return done.model, done.note


def _ticker(bar: Bar, task: Any, name: str) -> Callable[[Progress], None]:
    def tick(progress: Progress) -> None:
        eta = "" if progress.eta_s is None else f", {progress.eta_s / 60:.0f} min left"
        bar.update(
            task,
            description=f"{name}: {progress.stage}{eta}",
            completed=progress.done,
            total=progress.total,
        )

    return tick
