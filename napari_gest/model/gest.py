"""GeST: configuration, vocabulary and network together, saved as a folder."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, fields, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_gest.errors import CheckpointError, InputError
from napari_gest.files import check_name, restore
from napari_gest.model import checkpoint, loading
from napari_gest.model.about import CONFIG, is_base, shortened
from napari_gest.model.base import axes_decoder, vocabulary_axes
from napari_gest.model.config import EmissionConfig, ModelConfig
from napari_gest.model.decoder import Decoder
from napari_gest.model.devices import Device, chosen_device
from napari_gest.model.head import LabelHead
from napari_gest.model.response import ResponseHead
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.model.training_cells import TrainingCells

_WEIGHTS = Path(__file__).parent / "weights"


@dataclass(eq=False)
class GeST:
    """A GeST model.

    Attributes
    ----------
    config
        Shape of the model.
    tokenizer
        The meta-cell vocabulary and its genes.
    network
        The decoder.
    name
        Display name, also written to ``uns["gest"]``.
    card
        Facts about its training: data, licence, settings, curve. JSON values.
    head
        The label layer, if one was trained.
    response
        The response head, if one was fitted with the model.
    training_cells
        Fingerprints of its training cells; None if they were not stored.
    emission
        Settings with which mode ``sample`` draws cells.
    """

    config: ModelConfig
    tokenizer: MetaCellTokenizer
    network: Decoder
    name: str = "unnamed"
    card: dict[str, Any] = field(default_factory=dict)
    head: LabelHead | None = None
    response: ResponseHead | None = None
    training_cells: TrainingCells | None = None
    emission: EmissionConfig = field(default_factory=EmissionConfig)

    @classmethod
    def create(
        cls, config: ModelConfig, tokenizer: MetaCellTokenizer, *, seed: int, name: str = "unnamed"
    ) -> GeST:
        """Return an untrained model whose weights are drawn from ``seed``."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = decoder_for(config, tokenizer).eval()
        return cls(config, tokenizer, network, name)

    @property
    def genes(self) -> tuple[str, ...]:
        return self.tokenizer.genes

    @property
    def target_sum(self) -> float:
        return self.tokenizer.target_sum

    @property
    def n_parameters(self) -> int:
        return sum(p.numel() for p in self.network.parameters())

    @property
    def device(self) -> torch.device:
        """Where the network computes; a model that is loaded is on the processor's side."""
        return self.network.log_prior.device

    def on(self, device: Device) -> GeST:
        """Return the model with its network on a device: itself where it is there already.

        Raises
        ------
        InputError
            If there is no such device here.
        """
        chosen = chosen_device(device)
        if chosen.type == self.device.type:
            return self
        return replace(self, network=copy.deepcopy(self.network).to(chosen))

    @property
    def digest(self) -> str:
        """Hash of everything that affects predictions: shape, panel, vocabulary and weights."""
        hashed = blake2b(self.config.model_dump_json().encode(), digest_size=16)
        for known in fields(self.tokenizer):
            value = getattr(self.tokenizer, known.name)
            array = isinstance(value, np.ndarray)
            hashed.update(np.ascontiguousarray(value).data if array else str(value).encode())
        for name, weight in sorted(self.network.state_dict().items()):
            hashed.update(name.encode())
            hashed.update(np.ascontiguousarray(weight.numpy(force=True)).data)
        return hashed.hexdigest()

    def positions(self, coords_um: NDArray[np.float64], centre_um: NDArray[np.float64]) -> Tensor:
        """Return (..., 2) float32 positions relative to a centre, in half windows."""
        unit = 2.0 / self.config.window_um
        return torch.from_numpy(((coords_um - centre_um) * unit).astype(np.float32))

    def shift_of(self, change: NDArray[np.float32]) -> Tensor:
        """Return (n, D): the change of g(x) when expression changes by ``change`` (n, G).

        In model space. g is linear, so the result is the same for every cell.
        """
        scaled = change / self.tokenizer.spread if self.config.profiles == "standard" else change
        weight = self.network.embed.weight.detach().cpu()
        return torch.from_numpy(scaled.astype(np.float32)) @ weight.T

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the model to a folder (``config.json`` and safetensors files), atomically.

        Raises
        ------
        InputError
            If the folder exists and ``overwrite`` is false, is no model folder, or holds other
            files too.
        CheckpointError
            If it cannot be written.
        """
        return checkpoint.write(
            Path(path),
            config=self.config,
            tokenizer=self.tokenizer,
            weights=self.network.state_dict(),
            name=self.name,
            card=self.card,
            head=self.head,
            response=self.response,
            training_cells=self.training_cells,
            emission=self.emission,
            overwrite=overwrite,
        )

    @classmethod
    def load(cls, name_or_path: str | Path) -> GeST:
        """Load a bundled model by name, or any model from its folder.

        The folder of a base gives a ``Base``: models start from it, and nothing else.

        Raises
        ------
        InputError
            If the name is impossible for a folder.
        CheckpointError
            If there is no such model, or its files are damaged.
        """
        path = _bundled().get(str(name_or_path), Path(name_or_path))
        try:
            check_name(path)
            restore(path)
            there = path.is_dir()
        except InputError:  # an impossible name
            there = False
        if not there:
            raise CheckpointError(
                f"There is no model '{shortened(str(name_or_path))}'.",
                f"Give a model folder or one of the bundled models: {', '.join(_bundled())}.",
            )
        if is_base(path):
            return Base.read(path)
        stored = loading.read(path)
        with torch.random.fork_rng(devices=[]):  # torch's layers draw initial weights
            network = decoder_for(stored.config, stored.tokenizer, draw=False)
        network.load_state_dict(stored.weights)
        return cls(
            stored.config,
            stored.tokenizer,
            network.eval(),
            stored.name,
            stored.card,
            stored.head,
            stored.response,
            stored.training_cells,
            stored.emission,
        )


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

    def __repr__(self) -> str:
        return f"Base({self.name!r}, {self.n_parameters:,} parameters)"

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


def bundled_models() -> dict[str, Path]:
    """Return the folders of the models that ship with the package, by name."""
    return {name: folder for name, folder in _bundled().items() if not is_base(folder)}


def bundled_bases() -> dict[str, Path]:
    """Return the folders of what models start from and ships with the package, by name."""
    return {name: folder for name, folder in _bundled().items() if is_base(folder)}


def _bundled() -> dict[str, Path]:
    if not _WEIGHTS.is_dir():
        return {}
    return {p.name: p for p in sorted(_WEIGHTS.iterdir()) if (p / CONFIG).is_file()}


def decoder_for(config: ModelConfig, tokenizer: MetaCellTokenizer, *, draw: bool = True) -> Decoder:
    """Return a decoder of a vocabulary, its weights drawn or still to be loaded."""
    profiles = decoder_profiles(config, tokenizer)
    return Decoder(config, profiles, log_prior(tokenizer), draw=draw)


def decoder_profiles(config: ModelConfig, tokenizer: MetaCellTokenizer) -> Tensor:
    """Return (K, G) profiles for the decoder, unchanged or standardised per gene."""
    profiles = tokenizer.c_expr.astype(np.float64)
    if config.profiles == "standard":
        profiles = tokenizer.centred / tokenizer.spread
    return torch.from_numpy(profiles.astype(np.float32))


def log_prior(tokenizer: MetaCellTokenizer) -> Tensor:
    """Return (K,) float32, the log frequency of each meta cell in training."""
    return torch.from_numpy(np.log(np.maximum(tokenizer.frequency, 1e-9)).astype(np.float32))
