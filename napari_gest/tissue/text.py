"""Text files from users: JSON and tables, read completely and within size limits."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any, NoReturn

from napari_gest.errors import InputError

# A region of 100,000 corners takes 4 MB.
_MOST_BYTES = 100_000_000


def load_json(
    path: Path, what: str, remedy: str = "Write it again.", *, finite: bool = True
) -> Any:
    """Read a JSON file of at most 100 MB, in UTF-8.

    Parameters
    ----------
    path
        The file.
    what
        Name of its content in errors, such as GeoJSON.
    remedy
        Remedy in errors.
    finite
        Refuse NaN and Infinity, which are not JSON although Python reads them.

    Raises
    ------
    InputError
        If there is no such file, or it is not JSON.
    """
    check_size(path, what)
    try:
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text, parse_constant=_no_number if finite else None)
    except RecursionError as error:
        raise InputError(
            f"'{path}' is not readable {what} (it is nested too deeply).", remedy
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"'{path}' is not readable {what} ({error}).", remedy) from error


def check_size(path: Path, what: str) -> None:
    """Raise InputError if there is no such file, or it is too large to be read as text."""
    try:
        about = path.stat()
    except (OSError, ValueError) as error:
        raise InputError(
            f"There is no file '{path}'.", "Check the path and its spelling."
        ) from error
    if not stat.S_ISREG(about.st_mode):  # reading a pipe would wait for its writer
        raise InputError(f"'{path}' is not a file.", f"Give a file with {what}.")
    size = about.st_size
    if size > _MOST_BYTES:
        raise InputError(
            f"'{path}' has {size / 1e6:,.0f} MB, too much for {what}.",
            f"Give a file of {_MOST_BYTES // 1_000_000} MB at most.",
        )


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")
