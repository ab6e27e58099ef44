"""A file that HDF5 writes to, and that reports the disk's errors to us instead of to HDF5."""

from __future__ import annotations

from io import FileIO
from pathlib import Path
from typing import Any


class Draft(FileIO):
    """A file that HDF5 writes to and that keeps the disk's first error to itself.

    HDF5 does not survive a full disk: what it cannot flush it tries again whenever an object is
    freed, prints an error each time and can crash the interpreter. So it is told that all went
    well, and ``check`` tells us.
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
