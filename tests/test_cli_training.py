"""Training from the command line: a base, models that start from it, and a budget."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from anndata import AnnData
from typer.testing import CliRunner

from napari_gest.cli import app
from napari_gest.model.gest import Base, GeST
from napari_gest.tissue.io import write_tissue

TINY = ["--layers", "1", "--heads", "2", "--width", "16", "--meta-cells", "24"]


def told(*arguments: object) -> tuple[int, str]:
    """Return the exit code and all that was printed."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    return result.exit_code, result.output + getattr(result, "stderr", "")


@pytest.fixture
def files(tissue: AnnData, tmp_path: Path) -> list[Path]:
    """Two panels: one section with all genes, another with some of them."""
    paths = [tmp_path / "a.h5ad", tmp_path / "b.h5ad"]
    for path, name, genes in zip(paths, ("section_1", "section_2"), (30, 20), strict=True):
        write_tissue(tissue[tissue.obs["section"] == name, :genes].copy(), path)
    return paths


def test_a_base_is_trained_and_a_model_starts_from_it(files: list[Path], tmp_path: Path) -> None:
    base, model = tmp_path / "base", tmp_path / "model"
    code, said = told("pretrain", *files, "--steps", 2, *TINY, "--out", base)
    assert code == 0, said
    assert isinstance(GeST.load(base), Base)
    assert "fit --start" in said
    code, said = told("fit", files[0], "--start", base, "--steps", 2, "--out", model)
    assert code == 0, said
    made = GeST.load(model)
    assert made.card["start"] == "base"
    assert made.card["training"]["n_steps"] == 2
    assert len(made.genes) == 30
    code, said = told("info", base)
    assert code == 0
    assert "models start from it" in said


def test_a_base_generates_nothing(tiny_base: Base, files: list[Path], tmp_path: Path) -> None:
    base = tiny_base.save(tmp_path / "base")
    (tmp_path / "hole.geojson").write_text(
        json.dumps(
            {"type": "Polygon", "coordinates": [[[0, 0], [200, 0], [200, 200], [0, 200], [0, 0]]]}
        )
    )
    code, said = told(
        "generate", files[0], "--model", base, "--roi", tmp_path / "hole.geojson",
        "--out", tmp_path / "out.h5ad",
    )  # fmt: skip
    assert code == 1
    assert "no vocabulary of its own" in said
    assert "--start tiny-base" in said
    assert not (tmp_path / "out.h5ad").exists()


def test_options_that_do_not_go_together_are_refused(
    tiny_base: Base, files: list[Path], tmp_path: Path
) -> None:
    base, out = tiny_base.save(tmp_path / "base"), ("--out", tmp_path / "out")
    for arguments, cause in (
        (("--budget", 60, "--steps", 5), "leave --steps out"),
        (("--start", base, "--layers", 2), "--start none alone"),
        (("--start", tmp_path / "absent"), "There is no model"),
        (("--budget", 2), "budget"),
    ):
        code, said = told("fit", files[0], *arguments, *out)
        assert code != 0
        assert cause in said
    assert not (tmp_path / "out").exists()


def test_a_budget_is_met_and_its_steps_are_told(
    tiny_base: Base, files: list[Path], tmp_path: Path
) -> None:
    """Its clock began with the process, long before; so one step is all that is left of it."""
    base = tiny_base.save(tmp_path / "base")
    code, said = told("fit", files[0], "--start", base, "--budget", 10, "--out", tmp_path / "one")
    assert code == 0, said
    card = GeST.load(tmp_path / "one").card
    assert card["budget_s"] == 10
    assert card["training"]["n_steps"] >= 1


def test_fewer_meta_cells_than_asked_are_told(files: list[Path], tmp_path: Path) -> None:
    common = ("fit", files[0], "--start", "none", *TINY[:-1])
    code, said = told(*common, 500, "--steps", 1, "--out", tmp_path / "many")
    assert code == 0, said
    n = GeST.load(tmp_path / "many").tokenizer.n_meta_cells
    assert n < 500
    assert f"The vocabulary has {n} meta cells instead of 500" in said
    code, said = told("models", tmp_path / "many")
    assert json.loads(said)["meta_cells"] == n
    code, said = told(*common, 12, "--steps", 1, "--out", tmp_path / "few")
    assert code == 0, said
    assert "instead of" not in said


def test_a_label_to_ignore_must_be_there(
    tiny_model: GeST, files: list[Path], tmp_path: Path
) -> None:
    model = tiny_model.save(tmp_path / "tiny")
    common = ("fine-tune", files[0], "--model", model, "--out", tmp_path / "out", "--steps", 0)
    labels = ("--label-key", "region", "--ignore-label")
    code, said = told(*common, *labels, "nucleus", *labels[2:], "Nuclei")
    assert code == 1
    assert "No cell is labelled 'Nuclei' in 'region'" in said
    assert "nucleus" in said
    code, said = told(*common[:-2], "--ignore-label", "nucleus")
    assert code == 2
    assert not (tmp_path / "out").exists()
