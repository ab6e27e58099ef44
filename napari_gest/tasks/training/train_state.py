"""The state of a training run on disk, from which it goes on: read and checked here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NoReturn

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from safetensors.torch import save
from torch import Tensor

from napari_gest.errors import CheckpointError, InputError
from napari_gest.files import described_folder, replacing, restore
from napari_gest.model.about import Damaged, checked_json, read_json
from napari_gest.model.tensors import TensorFile

STATE_TENSORS, STATE_SETTINGS = "state.safetensors", "state.json"
STATE = described_folder(
    "a training state", STATE_SETTINGS, keys=("step", "settings"), others=(STATE_TENSORS,)
)
FORMAT = 2
_REMEDY = "Remove the folder to train from the start."
_SCORES = ("step", "nll", "error", "rmse_z", "seconds")
_CHUNK = 2**20


class AboutState(BaseModel):
    """The content of ``state.json``.

    Attributes
    ----------
    format
        Version of the layout.
    tensors
        Hash of ``state.safetensors``.
    step
        Steps taken.
    curve, spent, losses
        Validations, seconds and recent losses so far.
    settings
        What must be the same for a run to go on.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    format: int
    tensors: str
    step: int = Field(ge=1)
    curve: list[dict[str, int | float]] = Field(min_length=1)
    spent: float = Field(ge=0)
    losses: list[float]
    settings: dict[str, JsonValue]

    @model_validator(mode="after")
    def _told(self) -> AboutState:
        for number, entry in enumerate(self.curve):
            missing = [name for name in _SCORES if name not in entry]
            if missing:
                raise ValueError(f"entry {number} of 'curve' has no '{missing[0]}'")
        if self.curve[-1]["step"] != self.step:
            raise ValueError(f"'step' is {self.step} and 'curve' ends at {self.curve[-1]['step']}")
        return self


class _Version(BaseModel):
    format: int = 1  # the first one did not say


@dataclass(frozen=True)
class TrainState:
    """A state that was found: what it says, and its tensors once their shapes are known."""

    folder: Path
    about: AboutState

    @classmethod
    def find(cls, folder: Path | None) -> TrainState | None:
        """Return the state in a folder, or None where there is none.

        Raises
        ------
        CheckpointError
            If half of it is missing, it is damaged, or it was written by another version.
        """
        if folder is None:
            return None
        restore(folder)
        try:
            there = [(folder / name).is_file() for name in (STATE_SETTINGS, STATE_TENSORS)]
            if not any(there):
                return None
            if not all(there):
                raise Damaged(f"{STATE_TENSORS if there[0] else STATE_SETTINGS} is missing")
            text = read_json(folder / STATE_SETTINGS)
            try:
                version = _Version.model_validate_json(text, strict=True).format
            except ValidationError:
                version = FORMAT  # what is wrong is told below
            if version != FORMAT:
                raise CheckpointError(
                    f"The training state in {folder} was written by another version.", _REMEDY
                )
            about = checked_json(TypeAdapter(AboutState), text, STATE_SETTINGS)
            if digest_of(folder / STATE_TENSORS) != about.tensors:
                raise Damaged(
                    f"{STATE_TENSORS} is not the one that {STATE_SETTINGS} was written with; it was"
                    " cut off or comes from another state"
                )
        except CheckpointError:
            raise
        except (Damaged, OSError) as error:
            _refuse(folder, error)
        return cls(folder, about)

    def check(self, settings: Mapping[str, Any], n_steps: int) -> None:
        """Raise InputError if the state is of a run with other data or settings."""
        if self.about.settings != settings:
            names = sorted({*settings, *self.about.settings})
            other = [n for n in names if self.about.settings.get(n) != settings.get(n)]
            raise InputError(
                f"The training state in {self.folder} belongs to a run with other data or settings"
                f" ({', '.join(other)}).",
                "Give those again, or another folder.",
            )
        if self.about.step > n_steps:
            _refuse(
                self.folder, Damaged(f"{STATE_SETTINGS}: 'step' is beyond the {n_steps} of the run")
            )

    def tensors(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
        """Return the tensors of the state.

        Raises
        ------
        CheckpointError
            If they are not exactly these, of these shapes and finite.
        """
        try:
            with TensorFile(self.folder / STATE_TENSORS) as file:
                file.require(shapes)
                return {name: file.floats(name) for name in shapes}
        except Damaged as error:
            _refuse(self.folder, error)


def write_state(
    folder: Path,
    tensors: Mapping[str, Tensor],
    *,
    step: int,
    curve: list[dict[str, float]],
    spent: float,
    losses: list[float],
    settings: Mapping[str, Any],
) -> None:
    """Write a state that ``TrainState.find`` reads; the arguments are those of ``AboutState``.

    Raises
    ------
    InputError
        If something other than a state has come to be in the folder meanwhile.
    """
    packed = save({k: v.cpu().contiguous() for k, v in tensors.items()})
    about = {
        "format": FORMAT,
        "tensors": digest_of(packed),
        "step": step,
        "curve": curve,
        "spent": spent,
        "losses": losses,
        "settings": settings,
    }
    with replacing(folder, STATE, overwrite=True, parents=True) as made:
        (made / STATE_TENSORS).write_bytes(packed)
        (made / STATE_SETTINGS).write_text(json.dumps(about), encoding="utf-8")


def digest_of(tensors: Path | bytes) -> str:
    """Return the hash by which a state knows its tensors, of the file or of what it will hold."""
    hashed = blake2b(digest_size=16)
    if isinstance(tensors, bytes):
        hashed.update(tensors)
        return hashed.hexdigest()
    with tensors.open("rb") as file:
        while part := file.read(_CHUNK):
            hashed.update(part)
    return hashed.hexdigest()


def _refuse(folder: Path, error: Exception) -> NoReturn:
    raise CheckpointError(
        f"The training state in {folder} is damaged: {error}.", _REMEDY
    ) from error
