"""What tells whether tissue that was left on disk is still the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FileState:
    """What tells a file, or the files of a folder, from others in their place.

    Attributes
    ----------
    places
        The matrices that are left on disk, by their paths in it.
    files
        Inode, time of the last change and size of it; None if there is none.
    parts
        The same of each file of the matrices where it is a folder, summed up.
    """

    places: tuple[str, ...]
    files: tuple[int, int, int] | None
    parts: int = 0

    @classmethod
    def of(cls, path: Path, places: tuple[str, ...]) -> FileState:
        """Look at a file or folder; of a folder at each file of its matrices, 10 us a file."""
        try:
            own = _about(path.stat())
            if not path.is_dir():
                return cls(places, own)
            parts = frozenset(part for place in places for part in _parts(path / place))
        except OSError:
            return cls(places, None)
        return cls(places, (own[0], 0, 0), hash(parts))  # to save beside them is no change


def _parts(folder: Path | str) -> Iterator[tuple[str, int, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _parts(entry.path)
            else:
                yield entry.path, *_about(entry.stat())


def _about(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_mtime_ns, found.st_size
