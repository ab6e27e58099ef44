"""Arrays in files that several processes of a machine read as if they were in memory."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Scratch:
    """A folder of arrays that lasts as long as the work it is for.

    It lies where the system keeps temporary files (``TMPDIR``). What a killed process leaves
    there is the system's to remove.

    Parameters
    ----------
    name
        Name of the folder, unique to the work.
    owner
        Whether this process makes the folder, fills it and removes it; others only read.
    """

    def __init__(self, name: str, *, owner: bool = True) -> None:
        self.folder = Path(tempfile.gettempdir()) / f"napari-gest-{name}"
        self.owner = owner
        if owner:
            self.folder.mkdir(mode=0o700)

    def make(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        """Return an array to be filled; on the disk, not in memory."""
        return np.lib.format.open_memmap(self._file(name), "w+", dtype, shape)

    def read(self, name: str) -> NDArray:
        """Return an array that was filled; read-only, and read from the disk where it is used."""
        mapped = np.load(self._file(name), mmap_mode="r", allow_pickle=False)
        return np.asarray(mapped)

    def close(self) -> None:
        """Remove the folder, if it is this process's own."""
        if self.owner:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.npy"
