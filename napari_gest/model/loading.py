"""Reading a model folder. Errors are found and named before a network is built."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from napari_gest.errors import CheckpointError
from napari_gest.model.about import (
    CONFIG,
    HEAD,
    RESPONSE,
    VOCABULARY,
    WEIGHTS,
    About,
    AboutHead,
    Damaged,
    damaged_model,
    read_about,
    read_about_base,
)
from napari_gest.model.config import N_AXES, EmissionConfig, ModelConfig
from napari_gest.model.decoder import weight_shapes
from napari_gest.model.head import ARRAYS as HEAD_ARRAYS
from napari_gest.model.head import LabelHead
from napari_gest.model.response import IDENTITY, REMOVE_RESPONSE, ResponseHead
from napari_gest.model.tensors import TensorFile
from napari_gest.model.tokenizer import ARRAYS, MetaCellTokenizer
from napari_gest.model.training_cells import TrainingCells

_ROUNDING = 2e-2  # tolerance of sums and lengths that are 1, for files in half precision


@dataclass(frozen=True)
class Stored:
    """The content of a model folder; heads are None unless they were trained."""

    config: ModelConfig
    tokenizer: MetaCellTokenizer
    weights: dict[str, Tensor]
    name: str
    card: dict[str, Any]
    head: LabelHead | None = None
    response: ResponseHead | None = None
    training_cells: TrainingCells | None = None
    emission: EmissionConfig = field(default_factory=EmissionConfig)


def read(folder: Path) -> Stored:
    """Read a model folder and check all of its files.

    Sizes are compared by the headers of the files before any number is read.

    Raises
    ------
    CheckpointError
        If the folder holds no model, or a file is missing, damaged, or written by a newer
        version. It names the file and the field or tensor.
    """
    about = read_about(folder)
    try:
        with TensorFile(folder / VOCABULARY) as file, TensorFile(folder / WEIGHTS) as network:
            _check_vocabulary(file, about)
            _check_weights(network, about.config, len(about.genes))
            tokenizer = _tokenizer(file, about)
            weights = {name: network.floats(name) for name in network.shapes}
        head = None if about.head is None else _head(folder, about.head)
        cells = TrainingCells.read(folder)
    except Damaged as error:
        raise damaged_model(folder, error) from error
    response = _response(folder, tokenizer)
    return Stored(
        about.config,
        tokenizer,
        weights,
        about.name,
        about.card,
        head,
        response,
        cells,
        about.emission,
    )


@dataclass(frozen=True)
class StoredBase:
    """What the folder of a base holds."""

    config: ModelConfig
    weights: dict[str, Tensor]
    name: str
    card: dict[str, Any]
    training_cells: TrainingCells | None


def read_base(folder: Path) -> StoredBase:
    """Read the folder of a base and check all of it; it raises as ``read`` does."""
    about = read_about_base(folder)
    try:
        with TensorFile(folder / WEIGHTS) as network:
            _check_weights(network, about.config, N_AXES)
            weights = {name: network.floats(name) for name in network.shapes}
        cells = TrainingCells.read(folder)
    except Damaged as error:
        raise damaged_model(folder, error) from error
    return StoredBase(about.config, weights, about.name, about.card, cells)


def _check_vocabulary(file: TensorFile, about: About) -> None:
    file.require_names(ARRAYS)
    for name, n_axes in (("mean", 1), ("c_expr", 2), ("components", 2)):
        if len(file.shapes[name]) != n_axes:
            raise Damaged(f"{file.name}: '{name}' has shape {file.shapes[name]}")
    g, (k, _), (p, _) = len(about.genes), file.shapes["c_expr"], file.shapes["components"]
    if file.shapes["mean"] != (g,):
        raise Damaged(
            f"{CONFIG} names {g:,} 'genes', and {file.name} has {file.shapes['mean'][0]:,}"
        )
    # Tissue that is too small for the requested vocabulary gets a smaller one.
    for name, found, least in (("n_meta_cells", k, 2), ("n_pcs", p, 1)):
        most = getattr(about.config, name)
        if not least <= found <= most:
            raise Damaged(
                f"{CONFIG} says '{name}' is {most:,}, and {file.name} has {found:,}: they do not"
                " fit"
            )
    file.require(
        {
            "mean": (g,),
            "components": (p, g),
            "c_pca": (k, p),
            "c_expr": (k, g),
            "v_expr": (k, g),
            "frequency": (k,),
            "levels": (k, 3),
        },
        integers=("levels",),
    )


def _tokenizer(file: TensorFile, about: About) -> MetaCellTokenizer:
    # The largest value, log1p(target_sum), is that of a cell that expresses one gene alone.
    most = math.log1p(about.target_sum) * (1 + _ROUNDING)
    bounds: dict[str, tuple[float | None, float | None]] = {
        "mean": (0, most),
        "components": (None, None),
        "c_pca": (None, None),
        "c_expr": (0, most),
        "v_expr": (0, most**2),
        "frequency": (0, 1),
    }
    arrays: dict[str, Any] = {
        name: file.floats(name, *bound).numpy() for name, bound in bounds.items()
    }
    if abs(arrays["frequency"].sum(dtype=np.float64) - 1) > _ROUNDING:
        raise Damaged(f"{file.name}: 'frequency' sums to {arrays['frequency'].sum():g} and not 1")
    length = np.linalg.norm(arrays["components"].astype(np.float64), axis=1)
    if np.abs(length - 1).max() > _ROUNDING:
        raise Damaged(f"{file.name}: 'components' are not of unit length")
    most_labels = about.config.level_sizes
    levels = file.integers("levels", 0, max(most_labels) - 1).numpy()
    for column, size in enumerate(most_labels):
        if levels[:, column].max() >= size:
            raise Damaged(
                f"{file.name}: 'levels' has label {levels[:, column].max()}, and {CONFIG} says"
                f" 'level_sizes' is {most_labels}"
            )
    return MetaCellTokenizer(about.genes, about.target_sum, **arrays, levels=levels)


def _check_weights(file: TensorFile, config: ModelConfig, n_genes: int) -> None:
    # First the settings that the file itself shows, so that no network of a wrong size is built.
    shapes = file.shapes
    wide = [shape for name, shape in shapes.items() if name.endswith(".log_width")]
    arranged = shapes.get("arrangement.0.weight", ())
    told = {
        "n_layers": len({name.split(".")[1] for name in shapes if name.startswith("blocks.")}),
        "d_model": shapes.get("norm.weight", (None,))[0],
        "local_prior": any(name.startswith("local_prior.") for name in shapes),
        "distance_bias": bool(wide),
        "n_heads": wide[0][0] if wide and len(wide[0]) == 1 else None,
        "n_geometry": arranged[1] if len(arranged) == 2 else None,
    }
    if not any(name.startswith("arrangement.") for name in shapes):
        told["n_geometry"] = 0
    for name, found in told.items():
        wanted = getattr(config, name)
        if found is not None and found != wanted:
            raise Damaged(
                f"{CONFIG} says '{name}' is {wanted}, and by {file.name} it is {found}: they do"
                " not fit"
            )
    file.require(weight_shapes(config, n_genes))


def _head(folder: Path, about: AboutHead) -> LabelHead:
    with TensorFile(folder / HEAD) as file:
        if set(file.shapes) != set(HEAD_ARRAYS):
            raise CheckpointError(
                f"The label layer in {folder} was made by another version of napari-gest.",
                "Train it again: train_head, or 'napari-gest fine-tune --label-key'.",
            )
        c, f = len(about.classes), file.shapes["means"][-1] if file.shapes["means"] else 0
        shapes = {"weight": (c, f), "bias": (c,), "means": (c, f), "covariance": (f, f)}
        file.require(shapes)
        arrays = {name: file.floats(name).numpy() for name in shapes}
    covariance = arrays["covariance"].astype(np.float64)
    scale = np.sqrt(np.maximum(np.diag(covariance), 0))
    if not (scale > 0).all():
        raise Damaged(f"{file.name}: 'covariance' has a variance of 0 or less")
    correlation = covariance / np.outer(scale, scale)
    if np.abs(correlation - correlation.T).max() > 1e-3:
        raise Damaged(f"{file.name}: 'covariance' is not symmetric")
    try:
        np.linalg.cholesky(correlation)
    except np.linalg.LinAlgError as error:
        raise Damaged(f"{file.name}: 'covariance' is not of full rank") from error
    return LabelHead(about.classes, **arrays, settings=about.settings)


def _response(folder: Path, tokenizer: MetaCellTokenizer) -> ResponseHead | None:
    response = ResponseHead.read(folder)
    if response is not None:
        fitting = (int(tokenizer.levels[:, IDENTITY].max()) + 1, len(tokenizer.genes))
        if response.square.shape != fitting:
            raise damaged_model(
                folder,
                Damaged(
                    f"{RESPONSE} is of {response.square.shape} identities and genes, and the"
                    f" model has {fitting}"
                ),
                REMOVE_RESPONSE,
            )
    return response
