"""Fingerprints of a model's training cells; nothing else of these cells is stored."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from napari_gest.files import SAFETENSORS, write_bytes
from napari_gest.model.about import TRAINING_CELLS
from napari_gest.model.tensors import TensorFile


@dataclass(frozen=True, eq=False)
class TrainingCells:
    """Fingerprints of the cells behind a model; see ``tissue/fingerprint.py``.

    Attributes
    ----------
    trained
        (n,) uint32: cells in the vocabulary and in training windows.
    selecting
        (m,) uint32: cells of the patches that chose the training step. They were not trained on,
        but a score on them is optimistic.
    """

    trained: NDArray[np.uint32]
    selecting: NDArray[np.uint32]

    def seen(self, cells: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Return (n,) bool: which cells trained the model or chose its training step."""
        return np.isin(cells, self.trained) | np.isin(cells, self.selecting)

    def joined(self, earlier: TrainingCells | None) -> TrainingCells:
        """Return these joined with those of the model from which training started."""
        if earlier is None:
            return self
        return TrainingCells(
            np.union1d(self.trained, earlier.trained),
            np.union1d(self.selecting, earlier.selecting),
        )

    def write(self, folder: Path) -> None:
        """Write the file of a model folder."""
        # As signed integers with the same bits, which every safetensors version reads.
        arrays = {f.name: np.unique(getattr(self, f.name)).view(np.int32) for f in fields(self)}
        write_bytes(folder / TRAINING_CELLS, save(arrays), SAFETENSORS)

    @classmethod
    def read(cls, folder: Path) -> TrainingCells | None:
        """Return the training cells of a model folder; None for folders of earlier versions.

        Raises
        ------
        Damaged
            If the file is not two lists of fingerprints.
        """
        if not (folder / TRAINING_CELLS).exists():
            return None
        limits = np.iinfo(np.int32)
        with TensorFile(folder / TRAINING_CELLS) as file:
            names = [f.name for f in fields(cls)]
            file.require_names(names)
            lengths = {name: (math.prod(file.shapes[name]),) for name in names}
            file.require(lengths, integers=tuple(names))
            found = (file.integers(name, limits.min, limits.max).numpy() for name in names)
            return cls(*(values.astype(np.int32).view(np.uint32) for values in found))
