"""How a model is trained."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from napari_gest.model.config import GrownSettings


class TrainConfig(GrownSettings):
    """How a model is trained. Frozen, and kept in the model's card.

    Attributes
    ----------
    n_steps
        Optimiser steps, 10,000,000 at most. The learning rate warms up, then falls to zero.
    batch_windows
        Windows B in a step, 1,024 at most.
    targets
        Cells predicted in a window of order ``hole``, 100,000 at most.
    learning_rate, weight_decay
        Of AdamW.
    warmup
        Steps over which the learning rate rises.
    ema_decay
        The model kept is a running average of the weights; this is its decay per step.
    cell_dropout
        Up to this share of a window's cells is left out.
    order
        ``hole``: windows as generation sees them, a group of cells hidden in a disc of random
        radius and the known cells around it, far ones first. The others serialize a square and
        predict every cell from those before it (Sec. 4.2).
    hole_radius
        Largest radius of the discs, in mean distances between neighbouring cells.
    expression_weight
        Weight of the squared error of the weighted read-out against the measured expression, in
        genes scaled to unit variance, beside the hierarchical loss.
    validation_share
        Share of cells that lie in validation holes, where no validation section is given.
    validate_every, patience
        Steps between validations, and validations without a gain after which training ends.
    keep
        The weights that are kept: those of the ``best`` validation, or the ``last``, whatever
        validation says, and training does not end early. A small section has too few validation
        cells to choose by (decision 38).
    hierarchy
        Score the three coarse levels of the vocabulary too (Sec. 4.4), a quarter of the weight
        each. If false, the meta cell alone has all of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    later = frozenset({"hierarchy", "keep"})

    n_steps: int = Field(400, ge=1, le=10_000_000)
    batch_windows: int = Field(8, ge=1, le=1024)
    targets: int = Field(192, ge=1, le=100_000)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    warmup: int = Field(100, ge=1)
    ema_decay: float = Field(0.99, ge=0, lt=1)
    cell_dropout: float = Field(0.3, ge=0, lt=1)
    order: Literal["hole", "inward", "corner", "eq6", "random", "strict"] = "hole"
    hole_radius: float = Field(16.0, ge=0)
    expression_weight: float = Field(20.0, ge=0)
    validation_share: float = Field(0.05, gt=0, lt=0.5)
    validate_every: int = Field(50, ge=1)
    patience: int = Field(8, ge=1)
    keep: Literal["best", "last"] = "best"
    hierarchy: bool = True
