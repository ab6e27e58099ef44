"""A small kind of folder to write."""

from __future__ import annotations

from pathlib import Path

from napari_gest.files import described_folder

THING = described_folder("a thing", "thing.json", keys=("thing",), others=("more.txt",))


def fill(folder: Path, content: str) -> None:
    """Write a thing into a folder."""
    (folder / "thing.json").write_text('{"thing": 1}')
    (folder / "more.txt").write_text(content)
