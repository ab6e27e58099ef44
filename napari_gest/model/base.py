"""A base: a transformer that models of any panel start from, and no vocabulary of its own.

It reads a vocabulary by its principal axes: the profile of a meta cell, in genes scaled to unit
variance, becomes ``N_AXES`` coordinates. A network between such coordinates knows no genes, so one
network learns from many panels (decision 38).
"""

from __future__ import annotations

import copy
from hashlib import blake2b
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_gest.errors import InputError
from napari_gest.model import checkpoint, loading
from napari_gest.model.axes import signed
from napari_gest.model.config import N_AXES, EmissionConfig, ModelConfig
from napari_gest.model.decoder import Decoder
from napari_gest.model.gest import GeST, decoder_for, log_prior
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.model.training_cells import TrainingCells

# Power of an axis' share of the variance in its coordinate: 1 keeps distances between profiles, 0
# makes all axes alike. Late axes are mostly noise, and the first must not drown the others.
_EVENNESS = 0.5
_EMPTY = 1e-6  # of the first axis' variance: below, an axis holds rounding alone


class Base(GeST):
    """What models of new panels start from. It has no vocabulary, so it generates nothing itself.

    Parameters
    ----------
    config
        Shape of the models that start from it; ``window_um`` is 0, it belongs to a tissue.
    network
        A decoder whose "genes" are the coordinates of a vocabulary on its ``N_AXES`` axes.
    name
        Name for people.
    card
        What is known about its training. JSON values.
    training_cells
        Which cells it has seen; None where that was not kept.
    """

    def __init__(
        self,
        config: ModelConfig,
        network: Decoder,
        name: str = "unnamed",
        card: dict[str, Any] | None = None,
        training_cells: TrainingCells | None = None,
    ) -> None:
        self.config, self.network, self.name = config, network, name
        self.card = {} if card is None else card
        self.head = self.response = None
        self.training_cells = training_cells
        self.emission = EmissionConfig()

    @classmethod
    def read(cls, folder: Path) -> Base:
        """Read the folder of a base; ``GeST.load`` does so where it finds one.

        Raises
        ------
        CheckpointError
            If its files are damaged or written by a newer version.
        """
        stored = loading.read_base(folder)
        with torch.random.fork_rng(devices=[]):  # torch's layers draw weights of their own
            network = axes_decoder(stored.config, draw=False)
        network.load_state_dict(stored.weights)
        return cls(stored.config, network.eval(), stored.name, stored.card, stored.training_cells)

    @property
    def tokenizer(self) -> MetaCellTokenizer:  # type: ignore[override]
        """Refused: a vocabulary comes with the tissue that a model is trained on.

        Raises
        ------
        InputError
            Always; it says how to train a model that starts here.
        """
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise InputError(
            f"'{self.name}' is a base: it has no vocabulary of its own, so it knows no genes.",
            f"Train a model of this tissue that starts from it: napari-gest fit SECTION --start"
            f" {self.name} --out MODEL, or 'Train a model on this tissue' in napari.",
        )

    @property
    def digest(self) -> str:
        """Hash of what models start from: shape and weights."""
        hashed = blake2b(self.config.model_dump_json().encode(), digest_size=16)
        for name, weight in sorted(self.network.state_dict().items()):
            hashed.update(name.encode())
            hashed.update(np.ascontiguousarray(weight.numpy(force=True)).data)
        return hashed.hexdigest()

    def begin(self, config: ModelConfig, tokenizer: MetaCellTokenizer, name: str) -> GeST:
        """Return a model of a vocabulary that computes what this base does on its axes.

        Parameters
        ----------
        config
            As that of the base, with the window of the tissue.
        tokenizer
            The vocabulary.
        name
            Name of the model.
        """
        axes = torch.from_numpy(vocabulary_axes(tokenizer))
        weights = {k: v.clone() for k, v in self.network.state_dict().items()}
        weights["embed.weight"] = weights["embed.weight"] @ axes.T
        for part in ("weight", "bias"):
            weights[f"to_genes.{part}"] = axes @ weights[f"to_genes.{part}"]
        network = decoder_for(config, tokenizer, draw=False)
        network.load_state_dict(weights)
        return GeST(config, tokenizer, network.eval(), name)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the base to a folder, as ``GeST.save`` writes a model."""
        return checkpoint.write_base(
            Path(path),
            config=self.config,
            weights=self.network.state_dict(),
            name=self.name,
            card=self.card,
            training_cells=self.training_cells,
            overwrite=overwrite,
        )


def axes_decoder(config: ModelConfig, *, draw: bool) -> Decoder:
    """Return a network between coordinates; ``reading`` gives it a vocabulary."""
    # Weights are drawn for coordinates of this size, which those of every vocabulary have.
    return Decoder(config, torch.ones(1, N_AXES), torch.zeros(1), draw=draw)


def vocabulary_axes(tokenizer: MetaCellTokenizer) -> NDArray[np.float32]:
    """Return (G, N_AXES): standardised profiles times it are a vocabulary's coordinates.

    Axes are the principal ones, each meta cell counted as often as it occurs; squares of all
    coordinates sum to ``N_AXES`` in the mean. Axes that a small panel lacks are 0.
    """
    profiles = tokenizer.centred / tokenizer.spread
    weight = tokenizer.frequency.astype(np.float64) / tokenizer.frequency.sum(dtype=np.float64)
    _, size, axes = np.linalg.svd(np.sqrt(weight)[:, None] * profiles, full_matrices=False)
    size, axes = size[:N_AXES], signed(axes[:N_AXES])
    there = size**2 > _EMPTY * size[0] ** 2
    size, axes = size[there], axes[there]
    wanted = size**_EVENNESS
    wanted *= np.sqrt(N_AXES / np.square(wanted).sum())
    out = np.zeros((axes.shape[1], N_AXES), np.float32)
    out[:, : len(axes)] = (axes * (wanted / size)[:, None]).T
    return out


def coordinates(tokenizer: MetaCellTokenizer) -> Tensor:
    """Return (K, N_AXES) float32: the vocabulary as a base reads it."""
    profiles = (tokenizer.centred / tokenizer.spread).astype(np.float32)
    return torch.from_numpy(profiles @ vocabulary_axes(tokenizer))


def reading(network: Decoder, profiles: Tensor, tokenizer: MetaCellTokenizer) -> Decoder:
    """Return a network of the same weights that reads another vocabulary.

    Parameters
    ----------
    network
        The network; training the one trains the other.
    profiles
        (K, N_AXES) coordinates of the vocabulary.
    tokenizer
        The vocabulary.
    """
    made = copy.copy(network)
    made._buffers = dict(network._buffers)
    made.profiles = profiles
    made.log_prior = log_prior(tokenizer).to(profiles.device)
    return made
