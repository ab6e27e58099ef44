"""``python -m benchmarks niches`` and ``annotation``: data sets, models and tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.common.datasets import data_dir
from benchmarks.common.table import Table
from benchmarks.labels import annotation
from benchmarks.labels.labelled import REAL, Labelled, from_file, real, simulated_cells
from benchmarks.niches import clustering
from benchmarks.niches.report_tables import read_rows, tables
from benchmarks.niches.scored import Method
from napari_gest.files import JSON, write_text
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.tasks.training.train import TrainConfig

_SMALL = ModelConfig(n_layers=1, n_heads=2, d_model=16, n_meta_cells=32, n_pcs=15, window_cells=64)
_LABELLED = " labelled"  # ends the name of a set with another number of labelled sections
_SHORT = TrainConfig(n_steps=10, batch_windows=2, targets=32, validate_every=10)


@dataclass(frozen=True)
class Options:
    """Options of the commands.

    Attributes
    ----------
    datasets
        Real sets by name; all if empty.
    file, label_key
        Another file to score instead, and its column of labels.
    reading
        How its sections are read.
    model
        A model to use; by default one is fitted, without labels, to each set.
    seeds
        Each is one run from the fit to the niches.
    fine_tuning_seeds
        Seeds for which a bundled model is fine-tuned too.
    training_seed
        Seed of the fit, for annotation.
    n_labelled
        Numbers of labelled sections, for annotation; a set's own where none is given.
    rivals
        JSON of rows that ``python -m benchmarks rivals`` wrote; rows of these sets join the table.
    only
        Methods to run, by name; all if empty.
    rows
        JSON of earlier runs to tabulate; nothing is run.
    json_file
        GeST's and the simple rivals' rows are written here as they come, so that an interrupted
        run is not lost.
    quick
        A simulated set and a small model, which only show that everything runs.
    """

    datasets: tuple[str, ...] = ()
    file: Path | None = None
    label_key: str = "region"
    reading: dict[str, Any] | None = None
    model: str | None = None
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    fine_tuning_seeds: tuple[int, ...] = (0,)
    training_seed: int = 0
    n_labelled: tuple[int, ...] = ()
    rivals: Path | None = None
    only: tuple[str, ...] = ()
    rows: tuple[Path, ...] = ()
    json_file: Path | None = None
    quick: bool = False


def run_niches(options: Options, console: Console) -> tuple[list[clustering.Row], list[Table]]:
    """Return the rows of the niche benchmark and their tables."""
    rows, say = [r for path in options.rows for r in read_rows(path, clustering.Row)], _say(console)
    for labelled in _sets(options, console):
        for seed in options.seeds:
            for row in clustering.score_set(labelled, seed, _chosen(options, labelled, seed), say):
                rows.append(row)
                _keep(rows, options)
    if options.rivals and rows:
        rows += read_rows(options.rivals, clustering.Row, "ami", _names(rows))
    return rows, tables(rows, clustering.SCORES, "Niches") if rows else []


def run_annotation(options: Options, console: Console) -> tuple[list[annotation.Row], list[Table]]:
    """Return the rows of the annotation benchmark and their tables."""
    rows = [r for path in options.rows for r in read_rows(path, annotation.Row)]
    for labelled in _sets(options, console):
        for n_labelled in options.n_labelled or (None,):
            named = labelled
            if n_labelled is not None:
                named = replace(labelled, name=f"{labelled.name}, {n_labelled}{_LABELLED}")
            for train, test in labelled.splits(n_labelled):
                # The model sees only the training sections.
                model, seconds = _annotator(options, labelled, train)
                methods = annotation.methods(model)
                chosen = [m for m in methods if not options.only or m.name in options.only]
                for row in annotation.score_split(
                    named, train, test, options.seeds[:1], chosen, seconds, _say(console)
                ):
                    rows.append(row)
                    _keep(rows, options)
    if options.rivals and rows:
        rows += read_rows(options.rivals, annotation.Row, "macro_f1", _names(rows))
    if not rows:
        return rows, []
    made = tables(rows, annotation.SCORES, "Annotation")
    ours = [r for r in rows if r.method == "GeST" and r.confusion]
    ours = [r for r in ours if not r.dataset.endswith(_LABELLED)]  # one of each set is enough
    return rows, made + [_confusion(r) for r in ours]


def _chosen(options: Options, labelled: Labelled, seed: int) -> list[Method]:
    """Return the methods of one run over the niches of a set, their models fitted."""
    only = set(options.only)
    pretrained = {*clustering.FINE_TUNED, *clustering.ZERO_SHOT, *clustering.BASE_TUNED}

    def wanted(names: Iterable[str]) -> bool:
        return not only or bool(only & set(names))

    made: list[Method] = []
    if not only or only - pretrained:
        if options.model is None and only and not only & clustering.READ_NETWORK:
            made += clustering.methods(clustering.vocabulary_model(labelled.sections, seed))
        else:
            made += clustering.methods(*_model(options, labelled, seed, None))
    if options.model is None and seed in options.fine_tuning_seeds:
        training = _SHORT if options.quick else clustering.TRAINING
        for start, reads in (
            (clustering.START, clustering.FINE_TUNED),
            (clustering.BASE, clustering.BASE_TUNED),
        ):
            if wanted(reads):
                fitted = clustering.model_for(labelled, seed, training=training, start=start)
                made += clustering.read_methods(reads, *fitted)
    if options.model is None and wanted(clustering.ZERO_SHOT):
        model = clustering.zero_shot(labelled, seed)
        made += clustering.read_methods(clustering.ZERO_SHOT, model)
    return [m for m in made if not only or m.name in only]


def _keep(rows: Sequence[Any], options: Options) -> None:
    """Write the rows so far as JSON."""
    if options.json_file is not None:
        text = json.dumps([asdict(r) for r in rows], indent=1, default=float)
        write_text(options.json_file, text + "\n", JSON, overwrite=True, parents=True)


def _sets(options: Options, console: Console) -> list[Labelled]:
    if options.rows:
        return []
    if options.quick:
        return [simulated_cells(0)]
    if options.file is not None:
        return [from_file(options.file, options.label_key, **(options.reading or {}))]
    found = []
    for name in options.datasets or REAL:
        if (data_dir() / REAL[name][0]).exists():
            found.append(real(name))
        else:
            console.print(
                f"skipped {name}: {REAL[name][0]} absent; point GEST_DATA at the folder of the"
                " data sets",
                style="yellow",
            )
    return found


def _model(
    options: Options, labelled: Labelled, seed: int, sections: Sequence[int] | None
) -> tuple[GeST, float]:
    if options.model is not None:
        return _load(options.model), 0.0
    if options.quick:
        return clustering.model_for(labelled, seed, _SMALL, _SHORT, sections)
    return clustering.model_for(labelled, seed, sections=sections)


def _annotator(options: Options, labelled: Labelled, train: Sequence[int]) -> tuple[GeST, float]:
    """Return the model of training sections; its network is trained only if a method reads it."""
    if options.model is None and options.only and annotation.HIDDEN not in options.only:
        sections = [labelled.sections[i] for i in train]
        return clustering.vocabulary_model(sections, options.training_seed), 0.0
    return _model(options, labelled, options.training_seed, train)


# One model for all seeds, so that work without a seed is done once.
_load = cache(GeST.load)


def _confusion(row: annotation.Row) -> Table:
    made = sorted({label for found in row.confusion.values() for label in found})
    return Table(
        f"Confusion of GeST: {row.dataset} {row.section}",
        ["known, down; predicted, across", *made],
        [[known, *(str(n.get(m, 0)) for m in made)] for known, n in sorted(row.confusion.items())],
        [],
    )


def _names(rows: Sequence[Any]) -> list[str]:
    return list(dict.fromkeys(r.dataset for r in rows))


def _say(console: Console) -> Callable[[str], None]:
    return lambda what: console.print(what, style="dim", highlight=False)
