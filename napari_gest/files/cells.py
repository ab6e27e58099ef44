"""Cells of a csv: text that looks like a formula is escaped, and our own readers undo that."""

from __future__ import annotations

import re
from typing import Any

# Spreadsheets compute cells that begin like this (OWASP, "CSV Injection"). The text may have
# apostrophes before the sign; adding or removing one keeps different texts different.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"
                      "\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}]")  # fmt: skip


def escaped(cell: Any) -> Any:
    """Return the cell; text that looks like a formula gets an apostrophe before it."""
    return "'" + cell if isinstance(cell, str) and _FORMULA.match(cell) else cell


def unescaped(cell: str) -> str:
    """Return the text that ``escaped`` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
