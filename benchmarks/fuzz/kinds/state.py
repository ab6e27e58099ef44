"""Training states: a run that resumes from a damaged one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benchmarks.fuzz import blind, jsons, tensors
from benchmarks.fuzz.base import SHAPE, TRAINING
from benchmarks.fuzz.case import Room, Work
from benchmarks.fuzz.kinds.model import finite
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.tasks.progress import finish
from napari_gest.tasks.training.train import FitRequest
from napari_gest.tasks.training.train_state import digest_of


def prepare(room: Room) -> Work:
    folder = room.inputs / "state"
    shutil.copytree(room.base.folder / "state", folder)
    room.own.append(folder)
    draw = room.rng.random()
    if draw < 0.12:
        room.note("whole")  # almost no damage is accepted, so that nothing else would be
    elif draw < 0.45:
        path = folder / "state.json"
        path.write_bytes(jsons.damage(room, json.loads(path.read_text())))
    elif draw < 0.72:
        tensors.damage(room, folder / "state.safetensors")
        if room.chance(0.7):
            sign(folder)
    elif draw < 0.87:
        blind.damage(room, room.pick(sorted(folder.iterdir())))
    else:
        blind.disorder(room, folder)
    return lambda: work(room, folder)


def sign(folder: Path) -> None:
    """Update a state's hash of its tensors, so that the tensors themselves are checked."""
    about = json.loads((folder / "state.json").read_text())
    about["tensors"] = digest_of(folder / "state.safetensors")
    (folder / "state.json").write_text(json.dumps(about))


def work(room: Room, folder: Path) -> None:
    """Resume a run; its result must be finite and can be saved."""
    room.names += ["state", "training"]
    request = FitRequest(
        room.base.sections, ModelConfig(**SHAPE), TRAINING, 0, checkpoint_dir=folder
    )
    fitted = finish(request.run(), None)
    finite(*(weight.numpy() for weight in fitted.model.network.state_dict().values()))
    fitted.model.save(room.out / "model")
    GeST.load(room.out / "model")
