"""A table of a report, on screen and as markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as RichTable


@dataclass
class Table:
    """A table of text: a title, headings, rows, and notes below."""

    title: str
    headings: list[str]
    rows: list[list[str]]
    notes: list[str]

    def show(self, console: Console) -> None:
        """Print it."""
        table = RichTable(title=self.title, title_justify="left")
        for i, heading in enumerate(self.headings):
            table.add_column(heading, justify="right" if i else "left")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)
        for note in self.notes:
            console.print(note, style="dim")

    def markdown(self) -> str:
        """Return it as markdown."""
        lines = [f"**{self.title}**", "", _line(self.headings)]
        lines.append(_line(["---"] + ["---:"] * (len(self.headings) - 1)))
        lines += [_line(row) for row in self.rows] + [""]
        return "\n".join(lines + [note + "\n" for note in self.notes])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
