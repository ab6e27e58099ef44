"""What the command line refuses to replace, before any work, and what it says when it is ended."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import anndata
import numpy as np
import pytest
from anndata import AnnData
from typer.testing import CliRunner, Result

from napari_gest import cli
from napari_gest.cli import perturb
from napari_gest.model.gest import GeST
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.section import Section

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has other links and signals")


@pytest.fixture
def place(
    tissue: AnnData,
    section: Section,
    tiny_model: GeST,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder with tissue, a model, a region, edits, and what is the user's alone."""
    write_tissue(tissue, tmp_path / "in.h5ad")
    write_tissue(tissue[:50].copy(), tmp_path / "in.zarr")
    tiny_model.save(tmp_path / "model")
    ring = section.coords_um.mean(0) + 70 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    Roi.from_vertices([ring]).write_geojson(tmp_path / "roi.geojson")
    (tmp_path / "edits.csv").write_text("gene,op,value\ngene_3,set,60\n")
    for folder in ("photos", "photos.h5ad", "photos.zarr"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "cat.jpg").touch()
    (tmp_path / "diary.csv").write_text("day,what\n1,rain\n")
    (tmp_path / "link.h5ad").symlink_to("in.h5ad")
    os.link(tmp_path / "in.h5ad", tmp_path / "twin.h5ad")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str) -> Result:
    return CliRunner().invoke(cli.app, line.split())


def everything(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


_NICHES = "niches in.h5ad --model model --n-niches 3"
_PERTURB = "perturb in.h5ad --section section_1 --model model --roi roi.geojson --edits edits.csv"
_GENERATE = "generate in.h5ad --section section_1 --model model --roi roi.geojson"
_TUNE = "fine-tune in.h5ad --model model --steps 1"


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("fit in.h5ad --out new --resume photos", "is not a training state"),
        ("fit in.h5ad --out new --resume model", "is not a training state"),
        ("fit in.h5ad --out new --resume in.h5ad", "the same as SECTION"),
        ("fit in.h5ad --out new --resume twin.h5ad", "the same as SECTION"),
        ("fit in.zarr --out new --resume in.zarr/state", "lies in SECTION"),
        ("fit in.h5ad --out new --resume new", "the same as --out"),
        ("fit in.h5ad --out new --resume new/state", "one in the other"),
        ("fit in.h5ad --out photos --overwrite", "is not a model folder"),
        ("fit in.h5ad --out diary.csv --overwrite", "is a file"),
        ("fit in.h5ad --out . --overwrite", "is read from"),
        (f"{_TUNE} --out model --overwrite", "the same as --model"),
        (f"{_TUNE} --out photos --overwrite", "is not a model folder"),
        (f"{_TUNE} --out new --resume model", "the same as --model"),
        (f"{_GENERATE} --out photos.h5ad --overwrite", "is a folder"),
        (f"{_GENERATE} --out photos.zarr --overwrite", "is not a .zarr folder"),
        (f"{_GENERATE} --out in.h5ad --overwrite", "the same as SECTION"),
        (f"{_GENERATE} --out link.h5ad --overwrite", "the same as SECTION"),
        (f"{_GENERATE} --out twin.h5ad --overwrite", "the same as SECTION"),
        (f"{_GENERATE} --out model/new.h5ad", "lies in --model"),
        (f"{_NICHES} --out new.h5ad --table new.h5ad", "the same as --out"),
        (f"{_NICHES} --out new.zarr --table new.zarr/t.csv", "one in the other"),
        (f"{_NICHES} --out new.h5ad --table photos --overwrite", "is a folder"),
        (f"{_NICHES} --out new.h5ad --table diary.csv --overwrite", "is not a table of niches"),
        (f"{_NICHES} --out new.h5ad --table in.h5ad --overwrite", "the same as SECTION"),
        ("annotate in.h5ad --model model --out photos.zarr --overwrite", "is not a .zarr folder"),
        ("annotate in.zarr --model model --out in.zarr --overwrite", "the same as SECTION"),
        (f"{_PERTURB} --out photos.h5ad --overwrite", "is a folder"),
        (f"{_PERTURB} --table edits.csv --overwrite", "the same as --edits"),
        (f"{_PERTURB} --table diary.csv --overwrite", "is not a table of effects"),
        (f"{_PERTURB} --table roi.geojson --overwrite", "the same as --roi"),
        (f"{_PERTURB} --save-scenario photos --overwrite", "is not a scenario folder"),
        (f"{_PERTURB} --save-scenario model --overwrite", "the same as --model"),
        (f"{_PERTURB} --save-scenario new --table new", "the same as --table"),
        ("simulate photos.h5ad --overwrite", "is a folder"),
        ("simulate photos.zarr --overwrite", "is not a .zarr folder"),
        ("simulate model/new.h5ad --panel model", "lies in --panel"),
    ],
)
def test_nothing_of_the_users_is_replaced(place: Path, line: str, cause: str) -> None:
    before = everything(place)
    result = run(line)
    assert result.exit_code == 1, result.output
    assert cause in result.stderr
    assert "Remedy: " in result.stderr
    assert everything(place) == before


def test_a_scenario_brings_inputs_of_its_own(place: Path) -> None:
    assert run(f"{_PERTURB} --permutations 0 --save-scenario kept").exit_code == 0
    before = everything(place)
    result = run("perturb in.h5ad --scenario kept --table model/t.csv")
    assert "lies in the scenario's model" in result.stderr
    result = run("perturb in.h5ad --scenario kept --save-scenario kept --overwrite")
    assert "the same as --scenario" in result.stderr
    assert everything(place) == before


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize(
    ("number", "word", "code"),
    [
        (signal.SIGINT, "Interrupted", 130),
        (signal.SIGTERM, "Terminated", 143),
        (signal.SIGHUP, "Terminated", 129),
    ],
)
@pytest.mark.parametrize("old", [False, True])
def test_an_end_while_writing_leaves_what_was_there(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    word: str,
    code: int,
    old: bool,
) -> None:
    out, write = tmp_path / "out.h5ad", anndata.io.write_elem
    if old:
        assert run(f"simulate {out} --cells 20").exit_code == 0

    def ended(*args: object, **kwargs: object) -> None:
        write(*args, **kwargs)  # type: ignore[arg-type]
        os.kill(os.getpid(), number)

    monkeypatch.setattr(anndata.io, "write_elem", ended)
    result = run(f"simulate {out} --cells 30 --overwrite")
    assert result.exit_code == code
    assert result.stderr == f"{word}; nothing was written.\n"
    assert [p.name for p in tmp_path.iterdir()] == (["out.h5ad"] if old else [])
    assert not old or read_tissue(out).n_obs == 20


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()])
def test_what_was_written_before_the_end_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def ended(*args: object) -> None:
        raise error

    monkeypatch.setattr(perturb, "_tested", ended)
    result = run(f"{_PERTURB} --reach-um 60 --bands-um 0,60 --out new.h5ad --table new.csv")
    assert result.exit_code == (130 if isinstance(error, KeyboardInterrupt) else 1)
    assert result.stderr.endswith("\nWritten before: new.h5ad\n")
    assert "nothing was written" not in result.stderr
    assert read_tissue(place / "new.h5ad").n_obs == 1200
    assert not (place / "new.csv").exists()
