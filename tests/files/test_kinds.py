"""What is of a kind, and what in a folder is not ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_gest.files import GEOJSON, JSON, PNG, SVG, TEXT, FileKind, FolderKind, table_kind
from napari_gest.files.leftovers import beside

GENES = table_kind("a table of genes", ("gene", "band"))


@pytest.mark.parametrize(
    ("kind", "head", "is_one"),
    [
        (TEXT, b"words", True),
        (TEXT, b"\x89HDF\r\n\x1a\n", False),
        (TEXT, b"a\0b", False),
        (TEXT, b"\xff" * 10, False),
        (TEXT, ("\N{EURO SIGN}" * 30_000).encode()[:65_536], True),
        (JSON, b' {"a": 1}', True),
        (JSON, b"[1]", True),
        (JSON, b"a,b\n1,2\n", False),
        (GEOJSON, b'{"type": "FeatureCollection", "features": []}', True),
        (GEOJSON, b'{"type": "module"}', False),
        (GENES, b"gene,band,effect\n", True),
        (GENES, b'\xef\xbb\xbf"Band ",x,GENE\r\n', True),
        (GENES, b"gene,x\n", False),
        (GENES, b"Dear gene, dear band\n", False),
        (GENES, b"", False),
        (PNG, b"\x89PNG\r\n\x1a\nrest", True),
        (PNG, b"words", False),
        (SVG, b'<?xml version="1.0"?>\n<svg xmlns="...">', True),
        (SVG, b"<html></html>", False),
    ],
)
def test_files(kind: FileKind, head: bytes, is_one: bool) -> None:
    assert kind.is_one(head) == is_one


@pytest.mark.parametrize(
    ("content", "is_one"),
    [
        ('{"thing": 1, "newer": 2}', True),
        ('{"name": "a package"}', False),
        ("[]", False),
        ('{"thing"', False),
        ("[" * 100_000, False),
        (None, False),
    ],
)
def test_folders(tmp_path: Path, thing: FolderKind, content: str | None, is_one: bool) -> None:
    if content is not None:
        (tmp_path / "thing.json").write_text(content)
    assert thing.is_one(tmp_path) == is_one


def test_what_is_not_ours_is_named(tmp_path: Path, thing: FolderKind) -> None:
    (tmp_path / "thing.json").write_text('{"thing": 1}')
    (tmp_path / ".DS_Store").touch()
    beside(tmp_path / "thing.json").touch()
    assert thing.foreign(tmp_path) == []
    (tmp_path / "notes.txt").touch()
    (tmp_path / "more.txt").mkdir()
    assert thing.foreign(tmp_path) == ["more.txt", "notes.txt"]
