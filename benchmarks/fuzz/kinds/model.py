"""Model folders: loaded, generated with, saved and loaded again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from benchmarks.fuzz import blind, jsons, tensors
from benchmarks.fuzz.case import Room, Work, WrongError
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.generate import generate
from napari_gest.tasks.labels.annotate import annotate
from napari_gest.tasks.perturbation.perturb import perturb
from napari_gest.tissue.edits import Edit


def prepare(room: Room) -> Work:
    folder = room.inputs / "model"
    shutil.copytree(room.base.folder / "model", folder)
    draw = room.rng.random()
    if draw < 0.35:
        path = folder / "config.json"
        path.write_bytes(jsons.damage(room, json.loads(path.read_text())))
    elif draw < 0.7:
        path = room.pick(sorted(folder.glob("*.safetensors")))
        room.note(path.name)
        tensors.damage(room, path)
    elif draw < 0.85:
        blind.damage(room, room.pick(sorted(folder.iterdir())))
    else:
        blind.disorder(room, folder)
    return lambda: work(room, folder)


def work(room: Room, folder: Path) -> None:
    """Load a model, use all its heads, save it and load it again."""
    model = GeST.load(folder)
    room.names += ["genes", "head", "label", "response", "model", model.name[:50]]
    section = room.base.sections[0]
    unseen = np.zeros(section.n_obs, bool)
    unseen[room.rng.choice(section.n_obs, 5, replace=False)] = True
    field = room.pick((0.0, 0.0, 0.7))
    made = generate(
        section, model, unseen, mode=room.pick(("weighted", "pick", "sample")), field=field
    )
    finite(made.expression, made.sd, made.entropy)
    if model.head is not None and room.chance(0.4):
        finite(annotate(section, model).probability)
    if model.response is not None and room.chance(0.4):
        near = np.linalg.norm(section.coords_um - section.coords_um.mean(0), axis=1) < 60
        gene = model.genes[0] if model.genes[0] in section.genes else section.genes[0]
        finite(perturb(section, model, near, [Edit(gene, "set", 20.0)]).effect)
    model.save(room.out / "again")
    again = GeST.load(room.out / "again")
    if (again.digest, again.name, again.genes) != (model.digest, model.name, model.genes):
        raise WrongError("the model read back is another one")


def finite(*results: np.ndarray) -> None:
    """Raise unless all results are finite."""
    for values in results:
        if not np.isfinite(values).all():
            raise WrongError(f"{(~np.isfinite(values)).sum()} of {values.size} are not finite")
