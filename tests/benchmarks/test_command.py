from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.common.scored_section import Group, read_groups
from benchmarks.generation.command import ORACLE, OURS, Row
from benchmarks.generation.report import ACCURACY


@pytest.mark.parametrize("command", typer.main.get_command(app).commands)
def test_every_benchmark_takes_json_and_quick(command):
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "--json" in shown.output
    assert "--quick" in shown.output


def test_absent_data_is_skipped_with_a_reason(tmp_path):
    result = CliRunner().invoke(
        app, ["generation", "--split", "xenium"], env={"GEST_DATA": str(tmp_path)}
    )
    assert result.exit_code == 0
    assert "skipped xenium" in result.output
    assert "GEST_DATA" in result.output


@pytest.mark.parametrize("option", ["--json", "--markdown"])
def test_an_output_that_is_something_else_is_refused_first(tmp_path, option):
    (tmp_path / "out").write_bytes(b"\0")
    arguments = ["generation", "--quick", option, str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "does not replace it" in result.output
    assert (tmp_path / "out").read_bytes() == b"\0"


def test_an_unknown_split_is_named(tmp_path):
    result = CliRunner().invoke(app, ["generation", "--split", "nothing"])
    assert result.exit_code != 0
    assert "nothing" in result.output


def test_only_takes_one_of_the_halves():
    result = CliRunner().invoke(app, ["generation", "--quick", "--only", "points and more"])
    assert result.exit_code != 0
    assert "distribution" in result.output


def test_earlier_runs_of_generation_are_tabulated_together(tmp_path):
    names = [key for key, _, _ in ACCURACY] + ["n_cells", "n_genes", "n_genes_svg", "n_constant"]
    methods = (("kNN mean", "baseline"), (OURS, "gest"), (ORACLE, "oracle"))
    paths = []
    for split, ours in (("mpoa+0.26", 0.9), ("mpoa-0.09", 0.8)):
        scores = [dict.fromkeys(names, value) for value in (1.0, ours, 0.5)]
        rows = [
            Row(split, "s", 0, 100.0, method, kind, values, {"0-50": values})
            for (method, kind), values in zip(methods, scores, strict=True)
        ]
        made = Group(rows, "kNN mean", {}, {"kNN mean": 1.0}, "a note", "MERFISH mPOA")
        paths.append(tmp_path / f"{split}.json")
        paths[-1].write_text(json.dumps([asdict(made)]))
    assert read_groups(paths[-1]) == [made]
    former = paths[-1].read_text().replace(ORACLE, "true token (ceiling)")
    former = former.replace("baseline_settings", "floor_settings")
    former = former.replace('"kind": "baseline"', '"kind": "floor"')
    former = former.replace('"kind": "oracle"', '"kind": "ceiling"')
    paths[-1].write_text(former)
    assert read_groups(paths[-1]) == [made]  # files of earlier versions have other names
    page = tmp_path / "results" / "generation.md"
    asked = [word for path in paths for word in ("--rows", str(path))]
    result = CliRunner().invoke(app, ["generation", *asked, "--markdown", str(page)])
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert text.startswith("# Generation")
    assert "MERFISH mPOA, together" in text
    assert text.count("a note") == 2


def test_imports_prints_its_bar_and_writes_json(tmp_path):
    out = tmp_path / "imports.json"
    result = CliRunner().invoke(app, ["imports", "--quick", "--json", str(out)])
    assert result.exit_code == 0
    assert "met" in result.output
    figures = json.loads(out.read_text())
    assert figures[0]["met"] is True
    assert figures[0]["numbers"]["seconds"] > 0
