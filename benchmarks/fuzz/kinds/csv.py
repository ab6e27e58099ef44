"""Tables of edits and of fold changes: csv in, edits checked and applied, csv out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from benchmarks.fuzz import blind, values
from benchmarks.fuzz.case import Room, Work, WrongError
from napari_gest.tissue.edits import apply_edits, check_edits, on_panel, read_edits, write_edits

_CELLS = (
    "", "nan", "NaN", "inf", "-inf", "1e999", "1024", "-1024", "1e308", "5e-324", "-1", "0", "-0",
    "1,5", "1.5.2", "0x10", "1e", "--1", "=1+1", "@x", "True", "None", "gene_1", "GENE_1",
    " gene_2 ",
    "set", "SET ", "knockout", "divide", "9" * 400, "2024-01-01", "1_000", "١", "\u00a03",
)  # fmt: skip
_HEADS = (
    "gene,op,value", "gene,log2fc", "Gene,Log2FC,padj", "gene,log2fc,log2FC", "gene,Gene,op,value",
    "gene,op,OP,value,VALUE", "gene,op,log2fc,value", "gene;op;value", "gene\top\tvalue",
    "op,value",
    "gene", "", "value,op,gene", "names,logfoldchanges", '"gene","op","value"',
    " gene , op , value ",
    ",gene,log2fc", "gene,log2fc,", "gene,op", "gene,log2fc,gene",
)  # fmt: skip


def prepare(room: Room) -> Work:
    path = room.inputs / "edits.csv"
    base = room.base.folder / room.pick(("edits.csv", "deg.csv"))
    draw = room.rng.random()
    if draw < 0.25:
        path.write_bytes(base.read_bytes())
        blind.damage(room, path)
    elif draw < 0.6:
        path.write_bytes(_cells(room, base.read_text()))
    else:
        path.write_bytes(_made_up(room))
    return lambda: work(room, path)


def work(room: Room, path: Path) -> None:
    """Read edits, check and apply them, write them and read them back."""
    room.names += ["gene", "operation", "log2fc", "value"]
    edits = read_edits(path)
    genes = room.base.sections[0].genes
    kept, dropped = on_panel(edits, genes)
    if len(kept) + dropped != len(edits):
        raise WrongError("edits got lost")
    strength = room.pick((0.0, 0.5, 1.0, 2.0))
    room.names += [e.gene for e in edits[:3]] + ["edit"]
    check_edits(kept, genes)
    linear = room.base.sections[0].expression.toarray().astype(np.float64)
    if not np.isfinite(apply_edits(linear, genes, kept, strength)).all():
        raise WrongError(f"edits that are not finite: {kept[:3]}")
    out = room.out / "again.csv"
    write_edits(edits, out)
    again = read_edits(out)
    if again != edits:
        first = next((p for p in zip(edits, again, strict=False) if p[0] != p[1]), None)
        raise WrongError(f"edits read back are others: {first} ({len(edits)}, {len(again)})")
    if any(e.value is not None and not math.isfinite(e.value) for e in edits):
        raise WrongError("an edit without a finite value")


def _cell(room: Room) -> str:
    if room.chance(0.3):
        return values.name(room.rng)
    return str(room.pick(_CELLS))


def _cells(room: Room, text: str) -> bytes:
    """Return a table with some cells replaced, rows doubled, or other separators."""
    rows = [line.split(",") for line in text.splitlines()]
    for _ in range(int(room.rng.integers(1, 4))):
        at = int(room.rng.integers(len(rows)))
        if rows[at]:
            column = int(room.rng.integers(len(rows[at])))
            rows[at][column] = _cell(room)
            room.note(f"row {at} column {column}: {rows[at][column][:30]!r}")
    what = room.pick(("", "", "double", "longer", "shorter", "semicolons", "crlf", "cr", "spaces"))
    room.note(what)
    if what == "double":
        rows.append(rows[-1])
    if what == "longer":
        rows[int(room.rng.integers(len(rows)))] += ["1", "2"]
    if what == "shorter":
        rows[int(room.rng.integers(len(rows)))].pop()
    separator = {"semicolons": ";", "spaces": " , "}.get(what, ",")
    end = {"crlf": "\r\n", "cr": "\r"}.get(what, "\n")
    quote = room.chance(0.3)
    lines = [separator.join(_quoted(cell) if quote else cell for cell in row) for row in rows]
    return (end.join(lines) + end).encode("utf-8", "surrogatepass")


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def _made_up(room: Room) -> bytes:
    """Return a table from scratch: odd headings, many columns, open quotes, other encodings."""
    what = room.pick(("heads", "heads", "heads", "columns", "rows", "quote", "encoding", "empty"))
    room.note(what)
    if what == "columns":
        n = room.pick((1000, 1_000_000))
        extra = ",".join(f"c{i}" for i in range(n))
        return f"gene,op,value,{extra}\ngene_1,set,1\n".encode()
    if what == "rows":
        n = room.pick((1000, 300_000))
        lines = (f"gene_{i},multiply,{i % 7}" for i in range(n))
        return ("gene,op,value\n" + "\n".join(lines)).encode()
    if what == "quote":
        return b'gene,op,value\n"gene_1,set,1\n' + b"gene_2,set,1\n" * 1000
    if what == "encoding":
        text = "gene,op,value\ngene_1,set,1\né,set,2\n"
        return text.encode(room.pick(("utf-16", "latin-1", "utf-8-sig", "utf-32", "cp500")))
    if what == "empty":
        return room.pick((b"", b"\n", b"\n\n\n", b"\0" * 100, b",,,\n", b'"', b"gene,log2fc\n"))
    head = room.pick(_HEADS)
    separator = ";" if ";" in head else "\t" if "\t" in head else ","
    n_columns = head.count(separator) + 1
    lines = [head]
    for i in range(int(room.rng.integers(0, 6))):
        row = [f"gene_{i + 1}" if room.chance(0.6) else _cell(room)]
        row += [_cell(room) for _ in range(n_columns - 1)]
        lines.append(separator.join(row))
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")
