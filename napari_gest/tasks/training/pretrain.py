"""Pretraining: one transformer over several panels, which models of other tissue start from."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_gest.errors import InputError
from napari_gest.model.config import ModelConfig
from napari_gest.model.devices import Device, check_device
from napari_gest.model.gest import Base
from napari_gest.seeds import check_seed
from napari_gest.tasks.progress import Progress, finish
from napari_gest.tasks.training.train import FitRequest
from napari_gest.tasks.training.train_config import TrainConfig
from napari_gest.tissue.section import Section

PRETRAIN_MODEL = ModelConfig(n_layers=5, n_heads=5, d_model=160, dropout=0.1)
PRETRAIN_CONFIG = TrainConfig(
    n_steps=3000, validate_every=500, cell_dropout=0.6, validation_share=0.02
)


@dataclass(frozen=True)
class Pretrained:
    """A base and the curve of its training, as in ``Fitted``; scores are means over panels."""

    base: Base
    curve: list[dict[str, float]]


@dataclass(frozen=True, eq=False)
class PretrainRequest:
    """One pretraining and all it needs.

    Attributes
    ----------
    sections
        Sections to train on; those with the same genes are one panel.
    model_config
        Shape of the network and of the vocabularies.
    train_config
        How to train.
    seed
        Of vocabularies, weights, windows and dropout.
    checkpoint_dir
        Folder for the state of the run, as in ``FitRequest``.
    name
        Name of the base.
    device
        Where the network computes, as in ``FitRequest``.
    sampling
        Power of a panel's number of cells in how often it is drawn, 0 to 1: 0 draws all panels
        alike, 1 all cells.
    """

    sections: Sequence[Section]
    model_config: ModelConfig = PRETRAIN_MODEL
    train_config: TrainConfig = PRETRAIN_CONFIG
    seed: int = 0
    checkpoint_dir: Path | None = None
    name: str = "unnamed"
    sampling: float = 0.5
    device: Device = "auto"

    def check(self) -> None:
        """Raise InputError if a panel cannot be trained on, as ``FitRequest.check`` does."""
        from napari_gest.tasks.training.panels import by_panel

        check_seed(self.seed)
        check_device(self.device)
        if not 0 <= self.sampling <= 1:
            raise InputError(f"'sampling' is {self.sampling}.", "Give a number from 0 to 1.")
        if self.model_config.profiles != "standard":
            raise InputError(
                f"The profiles of a base are '{self.model_config.profiles}'.",
                "A base reads vocabularies in genes of unit variance: set profiles to 'standard'.",
            )
        for sections in by_panel(self.sections) or [[]]:
            FitRequest(
                sections,
                self.model_config,
                self.train_config,
                self.seed,
                checkpoint_dir=self.checkpoint_dir,
                name=self.name,
            ).check()

    def run(self) -> Generator[Progress, None, Pretrained]:
        """Train; yields after every step, returns the base."""
        self.check()
        yield Progress("Building the vocabularies", 0, 1)
        from napari_gest.tasks.training.pretrain_loop import PretrainLoop

        return Pretrained(*(yield from PretrainLoop(self).steps()))


def pretrain(
    sections: Sequence[Section],
    model_config: ModelConfig | None = None,
    train_config: TrainConfig | None = None,
    *,
    seed: int = 0,
    checkpoint_dir: Path | None = None,
    name: str = "unnamed",
    sampling: float = 0.5,
    device: Device = "auto",
    on_progress: Callable[[Progress], None] | None = None,
) -> Base:
    """Train one transformer over several panels and return it as a base to start from.

    Parameters
    ----------
    sections
        Sections to train on; those with the same genes are one panel.
    model_config, train_config
        Shape and training; by default those of the bundled base.
    seed, checkpoint_dir, name, sampling, device
        As in ``PretrainRequest``.
    on_progress
        Called after every step.

    Raises
    ------
    InputError
        If sections cannot be trained on, or ``checkpoint_dir`` is neither absent nor empty nor a
        training state alone.
    """
    request = PretrainRequest(
        sections,
        model_config or PRETRAIN_MODEL,
        train_config or PRETRAIN_CONFIG,
        seed,
        checkpoint_dir,
        name,
        sampling,
        device,
    )
    return finish(request.run(), on_progress).base
