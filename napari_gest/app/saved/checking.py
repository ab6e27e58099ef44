"""Checks what was read of a saved result: each part is of its type, and the parts fit."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd

from napari_gest.app.opened import Opened
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.check import CheckOutcome, CheckRun
from napari_gest.app.runs.check_map import CheckMapOutcome, CheckMapRun
from napari_gest.app.runs.effect import Effect
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.app.runs.generation_outcome import GenerationOutcome
from napari_gest.app.runs.labels import Labelled, LabelRun
from napari_gest.app.runs.niche_outcome import NicheOutcome
from napari_gest.app.runs.niches import NicheRun
from napari_gest.app.runs.perturbation import PerturbationRun
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.cell_types import NamedTypes
from napari_gest.tasks.generation.check_map_report import COLUMNS as MAP_COLUMNS
from napari_gest.tasks.generation.check_map_report import CheckMap
from napari_gest.tasks.generation.check_report import COLUMNS, Check
from napari_gest.tasks.generation.generated import Agreement, Draw, Generated
from napari_gest.tasks.labels.annotate import Annotated, LabelAgreement
from napari_gest.tasks.niches.embed import Embedded
from napari_gest.tasks.niches.generated_niches import GeneratedNiches
from napari_gest.tasks.niches.niche_tree import NicheTree
from napari_gest.tasks.niches.niches import Clustered
from napari_gest.tasks.perturbation.perturb import Perturbed
from napari_gest.tasks.perturbation.significance import Significance
from napari_gest.tissue.section import Section

# What annotations name that their modules import only for type checkers.
_NAMES: dict[str, Any] = {
    one.__name__: one
    for one in (
        Agreement, Annotated, Clustered, Draw, Embedded, GeST, Generated, GeneratedNiches,
        GenerationRun,
        LabelAgreement, NamedTypes, NicheTree, Opened, Perturbed, PerturbationRun, Section,
        Significance,
    )
} | {"DataFrame": pd.DataFrame}  # fmt: skip

# Shapes of arrays: a letter is one length throughout; those of ``_lengths`` are known before.
_SHAPES: dict[str, dict[str, str]] = {
    "Annotated": {"rows": "N", "labels": "N", "probability": "N C"},
    "CheckMap": {"tile": "t"},
    "Clustered": {"labels": "N", "probability": "N C", "stability": "C"},
    "Draw": {"expression": "n G", "meta_cell": "n", "donor": "n"},
    "Edited": {"cells": "m", "before": "m G", "after": "m G", "removed": "r"},
    "Embedded": {"rows": "N", "embedding": "N D", "covariance": "2 D D"},
    "Generated": {
        "rows": "n", "index": "u", "coords_um": "n 2", "expression": "n G", "sd": "n G",
        "entropy": "n", "meta_cell": "n", "depth_um": "n", "donor": "n", "expected": "n G",
        "candidates": "n k",
    },
    "GeneratedNiches": {"alike": "n k"},
    "GenerationRun": {"unseen": "N"},
    "NamedTypes": {"probability": "n C", "code": "n"},
    "NicheTree": {"probability": "N L", "merges": "l 2"},
    "Perturbed": {"control": "s G", "perturbed": "s G"},
}  # fmt: skip
_OUTCOMES = {
    CheckRun: CheckOutcome,
    CheckMapRun: CheckMapOutcome,
    GenerationRun: GenerationOutcome,
    LabelRun: Labelled,
    NicheRun: NicheOutcome,
    PerturbationRun: Effect,
}


def check(made: Any) -> None:
    """Raise unless the fields of an object are of their types, and its arrays fit each other.

    Raises
    ------
    ValueError
        If one is not.
    """
    kind = type(made)
    if not is_dataclass(kind):
        return
    hints = _hints(kind)
    for field in fields(kind):
        name, hint = field.name, hints[field.name]
        if field.init and name[0] != "_" and not _fits(getattr(made, name), hint):
            raise ValueError(f"{name} of {kind.__name__} is no {_shown(hint)}")
    lengths = _lengths(made)
    for name, wanted in _SHAPES.get(kind.__name__, {}).items():
        array = getattr(made, name)
        if array is not None:
            _check_shape(f"{name} of {kind.__name__}", array.shape, wanted.split(), lengths)
    _check_indices(made)


def check_entry(entry: Any, run_id: str) -> None:
    """Raise unless something is the run of an id, and what came of it belongs to it.

    Raises
    ------
    ValueError
        If it is not.
    """
    if not isinstance(entry, RunEntry) or entry.id != run_id:
        raise ValueError(f"it is not {run_id}")
    run: Any = entry.run
    outcome: Any = entry.outcome
    if _OUTCOMES.get(type(run)) is not type(outcome):
        raise ValueError("its outcome is of another kind")
    if isinstance(outcome, NicheOutcome):
        _check_niches(outcome, run)
    elif getattr(outcome, "run", None) is not run:
        raise ValueError("its outcome is of another run")
    if isinstance(outcome, GenerationOutcome):
        same = outcome.result.section is run.snapshot.section
        for draw in outcome.further:
            _check_draw(draw, outcome.result)
    elif isinstance(outcome, CheckMapOutcome):
        same = len(outcome.report.tile) == run.snapshot.section.n_obs
    elif isinstance(outcome, Labelled):
        same = outcome.annotated.section is run.target.section
    else:
        same = True
    if not same:
        raise ValueError("its outcome is of another section")


def _check_niches(outcome: NicheOutcome, run: NicheRun) -> None:
    search = outcome.search
    sections = tuple(one.section for one in run.opened)
    every = [edit.niches for edits in outcome.edits.values() for edit in edits]
    every += [] if outcome.kept_niches is None else [outcome.kept_niches]
    parts = [search.tree.sections, tuple(e.section for e in search.embedded)]
    parts += [niches.sections for niches in every]
    if search.run is not run or any(_other(part, sections) for part in parts):
        raise ValueError("its niches are of other sections")
    if outcome.asked not in outcome.edits or not all(outcome.edits.values()):
        raise ValueError("niches that are shown are not there")
    n = sum(section.n_obs for section in sections)
    for one in search.generated:
        if one.generated.section not in sections:
            raise ValueError("generated cells are of other sections")
        _check_range("alike", one.alike, n)


def _other(some: tuple[Section, ...], others: tuple[Section, ...]) -> bool:
    return len(some) != len(others) or any(a is not b for a, b in zip(some, others, strict=True))


def _lengths(made: Any) -> dict[str, int]:
    """Return the lengths that are known before any array is looked at."""
    lengths = {"2": 2}
    section = getattr(getattr(made, "snapshot", None), "section", None)
    sections = getattr(made, "sections", None) or (getattr(made, "section", section),)
    known = [one for one in sections if isinstance(one, Section)]
    if len(known) == len(sections):
        lengths["N"] = sum(one.n_obs for one in known)
    for letter, name in (("G", "genes"), ("C", "names"), ("C", "classes")):
        if isinstance(getattr(made, name, None), tuple):
            lengths[letter] = len(getattr(made, name))
    if isinstance(made, GeneratedNiches):
        lengths["n"] = len(made.generated.rows)
    if isinstance(made, NicheTree) and made.probability.ndim == 2:
        lengths["l"] = made.probability.shape[1] - 1
    if isinstance(made, Perturbed):
        lengths |= {"G": len(made.request.model.genes), "s": len(made.request.index)}
    return lengths


def _check_shape(
    name: str, shape: tuple[int, ...], wanted: list[str], lengths: dict[str, int]
) -> None:
    fits = len(shape) == len(wanted)
    if not fits or any(lengths.setdefault(k, n) != n for k, n in zip(wanted, shape, strict=True)):
        raise ValueError(f"{name} has the shape {shape}")


def _check_indices(made: Any) -> None:
    """Raise unless what counts cells or names of something stays within it."""
    if isinstance(made, Generated):
        section, n_old = made.section, len(made.index)
        _check_range("index", made.index, section.n_obs)
        if not (np.diff(made.index) > 0).all():
            raise ValueError("index of Generated is not ascending")
        if not np.array_equal(made.rows[:n_old], section.rows[made.index]):
            raise ValueError("rows of Generated are of other cells")
        if not (made.rows[n_old:] == -1).all():
            raise ValueError("rows of Generated name cells that are new")
        draws: tuple[Any, ...] = (made, *made.further)
        for one in draws:
            _check_draw(one, made)
        if made.candidates is not None:
            _check_range("candidates", made.candidates, section.n_obs)
        if made.types is not None and len(made.types.code) != len(made.rows):
            raise ValueError("types are of other cells")
    elif isinstance(made, Check | CheckMap):
        _check_columns(made)
    elif isinstance(made, NamedTypes):
        _check_range("code", made.code, len(made.names))
    elif isinstance(made, Annotated):
        _check_range("labels", made.labels, len(made.classes))
        _check_rows(made.rows, made.section)
    elif isinstance(made, Clustered):
        _check_range("labels", made.labels, made.n_niches)
        if len(made.colors) != len(made.names):
            raise ValueError("colors of Clustered are more or fewer than its names")
    elif isinstance(made, Embedded):
        _check_rows(made.rows, made.section)
    elif isinstance(made, NicheTree):
        _check_range("merges", made.merges, made.probability.shape[1])
    elif isinstance(made, Perturbed):
        for cells in (made.edited.cells, made.edited.removed):
            _check_range("edited cells", cells, made.request.section.n_obs)


def _check_draw(draw: Any, of: Generated) -> None:
    if draw.donor is not None:
        _check_range("donor", draw.donor, of.section.n_obs)
    if draw.expression.shape != of.expression.shape:
        raise ValueError("further draws are of other cells")


def _check_columns(made: Check | CheckMap) -> None:
    columns = (*COLUMNS, "claim") if isinstance(made, Check) else MAP_COLUMNS
    if tuple(made.table.columns) != columns:
        raise ValueError(f"the table of a {type(made).__name__} has other columns")
    kinds = {made.table[name].dtype.kind for name in columns}
    truth = "claim" if isinstance(made, Check) else "trained"
    if not kinds <= set("bif") or made.table[truth].dtype != bool:
        raise ValueError(f"the table of a {type(made).__name__} holds no numbers")
    if isinstance(made, CheckMap):
        if len(made.tile) and not -1 <= made.tile.min() <= made.tile.max() < len(made.table):
            raise ValueError("tiles are not those of the table")
    elif not all(isinstance(gene, str) for gene in made.table.index):
        raise ValueError("genes of a Check are no names")


def _check_rows(rows: Any, section: Section) -> None:
    if not np.array_equal(rows, section.rows):
        raise ValueError("rows are of other cells")


def _check_range(name: str, values: Any, n: int) -> None:
    if len(values) and not 0 <= values.min() <= values.max() < n:
        raise ValueError(f"{name} is not within 0 to {n - 1}")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, vars(sys.modules[kind.__module__]), dict(_NAMES))


def _fits(value: Any, hint: Any) -> bool:
    """Tell whether a value is of the type that an annotation names."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in args)
    if origin is Literal:
        return isinstance(value, str) and value in args
    if origin is np.ndarray:
        (scalar,) = get_args(args[1])
        return isinstance(value, np.ndarray) and np.issubdtype(value.dtype, scalar)
    if origin is tuple:
        return isinstance(value, tuple) and _each_fits(value, args)
    if origin is list:
        return isinstance(value, list) and all(_fits(one, args[0]) for one in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        pairs = value.items() if isinstance(value, Mapping) else ()
        same = isinstance(value, Mapping)
        return same and all(_fits(k, args[0]) and _fits(v, args[1]) for k, v in pairs)
    if hint in (int, float):
        number = isinstance(value, int) or (hint is float and isinstance(value, float))
        return number and not isinstance(value, bool)
    if getattr(hint, "_is_protocol", False):
        return True
    return isinstance(value, hint) if isinstance(hint, type) else value is hint


def _each_fits(value: tuple[Any, ...], args: tuple[Any, ...]) -> bool:
    if len(args) == 2 and args[1] is Ellipsis:
        return all(_fits(one, args[0]) for one in value)
    return len(value) == len(args) and all(map(_fits, value, args))


def _shown(hint: Any) -> str:
    return getattr(hint, "__name__", None) or str(hint)
