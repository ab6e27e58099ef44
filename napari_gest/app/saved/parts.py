"""What writing and reading of saved results share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_gest.tissue.text import load_json

TREE, ARRAYS = "result.json", "arrays.npz"  # the files of a result
REMEDY = "Delete its folder from the session, and run again."


class MissingError(Exception):
    """What a result refers to is not there, such as a section that was only in memory."""


def sections_of(folder: Path) -> set[str]:
    """Return the labels of the sections that a saved result refers to.

    Raises
    ------
    CheckpointError, InputError
        If the file that says it is damaged.
    """
    found: set[str] = set()
    waiting: list[Any] = [load_json(folder / TREE, "a saved result", REMEDY)]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            for key in ("section", "opened"):
                if len(one) == 1 and isinstance(one.get(key), str):
                    found.add(one[key])
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return found
