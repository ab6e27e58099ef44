from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.__main__ import app


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


def test_an_unknown_split_is_named(tmp_path):
    result = CliRunner().invoke(app, ["generation", "--split", "nothing"])
    assert result.exit_code != 0
    assert "nothing" in result.output


def test_imports_prints_its_bar_and_writes_json(tmp_path):
    out = tmp_path / "imports.json"
    result = CliRunner().invoke(app, ["imports", "--quick", "--json", str(out)])
    assert result.exit_code == 0
    assert "met" in result.output
    figures = json.loads(out.read_text())
    assert figures[0]["met"] is True
    assert figures[0]["numbers"]["seconds"] > 0
