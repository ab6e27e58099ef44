"""Which cells a model has seen in training, as fingerprints: nothing else of them is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

TRAINING_CELLS = "training_cells.safetensors"


@dataclass(frozen=True, eq=False)
class TrainingCells:
    """Fingerprints of the cells behind a model; see ``tissue/fingerprint.py``.

    Attributes
    ----------
    trained
        (n,) uint32: cells in the vocabulary and in training windows.
    selecting
        (m,) uint32: cells of the patches that chose the training step. They have trained
        nothing, but a score on them is optimistic.
    """

    trained: NDArray[np.uint32]
    selecting: NDArray[np.uint32]

    def seen(self, cells: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Return (n,) bool: which cells trained the model or chose its training step."""
        return np.isin(cells, self.trained) | np.isin(cells, self.selecting)

    def joined(self, earlier: TrainingCells | None) -> TrainingCells:
        """Return these together with those of the model that training started from."""
        if earlier is None:
            return self
        return TrainingCells(
            np.union1d(self.trained, earlier.trained),
            np.union1d(self.selecting, earlier.selecting),
        )

    def write(self, folder: Path) -> None:
        """Write the file of a model folder."""
        arrays = {"trained": np.unique(self.trained), "selecting": np.unique(self.selecting)}
        (folder / TRAINING_CELLS).write_bytes(save(arrays))

    @classmethod
    def read(cls, folder: Path) -> TrainingCells | None:
        """Return what a model folder says; None where it was made before this was kept."""
        path = folder / TRAINING_CELLS
        if not path.exists():
            return None
        arrays = load_file(path)
        for name in ("trained", "selecting"):
            if arrays[name].ndim != 1 or arrays[name].dtype != np.uint32:
                raise ValueError(f"'{name}' in {TRAINING_CELLS} is not a list of fingerprints")
        return cls(arrays["trained"], arrays["selecting"])
