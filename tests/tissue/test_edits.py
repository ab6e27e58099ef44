"""Edits: what each operation does, tables of them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_gest.errors import InputError
from napari_gest.tissue.edits import (
    MAX_STRENGTH,
    Edit,
    apply_edits,
    check_edits,
    check_gene,
    on_panel,
    read_edits,
    write_edits,
)

GENES = ("Gad1", "Slc17a6", "Cd24a")


@pytest.mark.parametrize(
    ("edit", "strength", "expected"),
    [
        (Edit("Gad1", "set", 5.0), 1.0, [5.0, 5.0]),
        (Edit("Gad1", "set", 5.0), 0.5, [2.5, 4.5]),
        (Edit("Gad1", "multiply", 4.0), 1.0, [0.0, 16.0]),
        (Edit("Gad1", "multiply", 4.0), 0.5, [0.0, 8.0]),
        (Edit("Gad1", "shift", -3.0), 1.0, [0.0, 1.0]),
        (Edit("Gad1", "shift", 2.0), 2.0, [4.0, 8.0]),
        (Edit("Gad1", "knockout"), 1.0, [0.0, 0.0]),
        (Edit("Gad1", "knockout"), 0.25, [0.0, 3.0]),
        (Edit("Gad1", "knockout"), 2.0, [0.0, 0.0]),
        (Edit.fold("Gad1", -1.0), 1.0, [0.0, 2.0]),
    ],
)
def test_operations(edit: Edit, strength: float, expected: list[float]) -> None:
    linear = np.array([[0.0, 1.0, 2.0], [4.0, 1.0, 2.0]])
    out = apply_edits(linear, GENES, [edit], strength)
    assert np.allclose(out[:, 0], expected)
    assert np.array_equal(out[:, 1:], linear[:, 1:])


@pytest.mark.parametrize("op", ["set", "multiply", "shift", "knockout"])
def test_strength_zero_changes_not_a_bit(op: str) -> None:
    linear = np.random.default_rng(0).gamma(1, 1, (50, 3))
    edit = Edit("Cd24a", op, None if op == "knockout" else 0.3)  # type: ignore[arg-type]
    assert np.array_equal(apply_edits(linear, GENES, [edit], 0.0), linear)


def test_unknown_genes_are_listed_with_the_nearest_names() -> None:
    with pytest.raises(
        InputError, match=r"2 of 3 .*'gad2' \(nearest: Gad1\).*'Cd24' \(nearest: Cd24a"
    ):
        check_edits(
            [Edit("gad2", "knockout"), Edit("Cd24", "set", 1), Edit("Gad1", "set", 1)], GENES
        )


def test_a_gene_has_one_edit() -> None:
    with pytest.raises(InputError, match="edited twice"):
        check_edits([Edit("Gad1", "knockout"), Edit("Gad1", "set", 1)], GENES)


@pytest.mark.parametrize(
    ("op", "value", "cause"),
    [("set", None, "no value"), ("multiply", -1.0, "is -1"), ("swap", 1.0, "no operation")],
)
def test_impossible_edits(op: str, value: float | None, cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        Edit("Gad1", op, value)  # type: ignore[arg-type]


def test_a_table_reads_back_as_it_was_written(tmp_path: Path) -> None:
    edits = (Edit("Gad1", "set", 1 / 3), Edit("Cd24a", "knockout"), Edit("Slc17a6", "shift", -2))
    write_edits(edits, tmp_path / "e.csv")
    assert read_edits(tmp_path / "e.csv") == edits
    with pytest.raises(InputError, match="exists"):
        write_edits(edits, tmp_path / "e.csv")


def test_every_digit_of_a_value_reads_back(tmp_path: Path) -> None:
    values = 2.0 ** np.random.default_rng(0).normal(size=500)
    edits = tuple(Edit(f"gene_{i}", "multiply", float(v)) for i, v in enumerate(values))
    write_edits(edits, tmp_path / "e.csv")
    assert read_edits(tmp_path / "e.csv") == edits


def test_only_the_columns_of_edits_are_read(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    others = ",".join(f"column_{i}" for i in range(200_000))
    path.write_text(f"{others},Value,gene,op\n{',' * 200_000}2,Gad1,set\n")
    assert read_edits(path) == (Edit("Gad1", "set", 2.0),)
    path.write_text("gene,op,value\nGad1,set,2,\n")
    assert read_edits(path) == (Edit("Gad1", "set", 2.0),)


@pytest.mark.parametrize("head", ["gene,gene,op,value", "gene,log2fc,log2FC", "Gene, gene ,op"])
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path, head: str) -> None:
    (tmp_path / "e.csv").write_text(f"{head}\n{','.join('1' for _ in head.split(','))}\n")
    with pytest.raises(InputError, match="more than one column"):
        read_edits(tmp_path / "e.csv")


def test_fold_changes(tmp_path: Path) -> None:
    path = tmp_path / "deg.csv"
    path.write_text("Gene, log2FC\nGad1,1\nCd24a,\nSlc17a6,0\nother,-2\n")
    edits = read_edits(path)
    assert edits == (Edit("Gad1", "multiply", 2.0), Edit("other", "multiply", 0.25))
    assert on_panel(edits, GENES) == ((edits[0],), 1)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("symbol,op\nGad1,set\n", "has the columns"),
        ("gene,op,value\nGad1,set,high\n", "Row 2"),
        ("gene,op,value\n", "no edit"),
        ("gene,op,value\nGad1,set,\n", "no value"),
    ],
)
def test_tables_that_cannot_be_understood(tmp_path: Path, text: str, cause: str) -> None:
    path = tmp_path / "e.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=cause):
        read_edits(path)


def test_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        read_edits(tmp_path / "none.csv")


def test_genes_that_look_like_formulas_come_back(tmp_path: Path) -> None:
    genes = ["=HYPERLINK(1)", "+a", "-1", "@b", "'=c", "''@", "'d"]
    edits = tuple(Edit(gene, "shift", -0.1) for gene in genes)
    write_edits(edits, tmp_path / "edits.csv")
    assert read_edits(tmp_path / "edits.csv") == edits
    lines = (tmp_path / "edits.csv").read_text().splitlines()[1:]
    assert all(line.startswith("'") for line in lines)
    assert all(line.endswith(",shift,-0.1") for line in lines)  # a number stays one


def test_only_a_csv_of_edits_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "diary.csv").write_text("day,what\n1,rain\n")
    with pytest.raises(InputError, match="is not a csv of edits"):
        write_edits([Edit("a", "knockout")], tmp_path / "diary.csv", overwrite=True)
    write_edits([Edit("a", "knockout")], tmp_path / "edits.csv")
    write_edits([Edit("b", "knockout")], tmp_path / "edits.csv", overwrite=True)
    assert read_edits(tmp_path / "edits.csv") == (Edit("b", "knockout"),)


@pytest.mark.parametrize("log2fc", [1024.0, 40.0, np.inf, -np.inf, np.nan])
def test_a_fold_change_without_a_factor_is_refused(log2fc: float) -> None:
    with pytest.raises(InputError, match="log2fc of Gad1"):
        Edit.fold("Gad1", log2fc)
    assert Edit.fold("Gad1", -2000.0).value == 0.0


@pytest.mark.parametrize("value", [1e13, -1e13, 1e308, np.inf])
def test_values_beyond_expression_are_refused(value: float) -> None:
    with pytest.raises(InputError, match="Give a"):
        Edit("Gad1", "shift", value)


@pytest.mark.parametrize("edit", [Edit("Gad1", "multiply", 1e6), Edit("Gad1", "shift", 1e9)])
@pytest.mark.filterwarnings("error")
def test_a_strong_edit_stays_finite(edit: Edit) -> None:
    out = apply_edits(np.array([[0.0, 1, 2], [4.0, 1, 2]]), GENES, [edit], MAX_STRENGTH)
    assert np.isfinite(out.astype(np.float32)).all()
    assert out[0, 0] == (0.0 if edit.op == "multiply" else pytest.approx(out[1, 0]))


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("gene,log2fc\nGad1,1024\n", "log2fc of Gad1 is 1024"),
        ("gene,log2fc\nGad1,inf\n", "log2fc of Gad1 is inf"),
        ("gene,log2fc\nGad1,1e999\n", "log2fc of Gad1 is inf"),
        ("Gene,gene,log2fc\nGad1,Gad1,1\n", "more than one column 'gene'"),
        ("gene,log2FC,log2fc\nGad1,1,1\n", "more than one column 'log2fc'"),
        ("gene,op,value,Value\nGad1,set,1,2\n", "more than one column 'value'"),
        ("gene, OP ,value\nGad1,3,1\n", "no operation '3'"),
        ("gene,op,value\nGad1,set,1e20\n", "value of 'set' of Gad1 is 1e\\+20"),
    ],
)
def test_tables_that_once_raised_name_what_is_wrong(tmp_path: Path, text: str, cause: str) -> None:
    (tmp_path / "edits.csv").write_text(text)
    with pytest.raises(InputError, match=cause):
        read_edits(tmp_path / "edits.csv")


def test_a_table_of_that_size_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_gest.tissue.text._MOST_BYTES", 10)
    (tmp_path / "edits.csv").write_text("gene,log2fc\nGad1,1\n")
    with pytest.raises(InputError, match="too much for a csv of edits"):
        read_edits(tmp_path / "edits.csv")


def test_an_unknown_gene_is_told_with_the_nearest() -> None:
    check_gene("Gad1", ["Gad1", "Gad2"])
    with pytest.raises(InputError, match=r"no gene 'gad3' \(nearest: Gad[12], Gad[12]\)"):
        check_gene("gad3", ["Gad1", "Gad2"])
