"""A file that HDF5 writes to, and that reports the disk's errors to us instead of to HDF5."""

from __future__ import annotations

from io import FileIO
from pathlib import Path
from typing import Any


class Draft(FileIO):
    """A file for HDF5 that records the disk's first error instead of raising it.

    HDF5 does not survive a full disk: it tries to flush again whenever an object is freed, prints
    an error each time and can crash the interpreter. So this file reports success to HDF5, and
    ``check`` raises the error afterwards.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        done = 0
        while self.error is None and done < size:
            try:
                done += super().write(memoryview(data)[done:]) or 0
            except OSError as error:
                self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def flush(self) -> None:
        # A raw file has nothing to flush.
        return

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self.error is not None:
            raise self.error
