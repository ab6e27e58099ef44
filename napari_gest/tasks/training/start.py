"""What a model begins as: new, one to go on with, or a transformer that meets another panel."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_gest.errors import InputError
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import Base, GeST, bundled_bases
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.tissue.model_space import ModelSpace
from napari_gest.tissue.section import Section
from napari_gest.tissue.window import window_side

if TYPE_CHECKING:
    from napari_gest.tasks.training.train import FitRequest

BUNDLED_BASE = "gest-base"
FROM_SCRATCH = "none"
# What may differ from the start: vocabulary, tissue and training; all else is the network's.
_FREE = {"n_meta_cells", "n_pcs", "level_sizes", "window_um", "dropout"}


def start_of(name: str | Path | GeST | None) -> GeST | None:
    """Return the model or base to start from; None where training begins with random weights.

    Parameters
    ----------
    name
        A model or base, the name of a bundled one, a folder, or ``"none"``. None takes the bundled
        base.

    Raises
    ------
    CheckpointError
        If there is no such model, or its files are damaged.
    """
    if name == FROM_SCRATCH:
        return None
    if name is None:
        name = BUNDLED_BASE
        if name not in bundled_bases():  # a checkout without weights
            return None
    return name if isinstance(name, GeST) else GeST.load(name)


def check_shape(config: ModelConfig, start: GeST) -> None:
    """Raise InputError if a model of this shape cannot start from ``start``."""
    there = start.config
    kept = [k for k in ModelConfig.model_fields if k not in _FREE]
    other = [k for k in kept if getattr(config, k) != getattr(there, k)]
    if other:
        raise InputError(
            f"'{start.name}' has {other[0]} {getattr(there, other[0])}, and"
            f" {getattr(config, other[0])} is asked for.",
            "A model keeps the shape of what it starts from: leave its size out, or start from"
            f" nothing ('{FROM_SCRATCH}').",
        )


def vocabulary_of(
    sections: Sequence[Section], config: ModelConfig, seed: int
) -> tuple[ModelConfig, MetaCellTokenizer]:
    """Return the shape with the window of this tissue, and the vocabulary of its cells.

    Parameters
    ----------
    sections
        Training cells, measured with one panel.
    config
        Shape of the model.
    seed
        Of the vocabulary.
    """
    totals = np.concatenate([np.asarray(s.expression.sum(1)).ravel() for s in sections])
    target_sum = float(np.median(totals[totals > 0]))
    side = float(np.mean([window_side(s.coords_um, config.window_cells) for s in sections]))
    # Positions count in half windows, so a transformer meets its window at the density it knows.
    config = config.model_copy(update={"window_um": side})
    tokenizer = MetaCellTokenizer.fit(
        ModelSpace(sections, target_sum),
        sections[0].genes,
        target_sum,
        n_meta_cells=config.n_meta_cells,
        n_pcs=config.n_pcs,
        level_sizes=config.level_sizes,
        seed=seed,
    )
    return config, tokenizer


def model_to_train(request: FitRequest, training: Sequence[Section]) -> GeST:
    """Return the model to train: new, the one to go on with, or its transformer in a new panel.

    Parameters
    ----------
    request
        What is asked for.
    training
        Its sections, without the cells that are set aside.
    """
    start, genes = request.start, training[0].genes
    if start is not None and not isinstance(start, Base) and start.genes == genes:
        # What was fitted to the predictions of a network goes with it.
        return replace(start, network=copy.deepcopy(start.network), head=None, response=None)
    config, tokenizer = vocabulary_of(training, request.model_config, request.seed)
    if isinstance(start, Base):
        return start.begin(config, tokenizer, request.name)
    model = GeST.create(config, tokenizer, seed=request.seed, name=request.name)
    if start is not None:
        kept = {
            k: v
            for k, v in start.network.state_dict().items()
            if not k.startswith(("embed.", "to_genes."))
        }
        model.network.load_state_dict(kept, strict=False)
    return model
