"""Scenario folders: read, turned into a request, run, written and read back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from benchmarks.fuzz import blind, jsons
from benchmarks.fuzz.case import Room, Work, WrongError
from benchmarks.fuzz.kinds.geojson import SHAPES
from napari_gest.tasks.perturbation.scenario import Scenario, read_scenarios, write_scenarios
from napari_gest.tasks.progress import finish


def prepare(room: Room) -> Work:
    several = room.chance(0.2)
    folder = room.inputs / "scenario"
    shutil.copytree(room.base.folder / ("scenarios" if several else "scenario"), folder)
    one = folder / "two" if several else folder
    draw = room.rng.random()
    if draw < 0.5:
        path = one / "scenario.json"
        path.write_bytes(jsons.damage(room, json.loads(path.read_text())))
    elif draw < 0.65:
        shape = room.pick(SHAPES)
        room.note(shape.__name__)
        (one / "roi.geojson").write_text(json.dumps(shape(room)), encoding="utf-8")
    elif draw < 0.85:
        blind.damage(room, room.pick(sorted(p for p in folder.rglob("*") if p.is_file())))
    else:
        blind.disorder(room, folder)
    return lambda: work(room, folder)


def work(room: Room, folder: Path) -> None:
    """Read scenarios, run the first, write all and read them back."""
    room.names += ["region", "outline", "gene", "operation", "log2fc", "value"]
    scenarios = read_scenarios(folder)
    base = room.base
    room.names += ["edit", "region", "section", "cell", "strength", "reach_um", "bands", "readout"]
    room.names += ["frontier", "passes", "seed", "input"]
    request = scenarios[0].request(base.adata, base.sections[0], base.model)
    request.check()
    table = None
    if room.chance(0.5):
        perturbed = finish(request.run(), None)
        table = perturbed.effects()
        numbers = table.select_dtypes("number").to_numpy()
        if not (np.isfinite(numbers).all() and np.isfinite(perturbed.effect).all()):
            raise WrongError("an effect that is not finite")
    if len(scenarios) == 1:
        out = scenarios[0].write(room.out / "again", table)
    else:
        out = write_scenarios([(one, table) for one in scenarios], room.out / "again")
    again = read_scenarios(out)
    for one, other in zip(sorted(scenarios, key=_name), sorted(again, key=_name), strict=True):
        if one.settings != other.settings or one.edits != other.edits:
            raise WrongError("the scenario read back is another one")
        if not one.roi.geometry.normalize().equals(other.roi.geometry.normalize()):
            raise WrongError("the region read back is another one")


def _name(scenario: Scenario) -> str:
    return scenario.settings.name
