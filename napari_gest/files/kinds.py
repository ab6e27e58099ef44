"""Kinds of outputs: how files of this project are recognised."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_gest.files.cells import unescaped
from napari_gest.files.leftovers import is_temporary

HEAD = 65_536  # bytes of a file from which its kind is recognised
# Files that operating systems create in folders; they may be lost.
_SYSTEM = {".DS_Store", "Thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class FileKind:
    """A kind of file.

    Attributes
    ----------
    name
        Name in messages, with its article.
    is_one
        Recognises a file of this kind by its first bytes.
    """

    name: str
    is_one: Callable[[bytes], bool]


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder.

    Attributes
    ----------
    name
        Name in messages, with its article.
    is_one
        Recognises a folder of this kind, even if it is damaged.
    foreign
        Returns the paths, within such a folder, of files that do not belong to it.
    """

    name: str
    is_one: Callable[[Path], bool]
    foreign: Callable[[Path], list[str]]


Kind = FileKind | FolderKind


def described_folder(
    name: str, about: str, keys: Iterable[str], others: Iterable[str]
) -> FolderKind:
    """Return the kind of a flat folder that a JSON file describes.

    Parameters
    ----------
    name
        Name in messages, with its article.
    about
        Name of the JSON file, which holds an object.
    keys
        Keys that the object has in every version of this project.
    others
        Names of the other files.
    """
    wanted, known = set(keys), {about, *others}

    def is_one(folder: Path) -> bool:
        described = peek_json(folder / about)
        return isinstance(described, dict) and wanted <= described.keys()

    return FolderKind(name, is_one, lambda folder: others_than(folder, known))


def others_than(folder: Path, known: Iterable[str]) -> list[str]:
    """Return the entries of a folder whose names are not known, or that are not files."""
    known = set(known)
    return [
        entry.name
        for entry in sorted(folder.iterdir())
        if not ignored(entry) and not (entry.name in known and entry.is_file())
    ]


def ignored(entry: Path) -> bool:
    """Return whether a file may be lost: one of the system, or a temporary one of ours."""
    return entry.name in _SYSTEM or is_temporary(entry.name)


def peek_json(path: Path) -> Any:
    """Return the content of a JSON file; None if it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def table_kind(name: str, columns: Iterable[str]) -> FileKind:
    """Return the kind of a csv whose header has certain columns, in any order and case."""
    wanted = {column.lower() for column in columns}

    def is_one(head: bytes) -> bool:
        text = _text(head)
        if text is None:
            return False
        try:
            first = next(csv.reader(text.splitlines()), [])
        except csv.Error:
            return False
        return wanted <= {unescaped(cell).strip().lower() for cell in first}

    return FileKind(name, is_one)


def _text(head: bytes) -> str | None:
    """Return the text at the beginning of a file; None if it is not text."""
    try:
        # The last character may be cut in two.
        text = head.decode("utf-8-sig", errors="strict" if len(head) < HEAD else "ignore")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _json(head: bytes) -> bool:
    text = _text(head)
    return text is not None and text.lstrip()[:1] in ("{", "[")


def _geojson(head: bytes) -> bool:
    shapes = (b'"features"', b'"coordinates"', b'"geometries"')
    return _json(head) and b'"type"' in head and any(key in head for key in shapes)


TEXT = FileKind("a text file", lambda head: _text(head) is not None)
JSON = FileKind("a JSON file", _json)
GEOJSON = FileKind("a GeoJSON file", _geojson)
SAFETENSORS = FileKind("a safetensors file", lambda head: head[8:9] == b"{")
SVG = FileKind("an SVG picture", lambda head: b"<svg" in head)
PNG = FileKind("a PNG picture", lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"))
