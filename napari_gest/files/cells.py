"""Cells of a csv: no text is taken for a formula, and our own readers undo that."""

from __future__ import annotations

import re
from typing import Any

# Spreadsheets compute cells that begin so (OWASP, "CSV Injection"). Apostrophes before it are our
# own, or the text's: one more or one less keeps every text apart from every other.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"
                      "\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}]")  # fmt: skip


def escaped(cell: Any) -> Any:
    """Return a cell that no spreadsheet computes: text that looks so gets an apostrophe."""
    return "'" + cell if isinstance(cell, str) and _FORMULA.match(cell) else cell


def unescaped(cell: str) -> str:
    """Return the text that ``escaped`` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
