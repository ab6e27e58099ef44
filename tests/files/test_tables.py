"""Tables: no cell is a formula, numbers stay numbers, and our readers get the text back."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_gest.errors import InputError
from napari_gest.files import table_kind, unescaped, write_table
from napari_gest.files.cells import escaped

TABLE = table_kind("a table of genes", ("gene",))
DANGEROUS = ["=1+1", "+a", "-a", "@SUM(A1)", "\tx", "\rx", "\nx", "\uff1dx", "'=1", "''@"]


@pytest.mark.parametrize("cell", DANGEROUS)
def test_a_formula_gets_an_apostrophe(cell: str) -> None:
    assert escaped(cell) == "'" + cell
    assert unescaped(escaped(cell)) == cell


@pytest.mark.parametrize("cell", ["gene", "", "5'-UTR", "'quoted'", "a=b", 1.5, -2, None])
def test_other_cells_stay(cell: object) -> None:
    assert escaped(cell) is cell


@given(st.text(alphabet="'=+-@\t\r\n ab\uff1d"))
def test_any_text_comes_back(text: str) -> None:
    assert unescaped(escaped(text)) == text
    assert not escaped(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


def test_cells_headers_and_index_are_safe(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "gene": DANGEROUS,
            "=header": pd.Categorical(["-x", "y"] * 5),
            "value": np.linspace(-1, 1, 10),
            "mixed": [-1, "-1", 2.5, None, "=a", True, "b", -0.5, "@", "c"],
        },
        index=pd.Index([f"@{i}" for i in range(10)], name="+index"),
    )
    before = table.copy()
    write_table(table, tmp_path / "t.csv", TABLE, index=True)
    pd.testing.assert_frame_equal(table, before)
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    assert head == ["'+index", "gene", "'=header", "value", "mixed"]
    assert [unescaped(row[1]) for row in rows] == DANGEROUS
    assert [row[0] for row in rows] == [f"'@{i}" for i in range(10)]
    assert [float(row[3]) for row in rows] == list(table["value"])
    assert [row[4] for row in rows][:5] == ["-1", "'-1", "2.5", "", "'=a"]
    for row in [head, *rows]:
        for cell in row:
            assert not cell.startswith(("=", "+", "@", "\t", "\r", "\n"))


def test_an_index_of_numbers_and_of_pairs(tmp_path: Path) -> None:
    numbers = pd.DataFrame({"gene": ["a"]}, index=pd.Index([-1]))
    write_table(numbers, tmp_path / "n.csv", TABLE, index=True)
    assert (tmp_path / "n.csv").read_text().splitlines() == [",gene", "-1,a"]
    pairs = pd.MultiIndex.from_tuples([("=b", "g")], names=["band", "gene"])
    write_table(pd.DataFrame({"x": [1.0]}, index=pairs), tmp_path / "p.csv", TABLE, index=True)
    assert (tmp_path / "p.csv").read_text().splitlines() == ["band,gene,x", "'=b,g,1.0"]


def test_columns_of_one_name_stay_two(tmp_path: Path) -> None:
    table = pd.DataFrame([["a", "=b"]], columns=["gene", "gene"])
    write_table(table, tmp_path / "t.csv", TABLE)
    assert (tmp_path / "t.csv").read_text().splitlines() == ["gene,gene", "a,'=b"]


@pytest.mark.parametrize("where", ["cell", "header", "index"])
def test_half_a_surrogate_pair_is_refused_by_name(tmp_path: Path, where: str) -> None:
    odd = "gene \udcff 1"
    table = pd.DataFrame({odd if where == "header" else "gene": [odd if where == "cell" else "a"]})
    table.index = pd.Index([odd if where == "index" else "b"])
    with pytest.raises(InputError, match=r"odd\.csv") as caught:
        write_table(table, tmp_path / "odd.csv", TABLE, index=True)
    assert r"gene \udcff 1" in caught.value.cause
    assert not [*tmp_path.iterdir()]
