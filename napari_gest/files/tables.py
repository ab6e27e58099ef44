"""Tables as csv: text that looks like a formula is escaped, and our own readers undo that."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_gest.errors import InputError
from napari_gest.files.cells import escaped

if TYPE_CHECKING:
    import pandas as pd

    from napari_gest.files.kinds import FileKind

_SHOWN = 20  # characters shown on each side of one that cannot be written


def write_table(
    table: pd.DataFrame,
    path: str | Path,
    kind: FileKind,
    *,
    index: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a table as csv, whole or not at all.

    Text that begins with ``= + - @``, a tab or a line break, in cells, headers and index, gets
    an apostrophe before it; ``unescaped`` removes it. Numbers are written unchanged.

    Parameters
    ----------
    table
        Columns and index of any type.
    path, kind, overwrite
        As in ``replacing``.
    index
        Write the index as first columns.

    Raises
    ------
    InputError
        As ``replacing``; or if text holds half of a surrogate pair, for example because it was
        not UTF-8.
    CheckpointError
        As ``replacing``.
    """
    from napari_gest.files.writing import replacing

    safe = _escaped_table(table, index)
    # Python's csv quotes a line feed, but not a carriage return, which ends a row as well.
    cells = safe.select_dtypes(exclude="number")
    parts = [safe.columns, *([safe.index] if index else []), *cells.T.to_numpy()]
    broken = any("\r" in str(cell) for cells in parts for cell in cells)
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if broken else csv.QUOTE_MINIMAL
    with replacing(path, kind, overwrite=overwrite) as temporary:
        try:
            safe.to_csv(temporary, index=index, encoding="utf-8", quoting=quoting)
        except UnicodeEncodeError as error:
            odd = error.object[max(error.start - _SHOWN, 0) : error.start + _SHOWN]
            raise InputError(
                f"'{odd}' cannot be written to '{Path(path).name}': it holds a character that does"
                " not exist in Unicode.",
                "Rename what is called so.",
            ) from error


def _escaped_table(table: pd.DataFrame, index: bool) -> pd.DataFrame:
    import pandas as pd

    columns = {}
    for position in range(table.shape[1]):
        column = table.iloc[:, position]
        numeric = pd.api.types.is_numeric_dtype(column.dtype)
        columns[position] = column if numeric else column.astype(object).map(escaped)
    safe = pd.DataFrame(columns, index=table.index)
    safe.columns = _escaped_index(table.columns)
    if index:
        safe.index = _escaped_index(table.index)
    return safe


def _escaped_index(index: pd.Index) -> pd.Index:
    import pandas as pd

    names = [escaped(name) for name in index.names]
    if isinstance(index, pd.MultiIndex):
        rows = [tuple(escaped(part) for part in row) for row in index]
        return pd.MultiIndex.from_tuples(rows, names=names)
    if pd.api.types.is_numeric_dtype(index.dtype):
        return index.rename(names[0])
    return pd.Index([escaped(part) for part in index], dtype=object, name=names[0])
