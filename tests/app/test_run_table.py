"""The list of runs as a table."""

from __future__ import annotations

import pandas as pd
import pytest
from app_stubs import entry_of, shape

from napari_gest.app.actions import AddRun, CloseSections, Discard, Keep, SetShapes
from napari_gest.app.run_table import COLUMNS, run_rows, run_state, write_run_table
from napari_gest.errors import InputError

ONE, TWO = "section_1", "section_2"


@pytest.fixture
def busy(work):
    """A kept run, one that was cut off, one on both sections, and one thrown away."""
    state = work.session.state
    work.do(AddRun.of(entry_of(state, "run-1", seconds=3.21, finished="2026-01-01T12:00:00")))
    work.do(AddRun.of(entry_of(state, "run-2", partial=True, seconds=600)))
    work.do(AddRun.of(entry_of(state, "run-3", [ONE, TWO], kind="niches", name="niches")))
    work.do(AddRun.of(entry_of(state, "run-4", name="no more")))
    work.do(Discard(id="run-4"))
    work.do(Keep(id="run-1"))
    return work


def rows_of(work) -> dict[str, dict[str, str]]:
    rows = run_rows(work.session.state)
    return {id: dict(zip(COLUMNS, texts, strict=True)) for id, texts in rows}


def test_the_newest_comes_first_and_what_was_discarded_is_left_out(busy):
    assert list(rows_of(busy)) == ["run-3", "run-2", "run-1"]


def test_what_a_row_says(busy):
    rows = rows_of(busy)
    assert rows["run-1"] == {
        "Name": "a run",
        "Kind": "generation",
        "State": "kept",
        "Section": ONE,
        "Model": "",
        "Settings": "as usual",
        "Seed": "0",
        "Time": "3.2 s",
        "Agreement": "",
    }
    assert rows["run-2"]["Name"] == "a run (2)"
    assert rows["run-2"]["State"] == "undecided, cut off"
    assert rows["run-2"]["Time"] == "10 min"
    assert rows["run-3"]["Section"] == f"{ONE}, {TWO}"


def test_a_run_is_stale_when_its_region_was_changed(busy):
    busy.do(SetShapes(role="unseen", shapes=(shape(ONE),)))
    state = busy.session.state
    assert run_state(state.entry("run-1"), state) == "kept, stale"
    assert run_state(state.entry("run-2"), state) == "undecided, cut off, stale"
    busy.undo()
    assert run_state(state.entry("run-1"), busy.session.state) == "kept"
    busy.do(SetShapes(role="unseen", shapes=(shape(TWO),)))  # of another section
    assert run_state(state.entry("run-1"), busy.session.state) == "kept"


def test_runs_go_with_their_section(busy):
    busy.do(CloseSections(labels=(TWO,)))
    rows = rows_of(busy)
    assert list(rows) == ["run-3", "run-2", "run-1"]
    assert rows["run-3"]["State"] == "undecided, stale"
    busy.do(CloseSections(labels=(ONE,)))
    assert rows_of(busy) == {}


def test_the_table_is_written_oldest_first(busy, tmp_path):
    path = tmp_path / "runs.csv"
    write_run_table(busy.session.state, path)
    table = pd.read_csv(path)
    assert list(table.columns) == [*(name.lower() for name in COLUMNS), "finished"]
    assert list(table["name"]) == ["a run", "a run (2)", "niches"]
    assert table["finished"][0] == "2026-01-01T12:00:00"
    with pytest.raises(InputError):
        write_run_table(busy.session.state, path)
    write_run_table(busy.session.state, path, overwrite=True)
    other = tmp_path / "mine.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(InputError):
        write_run_table(busy.session.state, other, overwrite=True)
    assert other.read_text() == "a,b\n1,2\n"
