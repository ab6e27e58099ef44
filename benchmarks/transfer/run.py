"""A base against training from scratch, at equal time, on tissue that the base has not seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from rich.console import Console

from benchmarks.common.datasets import Loaded, Source, Split, load
from benchmarks.common.metrics import accuracy
from benchmarks.common.training import RUNS
from benchmarks.generation.baselines import KnnMean, predict_case
from benchmarks.generation.command import fill
from benchmarks.transfer.cases import TISSUES
from napari_gest.errors import InputError
from napari_gest.files import make_folder
from napari_gest.model.gest import GeST
from napari_gest.tasks.progress import finish
from napari_gest.tasks.training.budget import Budget
from napari_gest.tasks.training.start import start_of
from napari_gest.tasks.training.train import FitRequest, configs_for
from napari_gest.tissue.io import write_tissue
from napari_gest.tissue.simulate import simulate

MEASURES = ("rmse_z_svg", "spearman_gene_svg", "rmse")
LOCAL = "60 neighbours"
LONG = 1e6  # seconds: until done


@dataclass(frozen=True)
class Key:
    """What a row is of; a row that is there is not computed again.

    Attributes
    ----------
    tissue, part, seed, cells
        The data and its holes; ``cells`` is 0 for all.
    start
        Name or folder of what training starts from, ``"none"``, or `LOCAL` for the mean of the
        60 nearest cells.
    budget_s
        Processor time for the training; 0 until done.
    """

    tissue: str
    part: str
    seed: int
    cells: int
    start: str
    budget_s: float


@dataclass(frozen=True)
class Row:
    """A model on the holes of a data set.

    Attributes
    ----------
    key
        What it is of.
    n_cells, n_holes, n_steps
        Cells that trained it, holes that it filled, and steps it was trained for.
    cpu_s, wall_s
        Time of the training, vocabulary and calibration included.
    decoder, whole
        Means over the holes, of the decoder alone and with the section's field.
    """

    key: Key
    n_cells: int
    n_holes: int
    n_steps: int
    cpu_s: float
    wall_s: float
    decoder: dict[str, float]
    whole: dict[str, float]


def trained(loaded: Loaded, start: str, budget_s: float, seed: int) -> GeST:
    """Return a model of the cells outside the holes, in so much processor time."""
    clock = Budget(budget_s or LONG, clock=time.process_time)
    begin = start_of(start)
    request = FitRequest(
        loaded.train,
        *configs_for(loaded.train, begin),
        seed,
        start=begin,
        budget=clock if budget_s else None,
    )
    return finish(request.run()).model


def score(key: Key, loaded: Loaded) -> Row:
    """Train and fill the holes."""
    cpu, wall = time.process_time(), time.monotonic()
    model, n_steps = None, 0
    if key.start != LOCAL:
        model = trained(loaded, key.start, key.budget_s, key.seed)
        n_steps = int(model.card["curve"][-1]["step"])
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    decoder, whole = [], []
    for section in loaded.test:
        for case in loaded.test_cases(section):
            if model is None:
                both = [predict_case(KnnMean(60), case)] * 2
            else:
                filled = fill(model, section, case, loaded, mode="weighted")
                both = [filled.decoder, filled.mean]
            for made, scores in zip(both, (decoder, whole), strict=True):
                scores.append(accuracy(case.truth, made, case.svg))
    return Row(
        key,
        sum(s.n_obs for s in loaded.train),
        len(whole),
        n_steps,
        round(cpu, 1),
        round(wall, 1),
        _means(decoder),
        _means(whole),
    )


def _means(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.nanmean([s[name] for s in scores])) for name in MEASURES}


@dataclass(frozen=True)
class Plan:
    """What the command line asks for; all tissue where none is named."""

    tissues: tuple[str, ...]
    part: str
    starts: tuple[str, ...]
    budgets: tuple[float, ...]
    cells: tuple[int, ...]
    seeds: tuple[int, ...]
    quick: bool = False


def run_transfer(
    plan: Plan,
    known: Sequence[Row],
    keep: Callable[[Sequence[Row]], None],
    console: Console,
) -> list[Row]:
    """Return all rows of a plan; ``keep`` gets them after each one that was computed.

    Raises
    ------
    KeyError
        If there is no tissue of a name.
    """
    rows = {row.key: row for row in known}
    for name in plan.tissues or TISSUES:
        tissue = TISSUES[name]
        for seed, cells in product(plan.seeds, plan.cells):
            wanted = [Key(name, plan.part, seed, cells, LOCAL, 0.0)]
            wanted += [
                Key(name, plan.part, seed, cells, start, budget)
                for budget, start in product(plan.budgets, plan.starts)
            ]
            missing = [key for key in wanted if key not in rows]
            if not missing:
                continue
            try:
                loaded = _simulated(seed) if plan.quick else tissue.loaded(plan.part, seed, cells)
            except InputError as error:
                console.print(f"skipped {name}: {error}")
                continue
            for key in missing:
                console.print(f"{name}, seed {seed}: {key.start}, {key.budget_s:g} s")
                rows[key] = score(key, loaded)
                keep(list(rows.values()))
        if plan.quick:
            break
    return list(rows.values())


def _simulated(seed: int) -> Loaded:
    path = RUNS / "quick" / "transfer.h5ad"
    make_folder(path.parent)
    write_tissue(simulate(2000, 30, 1, seed), path, overwrite=True)
    return load(Split("quick", (), Source(str(path))), seed=seed, radii_um=(80.0, 120.0))
