"""Edits of expression: single genes, tables of fold changes, and how strong they are."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_gest.errors import InputError
from napari_gest.files import table_kind, unescaped, write_table
from napari_gest.limits import check_number, shown
from napari_gest.tissue.expression import MOST_VALUE
from napari_gest.tissue.text import check_size

Op = Literal["set", "multiply", "shift", "knockout"]
OPS: tuple[Op, ...] = get_args(Op)

EDITS = table_kind("a csv of edits", ("gene",))
# The largest value after an edit; sums of it over a panel still fit into single precision.
_MOST_EDITED = 1e30

# The largest exponent of a factor; beyond it every value is 0 or overflows.
MAX_STRENGTH = 100.0

_TABLE = "Give a csv with the columns gene,op,value (op: " + ", ".join(OPS) + ") or gene,log2fc."


@dataclass(frozen=True)
class Edit:
    """A change of one gene, in the section's own linear units.

    Attributes
    ----------
    gene
        Name of the gene.
    op
        ``set`` to the value, ``multiply`` by it, ``shift`` by it, or ``knockout`` to zero.
    value
        Value for ``set``, ``multiply`` and ``shift``; a knock-out needs none.
    """

    gene: str
    op: Op
    value: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.gene, str):
            raise InputError(f"The edited gene is {shown(self.gene)}.", "Give its name.")
        gene = shown(self.gene)
        if not isinstance(self.op, str) or self.op not in OPS:
            raise InputError(
                f"There is no operation '{shown(self.op)}' (gene {gene}).", f"Use {', '.join(OPS)}."
            )
        if self.op == "knockout":
            return
        if self.value is None or self.value != self.value:
            raise InputError(
                f"'{self.op}' of {gene} has no value.", "Give a finite number with it."
            )
        # Expression cannot be negative; what is shifted below 0 ends there.
        low = -MOST_VALUE if self.op == "shift" else 0
        check_number(f"the value of '{self.op}' of {gene}", self.value, low, MOST_VALUE)

    @classmethod
    def fold(cls, gene: str, log2fc: float) -> Edit:
        """Return the multiplication by a log2 fold change.

        Raises
        ------
        InputError
            If it is missing, infinite or above 39.8, a factor of 1e12.
        """
        check_number(f"the log2fc of {shown(gene)}", log2fc, high=math.log2(MOST_VALUE))
        return cls(gene, "multiply", float(2.0**log2fc))

    def apply(self, linear: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
        """Return the gene's values (n,) after the edit, 1e30 at most.

        Parameters
        ----------
        linear
            (n,) linear expression.
        strength
            1 is the edit as given and 0 no edit. ``set``, ``shift`` and ``knockout`` apply that
            fraction of the change, ``multiply`` takes it as an exponent. 100 at most.
        """
        check_number("strength", strength, 0, MAX_STRENGTH)
        if self.op == "multiply":
            assert self.value is not None
            if not strength:
                return linear.copy()
            with np.errstate(over="ignore", invalid="ignore"):
                changed = linear * np.float64(self.value) ** strength
            # Where the factor overflows, zeros stay 0.
            return np.where(linear > 0, np.minimum(changed, _MOST_EDITED), linear)
        target = {"set": self.value, "knockout": 0.0}.get(self.op)
        step = np.full_like(linear, self.value) if target is None else target - linear
        return np.clip(linear + strength * step, 0.0, _MOST_EDITED)


def apply_edits(
    linear: NDArray[np.float64], genes: Sequence[str], edits: Sequence[Edit], strength: float = 1.0
) -> NDArray[np.float64]:
    """Return linear expression (n, G) after all edits; genes that are not edited stay as they are.

    Raises
    ------
    InputError
        As ``check_edits``.
    """
    check_edits(edits, genes)
    column = {gene: i for i, gene in enumerate(genes)}
    out = linear.copy()
    for edit in edits:
        out[:, column[edit.gene]] = edit.apply(linear[:, column[edit.gene]], strength)
    return out


def check_edits(edits: Sequence[Edit], genes: Sequence[str]) -> None:
    """Raise InputError where genes are unknown, naming the nearest ones, or edited twice."""
    known = set(genes)
    unknown = [e.gene for e in edits if e.gene not in known]
    if unknown:
        raise InputError(
            f"{len(unknown)} of {len(edits)} edited genes are not in the panel: "
            + "; ".join(nearest(gene, genes) for gene in unknown[:8])
            + ("; ..." if len(unknown) > 8 else "")
            + ".",
            "Correct the names, or keep only genes of the panel"
            " (--skip-unknown on the command line).",
        )
    seen: set[str] = set()
    for edit in edits:
        if edit.gene in seen:
            raise InputError(f"{edit.gene} is edited twice.", "Give each gene one edit.")
        seen.add(edit.gene)


def check_gene(gene: str, genes: Sequence[str]) -> None:
    """Raise InputError where a gene is unknown, naming the nearest ones."""
    if gene not in genes:
        raise InputError(
            f"There is no gene {nearest(gene, genes)}.",
            "Type a name that was measured here and that the model knows.",
        )


def on_panel(edits: Sequence[Edit], genes: Sequence[str]) -> tuple[tuple[Edit, ...], int]:
    """Return the edits of genes in the panel, and how many others there were."""
    known = set(genes)
    kept = tuple(e for e in edits if e.gene in known)
    return kept, len(edits) - len(kept)


def nearest(gene: str, genes: Sequence[str]) -> str:
    """Return an unknown gene in quotes, with the names among ``genes`` that are most like it."""
    folded = {g.casefold(): g for g in genes}
    close = difflib.get_close_matches(shown(gene).casefold(), folded, n=3, cutoff=0.5)
    names = ", ".join(folded[c] for c in close)
    return f"'{shown(gene)}' (nearest: {names})" if names else f"'{shown(gene)}'"


def read_edits(path: str | Path) -> tuple[Edit, ...]:
    """Read edits from a csv with the columns ``gene,op,value`` or ``gene,log2fc``.

    Rows of a fold-change table without a value, or with a value of 0, edit nothing and are
    left out.

    Parameters
    ----------
    path
        The csv.

    Raises
    ------
    InputError
        If the file is missing, has other columns or two of one name, or a row cannot be
        understood or holds a number that no edit can have.
    """
    path = Path(path)
    check_size(path, "a csv of edits")
    try:
        names = _header(path)
        wanted = sorted({"gene", "op", "value", "log2fc"} & set(names), key=names.index)
        folds = "log2fc" in wanted
        if "gene" not in wanted or not (folds or "op" in wanted):
            raise InputError(
                f"'{path.name}' has the columns {shown(', '.join(names)) or 'none'}.", _TABLE
            )
        twice = next((name for name in wanted if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(
                f"'{path.name}' has more than one column '{twice}' (capitals count as small).",
                _TABLE,
            )
        # As text: numbers are understood below, where a row can be named.
        table = pd.read_csv(
            path,
            dtype=str,
            skipinitialspace=True,
            usecols=[names.index(name) for name in wanted],
            index_col=False,
            encoding="utf-8-sig",
        )
        table.columns = wanted
    except InputError:
        raise
    except (OSError, ValueError, OverflowError, csv.Error) as error:
        raise InputError(f"'{path}' is not a readable csv ({error}).", _TABLE) from error
    column = "log2fc" if folds else "value"
    if column not in table:
        table[column] = np.nan
    # As Python reads numbers, which is exact; pandas is wrong in the last digit of many.
    values = table[column].map(_number).astype(np.float64)
    bad = values.isna() & table[column].notna()
    if bad.any() or table["gene"].isna().any():
        row = int(np.flatnonzero(bad | table["gene"].isna())[0])
        raise InputError(
            f"Row {row + 2} of '{path.name}' holds '{shown(table[column].iloc[row])}' for the gene"
            f" '{shown(table['gene'].iloc[row])}'.",
            _TABLE,
        )
    genes = table["gene"].astype(str).str.strip().map(unescaped)
    if folds:
        rows = zip(genes, values, strict=True)
        edits = tuple(Edit.fold(g, float(v)) for g, v in rows if not np.isnan(v) and v != 0)
    else:
        ops = table["op"].fillna("").str.strip().str.lower()
        edits = tuple(
            Edit(g, op, None if op == "knockout" or np.isnan(v) else float(v))  # type: ignore[arg-type]
            for g, op, v in zip(genes, ops, values, strict=True)
        )
    if not edits:
        raise InputError(f"'{path.name}' holds no edit.", _TABLE)
    return edits


def _header(path: Path) -> list[str]:
    """Return the names in the first row of a csv, stripped and in small letters."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        row = next((row for row in csv.reader(file, skipinitialspace=True) if row), [])
    return [name.strip().lower() for name in row]


def _number(text: object) -> float:
    """Return the number that a cell holds, NaN where it holds none."""
    try:
        return float(text) if isinstance(text, str) and "_" not in text else math.nan
    except ValueError:
        return math.nan


def write_edits(edits: Sequence[Edit], path: str | Path, *, overwrite: bool = False) -> None:
    """Write edits as a csv with the columns ``gene,op,value``, whole or not at all.

    Parameters
    ----------
    edits
        The edits.
    path
        Where to write.
    overwrite
        Replace the table of edits that is there.

    Raises
    ------
    InputError
        If the path exists and ``overwrite`` is false, or its folder does not exist.
    CheckpointError
        If the disk is full or the folder cannot be written.
    """
    table = pd.DataFrame(
        {
            "gene": [e.gene for e in edits],
            "op": [e.op for e in edits],
            # Written as the shortest text that reads back as the same number.
            "value": [np.nan if e.value is None else float(e.value) for e in edits],
        }
    )
    write_table(table, path, EDITS, overwrite=overwrite)
