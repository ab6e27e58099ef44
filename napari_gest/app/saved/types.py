"""The types that saved results consist of; nothing else is ever made of a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import shapely

from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import Snapshot
from napari_gest.app.regions import Shape, Stroke
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.runs.check import CheckOutcome, CheckRun
from napari_gest.app.runs.check_map import CheckMapOutcome, CheckMapRun
from napari_gest.app.runs.effect import Effect, NotKept
from napari_gest.app.runs.generation import GenerationRun
from napari_gest.app.runs.generation_outcome import GenerationOutcome
from napari_gest.app.runs.labels import Labelled, LabelRun, NamedRegion
from napari_gest.app.runs.niche_outcome import NicheEdit, NicheOutcome
from napari_gest.app.runs.niches import NicheRun, NicheSearch
from napari_gest.app.runs.perturbation import PerturbationRun
from napari_gest.app.saved.checking import check
from napari_gest.app.saved.stored_model import StoredModel
from napari_gest.app.state import Label
from napari_gest.tasks.generation.cell_types import NamedTypes
from napari_gest.tasks.generation.check_map_report import CheckMap
from napari_gest.tasks.generation.check_report import Check
from napari_gest.tasks.generation.generated import Agreement, Draw, Generated
from napari_gest.tasks.labels.annotate import Annotated, LabelAgreement
from napari_gest.tasks.niches.embed import Embedded
from napari_gest.tasks.niches.generated_niches import GeneratedNiches
from napari_gest.tasks.niches.niche_tree import NicheTree
from napari_gest.tasks.niches.niches import Clustered
from napari_gest.tasks.perturbation.counterfactual import Edited
from napari_gest.tasks.perturbation.perturb import Perturbed
from napari_gest.tasks.perturbation.significance import Significance
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.roi import Roi

Value = Callable[[Any], Any]

TYPES: dict[str, type] = {
    one.__name__: one
    for one in (
        Agreement, Annotated, Check, CheckMap, CheckMapOutcome, CheckMapRun, CheckOutcome, CheckRun,
        Clustered, Draw, Edit, Edited, Embedded, Generated, GeneratedNiches,
        GenerationRun, Label, LabelAgreement, LabelRun, Labelled, ModelInfo, NamedRegion,
        NamedTypes, NicheEdit, NicheOutcome, NicheRun, NicheSearch, NicheTree, PerturbationRun,
        RunEntry, Shape, Snapshot, Stroke,
    )
}  # fmt: skip


LEFT_OUT = {"NicheRun": ("embedded",)}  # fields that only save time
FORMER_FIELDS = {"Agreement": {"floor": "neighbours"}}  # as sessions of before name them


@dataclass(frozen=True)
class NamedType:
    """A type that is stored in a way of its own."""

    pack: Callable[[Any, Value], dict[str, Any]]
    unpack: Callable[[dict[str, Any], Value], Any]


def _roi(roi: Roi, _: Value) -> dict[str, Any]:
    return {"wkb": shapely.to_wkb(roi.geometry, hex=True)}


def _unpacked_roi(packed: dict[str, Any], _: Value) -> Roi:
    geometry = shapely.from_wkb(bytes.fromhex(packed["wkb"]))
    if not isinstance(geometry, shapely.Polygon | shapely.MultiPolygon):
        raise TypeError(f"a region is a {type(geometry).__name__}")
    return Roi(geometry)


@dataclass(frozen=True, eq=False)
class _Generation:
    """What of a ``GenerationOutcome`` is known before its run."""

    result: Generated
    agreement: Agreement | None
    further: tuple[Draw, ...]


def _generation(outcome: GenerationOutcome, value: Value) -> dict[str, Any]:
    return {
        "result": value(outcome.result),
        "agreement": value(outcome.agreement),
        "further": value(outcome.further),
    }


def _unpacked_generation(packed: dict[str, Any], value: Value) -> _Generation:
    # In the order in which they were packed: what is met twice is written where it is met first.
    result, agreement = value(packed["result"]), value(packed["agreement"])
    made = _Generation(result, agreement, value(packed["further"]) if "further" in packed else ())
    check(made)
    return made


def _entry(entry: RunEntry, value: Value) -> dict[str, Any]:
    """Pack the run first: the outcome of a generation is made with it."""
    names = ("id", "name", "run", "outcome", "finished", "seconds", "partial", "discarded")
    return {"fields": [[name, value(getattr(entry, name))] for name in names]}


def _unpacked_entry(packed: dict[str, Any], value: Value) -> RunEntry:
    found: dict[str, Any] = {}
    for name, one in packed["fields"]:
        if name == "outcome" and isinstance(one, dict) and one.get("type") == "GenerationOutcome":
            held = _unpacked_generation(one, value)
            outcome = found["run"].outcome(held.result, held.agreement)
            found[name] = outcome.with_draws(held.further) if held.further else outcome
        else:
            found[name] = value(one)
    made = RunEntry(**found)
    check(made)
    return made


def _effect(effect: Effect, value: Value) -> dict[str, Any]:
    result = effect.result
    request = result.request
    tested = effect.tested
    return {
        "run": value(effect.run),
        "model": value({"name": request.model.name, "digest": request.model.digest}),
        "n_changed_tokens": result.n_changed_tokens,
        "settings": value(
            {
                "reach_um": request.reach_um,
                "bands_um": request.bands_um,
                "frontier": request.frontier,
                "passes": request.passes,
            }
        ),
        "edited": value(result.edited),
        "control": value(result.control),
        "perturbed": value(result.perturbed),
        "tested": None if tested is None else value({"table": tested.table,
                                                     "settings": tested.settings}),
        "doses": value(effect.doses),
    }  # fmt: skip


def _unpacked_effect(packed: dict[str, Any], value: Value) -> Effect:
    run: PerturbationRun = value(packed["run"])
    model: Any = StoredModel(run.model, **value(packed["model"]))
    request = run.request(model, **value(packed["settings"]))
    # What predicted is not stored: it is made again when a test or a dose response asks for it.
    result = Perturbed(
        request, NotKept(), value(packed["edited"]), value(packed["control"]),
        value(packed["perturbed"]),
    )  # fmt: skip
    result.__dict__["n_changed_tokens"] = int(packed["n_changed_tokens"])  # needs the model
    tested = None
    if packed["tested"] is not None:
        held = value(packed["tested"])
        tested = Significance(result, held["table"], held["settings"])
    made = Effect(run, result, tested, value(packed["doses"]))
    check(made)
    check(result)
    return made


def _labelled(labelled: Labelled, value: Value) -> dict[str, Any]:
    """Pack all but the model with its label layer: that is saved where the user asks for it."""
    return {
        "run": value(labelled.run),
        "colors": value(dict(labelled.run.colors)),
        "annotated": value(labelled.annotated),
        "agreement": value(labelled.agreement),
    }


def _unpacked_labelled(packed: dict[str, Any], value: Value) -> Labelled:
    run = value(packed["run"])
    # The column that they are from may be written only by another run of the session.
    run.__dict__["colors"] = value(packed["colors"])
    made = Labelled(run, None, value(packed["annotated"]), value(packed["agreement"]))
    check(made)
    return made


NAMED_TYPES: dict[str, NamedType] = {
    "Labelled": NamedType(_labelled, _unpacked_labelled),
    "Roi": NamedType(_roi, _unpacked_roi),
    "GenerationOutcome": NamedType(_generation, _unpacked_generation),
    "RunEntry": NamedType(_entry, _unpacked_entry),
    "Effect": NamedType(_effect, _unpacked_effect),
}
