"""Writing a model: a folder with a JSON file and two safetensors files."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save as pack_arrays
from safetensors.torch import save as pack_tensors
from torch import Tensor

from napari_gest.errors import CheckpointError, InputError
from napari_gest.model.about import CONFIG, FORMAT, HEAD, VOCABULARY, WEIGHTS
from napari_gest.model.config import ModelConfig
from napari_gest.model.head import ARRAYS as HEAD_ARRAYS
from napari_gest.model.head import LabelHead
from napari_gest.model.response import ResponseHead
from napari_gest.model.tokenizer import ARRAYS, MetaCellTokenizer


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
    }
    if head is not None:
        about["head"] = {"classes": list(head.classes), "settings": head.settings}
    with atomic_folder(path, overwrite=overwrite) as folder:
        (folder / CONFIG).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        arrays = {key: np.ascontiguousarray(getattr(tokenizer, key)) for key in ARRAYS}
        (folder / VOCABULARY).write_bytes(pack_arrays(arrays))
        tensors = {k: v.contiguous() for k, v in weights.items()}
        (folder / WEIGHTS).write_bytes(pack_tensors(tensors))
        if head is not None:
            arrays = {k: np.ascontiguousarray(getattr(head, k), np.float32) for k in HEAD_ARRAYS}
            (folder / HEAD).write_bytes(pack_arrays(arrays))
        if response is not None:
            response.write(folder)
    return path
