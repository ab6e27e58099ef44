"""Writing a model: a folder with a JSON file and two safetensors files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save as pack_arrays
from safetensors.torch import save as pack_tensors
from torch import Tensor

from napari_gest.files import described_folder, replacing
from napari_gest.model.about import (
    BASE,
    CONFIG,
    FORMAT,
    HEAD,
    RESPONSE,
    TRAINING_CELLS,
    VOCABULARY,
    WEIGHTS,
)
from napari_gest.model.config import N_AXES, EmissionConfig, ModelConfig
from napari_gest.model.head import ARRAYS as HEAD_ARRAYS
from napari_gest.model.head import LabelHead
from napari_gest.model.response import ResponseHead
from napari_gest.model.tokenizer import ARRAYS, MetaCellTokenizer
from napari_gest.model.training_cells import TrainingCells

MODEL = described_folder(
    "a model folder",
    CONFIG,
    keys=("format", "config", "genes", "target_sum"),
    others=(VOCABULARY, WEIGHTS, HEAD, RESPONSE, TRAINING_CELLS),
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
    with replacing(path, MODEL, overwrite=overwrite, parents=True) as folder:
        (folder / CONFIG).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        arrays = {key: np.ascontiguousarray(getattr(tokenizer, key)) for key in ARRAYS}
        (folder / VOCABULARY).write_bytes(pack_arrays(arrays))
        tensors = {k: v.cpu().contiguous() for k, v in weights.items()}
        (folder / WEIGHTS).write_bytes(pack_tensors(tensors))
        if head is not None:
            arrays = {k: np.ascontiguousarray(getattr(head, k), np.float32) for k in HEAD_ARRAYS}
            (folder / HEAD).write_bytes(pack_arrays(arrays))
        if response is not None:
            response.write(folder)
        if training_cells is not None:
            training_cells.write(folder)
    return path


def write_base(
    path: Path,
    *,
    config: ModelConfig,
    weights: dict[str, Tensor],
    name: str,
    card: dict[str, Any],
    training_cells: TrainingCells | None,
    overwrite: bool,
) -> Path:
    """Write the folder of a base atomically and return its path."""
    about = {
        "format": FORMAT,
        "name": name,
        "config": config.model_dump(),
        "n_axes": N_AXES,
        "card": card,
    }
    with replacing(path, BASE, overwrite=overwrite, parents=True) as folder:
        (folder / CONFIG).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        tensors = {k: v.contiguous() for k, v in weights.items()}
        (folder / WEIGHTS).write_bytes(pack_tensors(tensors))
        if training_cells is not None:
            training_cells.write(folder)
    return path
