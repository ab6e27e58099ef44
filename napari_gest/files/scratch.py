"""Arrays in files that several processes of a machine read as if they were in memory."""

from __future__ import annotations

import mmap
import shutil
import tempfile
import weakref
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Scratch:
    """A folder of arrays that lasts as long as the work it is for.

    It lies where the system keeps temporary files (``TMPDIR``). The owner removes it when it is
    closed or collected, or when the program ends; what a killed process leaves there is the
    system's to remove.

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
        self._mapped: list[np.memmap] = []
        if owner:
            self.folder.mkdir(mode=0o700)
            self._remove = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def make(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        """Return an array to be filled; on the disk, not in memory."""
        made = np.lib.format.open_memmap(self._file(name), "w+", dtype, shape)
        self._mapped.append(made)
        return made

    def read(self, name: str) -> NDArray:
        """Return an array that was filled; read-only, and read from the disk where it is used."""
        mapped = np.load(self._file(name), mmap_mode="r", allow_pickle=False)
        self._mapped.append(mapped)
        return np.asarray(mapped)

    def release(self) -> None:
        """Let go of the memory of what was filled or read; it is read again where it is used."""
        for mapped in self._mapped:
            pages = mapped._mmap  # type: ignore[attr-defined]
            if hasattr(mmap, "MADV_DONTNEED") and pages is not None:  # not on Windows
                pages.madvise(mmap.MADV_DONTNEED)

    def append(self, name: str, values: NDArray) -> None:
        """Add values to the end of a file without a shape."""
        with self._raw(name).open("ab") as file:
            values.tofile(file)

    def part(self, name: str, dtype: DTypeLike, start: int = 0, stop: int | None = None) -> NDArray:
        """Return some of the values that were appended, all by default, as a new array."""
        count = -1 if stop is None else stop - start
        offset = start * np.dtype(dtype).itemsize
        path = self._raw(name)
        if not count or not path.exists():
            return np.empty(0, dtype)
        return np.fromfile(path, dtype, count, offset=offset)

    def drop(self, name: str) -> None:
        """Remove what was appended under a name."""
        self._raw(name).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder, if it is this process's own."""
        self._mapped = []
        if self.owner:
            self._remove()

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def _raw(self, name: str) -> Path:
        return self.folder / f"{name}.bin"
