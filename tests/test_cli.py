from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import anndata
import numpy as np
import pytest
import typer
from shapely import Point
from typer.testing import CliRunner, Result

from napari_gest import cli
from napari_gest.cli.console import Lines, progress
from napari_gest.model.gest import GeST
from napari_gest.tasks.progress import Progress
from napari_gest.tissue import io
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.reading import Reading
from napari_gest.tissue.roi import Roi

COMMANDS = list(typer.main.get_command(cli.app).commands)  # type: ignore[attr-defined]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])


def refused(result: Result) -> str:
    """Return the message of a user's mistake after checking how it is told."""
    assert result.exit_code == 1, result.output
    lines = result.stderr.strip().splitlines()
    assert lines[-2].startswith("Error: ")
    assert lines[-1].startswith("Remedy: ")
    assert "Traceback" not in result.output
    assert not result.stdout
    return lines[-2]


@pytest.fixture
def file(tissue: anndata.AnnData, tmp_path: Path) -> Path:
    """The simulated tissue with a mask 'hole' of 100 um in each section, as a file."""
    hole = np.zeros(tissue.n_obs, dtype=bool)
    for name in ("section_1", "section_2"):
        rows = np.flatnonzero(tissue.obs["section"] == name)
        coords = tissue.obsm["spatial"][rows]
        hole[rows] = np.hypot(*(coords - coords.mean(axis=0)).T) < 60
    tissue.obs["hole"] = hole
    write_tissue(tissue, tmp_path / "in.h5ad")
    return tmp_path / "in.h5ad"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"napari-gest {command}" in result.stdout
    assert "Examples:" in result.stdout


def test_the_commands_are_listed() -> None:
    result = run("--help")
    assert all(command in result.stdout for command in COMMANDS)
    assert run("--version").stdout.startswith("napari-gest ")


def test_as_a_program(tmp_path: Path) -> None:
    def program(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "napari_gest.cli", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    done = program("simulate", "out.h5ad", "--cells", "30", "--genes", "4")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "30 cells x 4 genes in 1 sections: out.h5ad\n"
    again = program("simulate", "out.h5ad", "--cells", "30", "--genes", "4")
    assert again.returncode == 1
    assert again.stderr.startswith("Error: 'out.h5ad' exists already.\nRemedy: ")
    assert program("simulate").returncode == 2
    assert program("nothing").returncode == 2


def test_simulate(tmp_path: Path) -> None:
    out = tmp_path / "out.h5ad"
    arguments = ("simulate", out, "--cells", 50, "--genes", 7, "--sections", 2, "--seed", 3)
    assert run(*arguments).exit_code == 0
    first = read_tissue(out)
    assert first.shape == (50, 7)
    assert first.obs["section"].nunique() == 2
    assert "exists already" in refused(run(*arguments))
    assert run(*arguments, "--overwrite").exit_code == 0
    assert np.array_equal(read_tissue(out).obsm["spatial"], first.obsm["spatial"])


@pytest.mark.parametrize(
    ("out", "cause"),
    [
        ("absent/out.h5ad", "no folder"),
        ("out.csv", "neither an .h5ad"),
        ("other.h5ad", "exists"),
        ("a" * 300 + ".h5ad", "too long"),
    ],
)
@pytest.mark.parametrize("command", ["simulate", "generate"])
def test_the_output_is_checked_first(file: Path, command: str, out: str, cause: str) -> None:
    target = file.parent / out
    (file.parent / "other.h5ad").touch()
    if command == "simulate":
        result = run("simulate", target)
    else:
        result = run(
            "generate",
            file,
            "--model",
            "none",
            "--mask-key",
            "hole",
            "--section",
            "s",
            "--out",
            target,
        )
    assert cause in refused(result)


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(anndata.io, "write_elem", full)
    assert "is full" in refused(run("simulate", tmp_path / "out.h5ad", "--cells", 20))
    assert not list(tmp_path.iterdir())


def test_ctrl_c_ends_with_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(anndata.io, "write_elem", interrupted)
    result = run("simulate", tmp_path / "out.h5ad", "--cells", 20)
    assert result.exit_code == 130
    assert "Interrupted" in result.stderr
    assert not list(tmp_path.iterdir())


def test_ctrl_c_while_it_is_imported_ends_with_130(tmp_path: Path) -> None:
    (tmp_path / "typer").mkdir()
    (tmp_path / "typer" / "__init__.py").write_text("raise KeyboardInterrupt")
    command = [sys.executable, "-c", "from napari_gest.cli import main"]
    places = os.pathsep.join([str(tmp_path), str(Path(cli.__file__).parents[2])])
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": places},
        check=False,
    )
    assert done.returncode == 130
    assert done.stderr == "Interrupted; nothing was written.\n"


def test_ctrl_c_before_a_command_begins_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(typer.main, "get_command", interrupted)
    with pytest.raises(SystemExit) as ended:
        cli.main(["models"])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "Interrupted; nothing was written.\n"


def test_too_little_memory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*args: object, **kwargs: object) -> None:
        raise MemoryError

    monkeypatch.setattr(io, "write_tissue", too_much)
    assert "not enough memory" in refused(run("simulate", tmp_path / "out.h5ad", "--cells", 20))


def test_info_of_tissue(file: Path) -> None:
    result = run("info", file)
    assert result.exit_code == 0
    assert "1200" in result.stdout
    assert "section_2" in result.stdout
    assert "hole" in result.stdout
    assert "section  " in run("info", file, "--section-key", "slice").stdout
    assert " -" in run("info", file, "--spatial-key", "xy").stdout


def test_info_of_a_region(tmp_path: Path) -> None:
    Roi(Point(0, 0).buffer(10)).write_geojson(tmp_path / "r.geojson")
    assert "314 um2" in run("info", tmp_path / "r.geojson").stdout


@pytest.mark.parametrize(
    "name", ["absent.h5ad", "absent.geojson", "file.csv", "a" * 300, "a" * 300 + ".h5ad"]
)
def test_info_of_nothing(tmp_path: Path, name: str) -> None:
    refused(run("info", tmp_path / name))


def test_view_refuses_what_is_not_there(tmp_path: Path) -> None:
    assert "no file" in refused(run("view", tmp_path / "absent.h5ad"))


def test_view_and_demo_open_the_window(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    app, demo = ModuleType("app"), ModuleType("demo")
    app.launch = lambda paths, **settings: called.append((paths, settings))  # type: ignore[attr-defined]
    demo.run_demo = lambda out, show: [out / "after.png"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "napari_gest.widgets.window", app)
    monkeypatch.setitem(sys.modules, "napari_gest.widgets.demo", demo)
    assert run("view", file, "--section", "section_1").exit_code == 0
    assert called == [([file], {"section": "section_1", "model": None, "reading": Reading()})]
    options = ("--spatial-key", "xy", "--section-key", "slice", "--layer", "counts")
    assert run("view", file, *options, "--um-per-unit", 0.5, "--scale", "log1p").exit_code == 0
    assert called[1][1]["reading"] == Reading("xy", "slice", "counts", 0.5, "log1p")
    assert "um_per_unit" in refused(run("view", file, "--um-per-unit", 0))
    assert len(called) == 2
    assert run("demo", "--out", "shown").stdout == f"{Path('shown', 'after.png')}\n"


def test_generate_wants_one_region(file: Path) -> None:
    out = file.parent / "out.h5ad"
    common = ("generate", file, "--model", "none", "--out", out)
    assert run(*common).exit_code == 2
    assert run(*common, "--mask-key", "hole", "--roi", "r.geojson").exit_code == 2
    assert run(*common, "--mask-key", "hole", "--place-cells").exit_code == 2
    assert run(*common, "--mask-key", "hole", "--mode", "best").exit_code == 2
    assert run(*common, "--mask-key", "hole", "--seed", "-1").exit_code == 2


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ((), "2 sections"),
        (("--section", "section_3"), "no section 'section_3'"),
        (("--section", "section_1", "--mask-key", "gap"), "no obs column 'gap'"),
        (("--section", "section_1", "--mask-key", "niche"), "is not a mask"),
        (("--section", "section_1", "--layer", "raw"), "no layer 'raw'"),
        (("--section", "section_1", "--spatial-key", "xy"), "no coordinates"),
        (("--section", "section_1"), "no model 'none'"),
    ],
)
def test_generate_refuses(file: Path, options: tuple[str, ...], cause: str) -> None:
    out = file.parent / "out.h5ad"
    mask = () if "--mask-key" in options else ("--mask-key", "hole")
    result = run("generate", file, "--model", "none", "--out", out, *mask, *options)
    assert cause in refused(result)
    assert not out.exists()


def test_generate_refuses_a_region_of_everything(file: Path) -> None:
    Roi(Point(0, 0).buffer(1e5)).write_geojson(file.parent / "r.geojson")
    common = ("generate", file, "--section", "section_1", "--model", "none")
    out = file.parent / "out.h5ad"
    result = run(*common, "--roi", file.parent / "r.geojson", "--out", out)
    assert "every cell" in refused(result)


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (("--section", "section_3"), "no section 'section_3'"),
        (("--section", "section_1", "--validation-section", "section_1"), "0 sections to train"),
        (("--width", "130", "--heads", "4"), "d_model must be a multiple"),
    ],
)
def test_fit_refuses(file: Path, options: tuple[str, ...], cause: str) -> None:
    assert cause in refused(run("fit", file, "--out", file.parent / "model", *options))
    assert not (file.parent / "model").exists()


def test_fit_checks_its_output_first(file: Path) -> None:
    (file.parent / "model").mkdir()
    assert "exists already" in refused(run("fit", file, "--out", file.parent / "model"))


def test_progress_in_a_log_is_a_line_for_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    for done in range(101):
        lines(Progress("Training", done, 100, eta_s=100.0 - done))
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 11
    assert told[0] == "Training 0/100 1:40 left"
    assert told[-1] == "Training 100/100"


def test_progress_on_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    import io as text

    import rich.console

    class Terminal(rich.console.Console):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(file=written, force_terminal=True, width=100)

    written = text.StringIO()
    monkeypatch.setattr(rich.console, "Console", Terminal)
    with progress() as show:
        show(Progress("Training", 1, 4, eta_s=75.0))
        show(Progress("Saving", 4, 4))
    assert "Training" in written.getvalue()
    assert "1:15 left" in written.getvalue()


def test_models_are_listed() -> None:
    result = run("models")
    assert result.exit_code == 0
    from napari_gest.model.gest import bundled_models

    for name in bundled_models():
        assert name in result.stdout
        assert json.loads(run("models", name).stdout)["name"] == name
    assert "no model 'absent'" in refused(run("models", "absent"))


def test_a_damaged_bundled_model_does_not_hide_the_others(
    tiny_model: GeST, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_gest.model import gest

    for name in ("first", "second"):
        replace(tiny_model, name=name).save(tmp_path / name)
    (tmp_path / "first" / "weights.safetensors").write_bytes(b"noise")
    monkeypatch.setattr(gest, "_WEIGHTS", tmp_path)
    result = run("models")
    assert result.exit_code == 0
    assert "second" in result.stdout
    assert "first cannot be used" in result.stderr
    assert "weights.safetensors" in result.stderr


@pytest.mark.parametrize("command", ["info", "models"])
def test_a_folder_that_never_was_a_model_is_named(tmp_path: Path, command: str) -> None:
    (tmp_path / "notes").mkdir()
    told = refused(run(command, tmp_path / "notes"))
    assert "There is no model in" in told
    assert "config.json" in told
    assert "damaged" not in told


def test_a_model_folder_is_described(tiny_model: GeST, tmp_path: Path) -> None:
    tiny_model.save(tmp_path / "tiny")
    for result in (run("info", tmp_path / "tiny"), run("models", tmp_path / "tiny")):
        assert result.exit_code == 0
        assert "1 layers, 2 heads, width 16" in result.stdout


def test_simulate_in_the_panel_of_a_model(tiny_model: GeST, tmp_path: Path) -> None:
    tiny_model.save(tmp_path / "tiny")
    out = tmp_path / "out.h5ad"
    panel = ("--panel", tmp_path / "tiny")
    assert run("simulate", out, "--cells", 40, *panel).exit_code == 0
    assert tuple(read_tissue(out).var_names) == tiny_model.genes
    assert "7 genes" in refused(run("simulate", tmp_path / "b.h5ad", "--genes", 7, *panel))


def test_simulate_a_section_of_brain(tmp_path: Path) -> None:
    out = tmp_path / "out.h5ad"
    brain = ("--cells", 300, "--genes", 9, "--anatomy", "brain")
    assert run("simulate", out, *brain).exit_code == 0
    made = read_tissue(out)
    assert made.shape == (300, 9)
    assert "commissure" in set(made.obs["region"])
    assert made.uns["source"]["anatomy"] == "brain"
    planted = run("simulate", tmp_path / "b.h5ad", "--perturb", "--anatomy", "brain")
    assert planted.exit_code == 2
    assert "leave --anatomy out" in planted.output


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("generate", ("--mask-key", "hole", "--device", "cuda")),
        ("niches", ("--n-niches", "4", "--device", "cuda")),
        ("fine-tune", ("--device", "cuda")),
        ("fine-tune", ("--devices", "99")),
    ],
)
def test_a_device_that_is_not_here_is_refused(
    file: Path,
    tiny_model: GeST,
    tmp_path: Path,
    command: str,
    options: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari_gest.model import devices

    monkeypatch.setattr(devices, "devices_here", lambda: ("cpu",))
    model, out = tiny_model.save(tmp_path / "model"), tmp_path / "out.h5ad"
    cause = refused(
        run(command, file, "--section", "section_1", "--model", model, "--out", out, *options)
    )
    assert "no NVIDIA GPU" in cause or "99 processes cannot share" in cause
    assert not out.exists()
