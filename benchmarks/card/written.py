"""Tables that other commands wrote to ``docs/results``: what the card and the README quote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.card.digest import ROOT

_NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?%?")


@dataclass(frozen=True)
class Written:
    """A table of a page.

    Attributes
    ----------
    title
        The nearest bold line or heading above it.
    headings, rows
        Text of the cells; bold and code marks are taken off.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def cell(self, column: str, *row: str) -> str:
        """Return the text of a column in the row that begins with these cells.

        Raises
        ------
        KeyError
            If there is no such column, or not one such row.
        """
        found = [r for r in self.rows if r[: len(row)] == row]
        if len(found) != 1 or column not in self.headings:
            raise KeyError(f"'{self.title}' has {len(found)} rows {row} with '{column}'")
        return found[0][self.headings.index(column)]


def tables(page: Path) -> tuple[Written, ...]:
    """Return all tables of a Markdown page."""
    found, title, lines = [], "", page.read_text(encoding="utf-8").splitlines()
    block: list[tuple[str, ...]] = []
    for line in [*lines, ""]:
        if line.startswith("|"):
            block.append(_cells(line))
            continue
        if len(block) > 2:
            found.append(Written(title, block[0], tuple(block[2:])))
        block = []
        if bold := re.fullmatch(r"\*\*(.+)\*\*|#+ (.+)", line.strip()):
            title = bold[1] or bold[2]
    return tuple(found)


def table(page: str, title: str = "", root: Path = ROOT) -> Written:
    """Return the first table of a page, of this title if one is given.

    Raises
    ------
    KeyError
        If there is none.
    """
    for one in tables(root / page):
        if not title or one.title == title:
            return one
    raise KeyError(f"{page} has no table '{title}'")


def numbers(cells: Sequence[str]) -> list[str]:
    """Return the numbers in some cells, as they are written; links count by their text."""
    text = " ; ".join(re.sub(r"\]\([^)]*\)", "]", cell) for cell in cells)
    return [number.rstrip(",") for number in _NUMBER.findall(text)]


def _cells(line: str) -> tuple[str, ...]:
    return tuple(re.sub(r"[*`]", "", cell).strip() for cell in line.strip().strip("|").split("|"))
