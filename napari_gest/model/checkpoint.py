"""A model on disk: a folder with a JSON file and two safetensors files."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save as pack_arrays
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save as pack_tensors
from torch import Tensor

from napari_gest.errors import CheckpointError, InputError
from napari_gest.model.config import EmissionConfig, ModelConfig
from napari_gest.model.head import LabelHead
from napari_gest.model.response import ResponseHead
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.model.training_cells import TrainingCells

CONFIG = "config.json"
VOCABULARY = "vocabulary.safetensors"
WEIGHTS = "weights.safetensors"
HEAD = "head.safetensors"
_LAYER = ("weight", "bias", "means", "covariance")
FORMAT = 1

_ARRAYS = tuple(f.name for f in fields(MetaCellTokenizer) if f.name not in ("genes", "target_sum"))


@dataclass(frozen=True)
class Stored:
    """What a model folder holds; the head only where one was trained."""

    config: ModelConfig
    tokenizer: MetaCellTokenizer
    weights: dict[str, Tensor]
    name: str
    card: dict[str, Any]
    head: LabelHead | None = None
    response: ResponseHead | None = None
    training_cells: TrainingCells | None = None
    emission: EmissionConfig = field(default_factory=EmissionConfig)


@contextlib.contextmanager
def atomic_folder(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a fresh folder that becomes ``path`` if the block succeeds, and vanishes if not.

    Raises
    ------
    InputError
        If ``path`` exists and ``overwrite`` is false.
    CheckpointError
        If the disk is full or the place cannot be written to.
    """
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already.", "Choose another place or allow overwriting.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not a private temporary folder: others may read a model as they may any file.
        fresh = path.parent / f".{path.name}-{secrets.token_hex(4)}"
        fresh.mkdir()
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield fresh
        if path.exists():
            old = path.parent / f".{path.name}-old-{secrets.token_hex(4)}"
            os.replace(path, old)
            os.replace(fresh, path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(fresh, path)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise _unwritable(path, error) from error
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _unwritable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path} could not be written ({error}).",
        "Free some space or choose another place; nothing was changed.",
    )


def write(
    path: Path,
    *,
    config: ModelConfig,
    tokenizer: MetaCellTokenizer,
    weights: dict[str, Tensor],
    name: str,
    card: dict[str, Any],
    head: LabelHead | None = None,
    response: ResponseHead | None = None,
    training_cells: TrainingCells | None = None,
    emission: EmissionConfig,
    overwrite: bool,
) -> Path:
    """Write a model folder atomically and return its path."""
    about = {
        "format": FORMAT,
        "name": name,
        "config": config.model_dump(),
        "target_sum": tokenizer.target_sum,
        "genes": list(tokenizer.genes),
        "card": card,
        "emission": emission.model_dump(),
    }
    if head is not None:
        about["head"] = {"classes": list(head.classes), "settings": head.settings}
    with atomic_folder(path, overwrite=overwrite) as folder:
        (folder / CONFIG).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        arrays = {key: np.ascontiguousarray(getattr(tokenizer, key)) for key in _ARRAYS}
        (folder / VOCABULARY).write_bytes(pack_arrays(arrays))
        tensors = {k: v.contiguous() for k, v in weights.items()}
        (folder / WEIGHTS).write_bytes(pack_tensors(tensors))
        if head is not None:
            arrays = {k: np.ascontiguousarray(getattr(head, k), np.float32) for k in _LAYER}
            (folder / HEAD).write_bytes(pack_arrays(arrays))
        if response is not None:
            response.write(folder)
        if training_cells is not None:
            training_cells.write(folder)
    return path


def read(path: Path) -> Stored:
    """Read a model folder and check it.

    Raises
    ------
    CheckpointError
        If the folder holds no model, or a file is missing, damaged, or written by a newer version.
    """
    try:
        if not any((path / name).exists() for name in (CONFIG, VOCABULARY, WEIGHTS)):
            raise CheckpointError(
                f"There is no model in '{path}': it has no {CONFIG}, {VOCABULARY} or {WEIGHTS}.",
                "Give a folder that has them, as 'napari-gest fit' writes it; a folder of tissue"
                " ends in .zarr.",
            )
        about = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        if about["format"] > FORMAT:
            raise CheckpointError(
                f"{path} was written by a newer version.", "Update napari-gest to read it."
            )
        config = ModelConfig.model_validate(about["config"])
        emission = EmissionConfig.model_validate(about.get("emission", {}))
        arrays = load_arrays(path / VOCABULARY)
        tokenizer = MetaCellTokenizer(
            tuple(about["genes"]),
            float(about["target_sum"]),
            **{
                key: _widen(arrays[key], np.int64 if key == "levels" else np.float32)
                for key in _ARRAYS
            },
        )
        if tokenizer.c_expr.shape != (len(tokenizer.frequency), len(tokenizer.genes)):
            raise ValueError("the vocabulary's arrays do not fit together")
        response = ResponseHead.read(path)
        training_cells = TrainingCells.read(path)
        weights = {k: v.to(torch.float32) for k, v in load_tensors(path / WEIGHTS).items()}
        head = _head(path, about["head"]) if "head" in about else None
    except CheckpointError:
        raise
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, ValidationError) as error:
        raise CheckpointError(
            f"The model in {path} is damaged or incomplete ({type(error).__name__}: {error}).",
            "Copy the folder again, or train the model again.",
        ) from error
    return Stored(
        config,
        tokenizer,
        weights,
        about["name"],
        about["card"],
        head,
        response,
        training_cells,
        emission,
    )


def _head(path: Path, about: dict[str, Any]) -> LabelHead:
    layer = load_arrays(path / HEAD)
    if set(layer) != set(_LAYER):
        raise CheckpointError(
            f"The label layer in {path} was made by another version of napari-gest.",
            "Train it again: train_head, or 'napari-gest fine-tune --label-key'.",
        )
    head = LabelHead(tuple(about["classes"]), **layer, settings=about["settings"])
    if not len(head.classes) == len(head.weight) == len(head.bias):
        raise ValueError("the head's arrays do not fit its classes")
    return head


def _widen(array: np.ndarray, dtype: Any) -> np.ndarray:
    """Bundled models store half precision to save space; computation is in full precision."""
    return array.astype(dtype)
