"""Figures of the README and of the summaries are those that are stored."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.card.check import problems
from benchmarks.card.digest import ROOT
from benchmarks.card.written import numbers, table

PAGES = (
    "README.md",
    *(
        f"docs/results/{name}.md"
        for name in (
            "generation", "expected-expression", "cells", "cells-from-base",
            "cells-from-base-later", "cells-foreign", "drawn-cells", "niches", "annotation",
            "niches-and-labels", "perturbation",
        )
    ),
)  # fmt: skip


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    for page in PAGES:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / page, tmp_path / page)
    return tmp_path


def test_every_figure_of_the_readme_and_the_summaries_is_the_stored_one() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("page", "row", "old", "new"),
    [
        ("README.md", "| expected expression, Xenium", "| 1.233 |", "| 1.232 |"),
        ("README.md", "| niches", "0.678", "0.679"),
        ("README.md", "| drawn cells", "0.600 to", "0.610 to"),
        ("README.md", "| planted", "78.8%", "78.9%"),
        ("docs/results/expected-expression.md", "| xenium: section_B | GeST", "0.3855", "0.3854"),
        ("docs/results/drawn-cells.md", "| molcart: B1 |", "1.010", "1.011"),
        ("docs/results/drawn-cells.md", "| molcart: B1, from", "0.981", "0.982"),
        ("docs/results/niches-and-labels.md", "| STAGATE", "0.628", "0.629"),
    ],
)
def test_a_figure_that_is_not_the_stored_one_is_named(
    docs: Path, page: str, row: str, old: str, new: str
) -> None:
    lines = (docs / page).read_text(encoding="utf-8").splitlines()
    (at,) = [i for i, line in enumerate(lines) if line.startswith(row)]
    assert old in lines[at]
    lines[at] = lines[at].replace(old, new)
    (docs / page).write_text("\n".join(lines), encoding="utf-8")
    said = problems(docs)
    assert len(said) == 1, said
    assert said[0].startswith(page)
    assert new.strip("| ").split()[0] in said[0]


def test_a_row_of_the_readme_that_nobody_checks_is_named(docs: Path) -> None:
    text = (docs / "README.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| niches"))
    (docs / "README.md").write_text(text.replace(row, f"{row}\n| another task | x | 9.9 | 1.1 |"))
    assert problems(docs) == ["README.md: nothing stored is known for the row 'another task'"]
    (docs / "README.md").write_text(text.replace(f"{row}\n", ""))
    assert problems(docs) == ["README.md: there is no row 'niches'"]


def test_numbers_are_found_as_they_are_written() -> None:
    cells = ["1.260, 12 of 25", "+0.002 [no](link-3.md)", "100.0%", "11,775 cells", "A1_-0.09"]
    assert numbers(cells)[:6] == ["1.260", "12", "25", "+0.002", "100.0%", "11,775"]


def test_a_table_that_is_not_there_is_named() -> None:
    with pytest.raises(KeyError, match="no table 'Nothing'"):
        table("README.md", "Nothing")


def test_the_command_checks_and_writes_nothing_where_it_is_quick(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    done = CliRunner().invoke(app, ["card", "--quick", "--page", str(page)])
    assert done.exit_code == 0, done.output
    assert not page.exists()
    done = CliRunner().invoke(app, ["card", "--page", str(page)])
    assert done.exit_code == 0, done.output
    assert page.read_text(encoding="utf-8").startswith("# The paper on one card")
