"""``napari-gest perturb`` and ``simulate --perturb``, end to end on a small tissue."""

from __future__ import annotations

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from typer.testing import CliRunner

from napari_gest import keys
from napari_gest.cli import app, main
from napari_gest.model.gest import GeST
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.section import Section


@pytest.fixture
def files(tissue: AnnData, section: Section, tiny_model: GeST, tmp_path: Path) -> Path:
    tissue.write_h5ad(tmp_path / "tissue.h5ad")
    tiny_model.save(tmp_path / "model")
    centre = section.coords_um.mean(0)
    ring = centre + 70 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    Roi.from_vertices([ring]).write_geojson(tmp_path / "roi.geojson")
    (tmp_path / "edits.csv").write_text("gene,op,value\ngene_3,set,60\n")
    return tmp_path


def call(files: Path, *arguments: str) -> tuple[int, str]:
    words = ["perturb", str(files / "tissue.h5ad"), "--section", "section_1", *arguments]
    done = CliRunner().invoke(app, words)
    return done.exit_code, done.output


def common(files: Path) -> list[str]:
    pairs = {"--model": "model", "--roi": "roi.geojson", "--edits": "edits.csv"}
    return [w for k, v in pairs.items() for w in (k, str(files / v))]


def test_tissue_table_and_replay(files: Path, tissue: AnnData) -> None:
    out, table, kept = files / "out.h5ad", files / "deg.csv", files / "kept"
    code, text = call(
        files,
        *common(files),
        *("--reach-um", "60", "--bands-um", "0,30,60", "--permutations", "19", "--seed", "3"),
        *("--out", str(out), "--table", str(table), "--save-scenario", str(kept)),
    )
    assert code == 0, text
    written = anndata.read_h5ad(out)
    assert {keys.CONTROL, keys.PERTURBED} <= set(written.layers)
    assert keys.DISTANCE in written.obs
    assert (written.X != tissue.X).nnz == 0
    genes = pd.read_csv(table)
    assert {"gene", "band", "effect", "direction", "pvalue", "fdr"} <= set(genes.columns)
    assert {"lfsr", "svalue", "reported"} <= set(genes.columns)
    assert (
        f"{(genes[genes['band'] == 'all']['reported'] != 'none').sum()} of 29 genes respond" in text
    )
    assert set(genes["band"]) == {"all", "0-30 um", "30-60 um"}
    assert (genes.groupby("band").size() == 30).all()
    again = files / "again.csv"
    code, text = call(files, "--scenario", str(kept), "--table", str(again))
    assert code == 0, text
    assert again.read_bytes() == table.read_bytes() == (kept / "deg.csv").read_bytes()


def test_a_scenario_decides_what_it_holds(files: Path) -> None:
    kept, table = files / "kept", files / "again.csv"
    few = ("--reach-um", "60", "--bands-um", "0,60", "--permutations", "0")
    code, text = call(files, *common(files), *few, "--save-scenario", str(kept))
    assert code == 0, text
    replay = ("--scenario", str(kept), "--table", str(table))
    given = ("--strength", "1.0", "--only", "cell_type=a", "--seed", "1", "--skip-unknown")
    for options in (given, ("--roi", "r.geojson"), ("--um-per-unit", "2"), ("--layer", "counts")):
        code, text = call(files, *replay, *options)
        assert code == 2
        assert all(word in _plain(text) for word in options if word.startswith("--"))
        assert not table.exists()
    code, text = call(files, *replay, "--device", "cpu", "--model", str(files / "model"))
    assert code == 0, text


def _plain(text: str) -> str:
    """Return the words of a framed message."""
    return " ".join(text.replace("\u2502", " ").split())


def test_a_scenario_remembers_how_the_tissue_was_read(files: Path, tissue: AnnData) -> None:
    tissue.obsm["pixels"] = tissue.obsm.pop("spatial") * 2
    tissue.obs["slide"] = tissue.obs.pop("section")
    tissue.layers["counts"] = tissue.X.copy()
    tissue.X = tissue.X * 3
    tissue.write_h5ad(files / "tissue.h5ad")
    kept, table, again = files / "kept", files / "deg.csv", files / "again.csv"
    reading = ("--spatial-key", "pixels", "--section-key", "slide", "--layer", "counts")
    few = ("--reach-um", "60", "--bands-um", "0,60", "--permutations", "19", "--um-per-unit", "0.5")
    outputs = ("--save-scenario", str(kept), "--table", str(table))
    code, text = call(files, *common(files), *reading, *few, *outputs)
    assert code == 0, text
    code, text = call(files, "--scenario", str(kept), "--table", str(again))
    assert code == 0, text
    assert again.read_bytes() == table.read_bytes()


def test_a_scenario_is_of_one_section_and_one_model(files: Path, tissue: AnnData) -> None:
    kept, again = files / "kept", files / "again.csv"
    few = ("--reach-um", "60", "--bands-um", "0,60", "--permutations", "0")
    code, text = call(files, *common(files), *few, "--save-scenario", str(kept))
    assert code == 0, text
    replay = ("--scenario", str(kept), "--table", str(again))
    model = GeST.load(files / "model")
    with torch.no_grad():
        model.network.embed.weight += 1
    model.save(files / "other")
    code, text = call(files, *replay, "--model", str(files / "other"))
    assert code == 1
    assert "not the one that the scenario was made with" in text
    assert "--model" in text
    changed = tissue.copy()
    changed.X = changed.X * 2
    changed.write_h5ad(files / "tissue.h5ad")
    code, text = call(files, *replay)
    assert code == 1
    assert "Section 'section_1' is not the one that the scenario was made with" in text
    # Scenarios of before did not know, and run as they did.
    about = json.loads((kept / "scenario.json").read_text())
    del about["source"]
    (kept / "scenario.json").write_text(json.dumps(about | {"format": 1}))
    code, text = call(files, *replay, "--scale", "linear")
    assert code == 0, text


def test_too_few_permutations_are_refused_before_any_work(files: Path) -> None:
    out, table, kept = files / "out.h5ad", files / "deg.csv", files / "kept"
    few = ("--reach-um", "60", "--bands-um", "0,60", "--permutations")
    words = (*common(files), "--out", str(out), "--table", str(table))
    code, text = call(files, *words, *few, "10")
    assert code == 2
    assert "--permutations 10: give 0, or 19 or more" in _plain(text)
    assert not out.exists()
    code, text = call(files, *common(files), *few, "0", "--save-scenario", str(kept))
    assert code == 0, text
    about = json.loads((kept / "scenario.json").read_text())
    (kept / "scenario.json").write_text(json.dumps(about | {"n_permutations": 10}))
    code, text = call(files, "--scenario", str(kept), "--out", str(out), "--table", str(table))
    assert code == 1
    assert "asks for 10 permutations" in text
    assert "cells edited" not in text
    assert not out.exists()


@pytest.mark.usefixtures("unread")
def test_effects_are_written_though_nobody_reads_what_is_said(files: Path) -> None:
    out, table = files / "out.h5ad", files / "deg.csv"
    words = ["perturb", str(files / "tissue.h5ad"), "--section", "section_1", *common(files)]
    few = ["--reach-um", "60", "--bands-um", "0,60", "--permutations", "19"]
    with pytest.raises(SystemExit) as ended:
        main([*words, *few, "--out", str(out), "--table", str(table)])
    assert ended.value.code == 0
    assert out.exists()
    assert table.exists()


def test_a_folder_of_scenarios_is_replayed_into_one_table(files: Path) -> None:
    few = ("--reach-um", "60", "--bands-um", "0,60", "--permutations", "19")
    (files / "both").mkdir()
    for strength in ("1", "2"):
        kept = files / "both" / f"at_{strength}"
        code, text = call(
            files, *common(files), *few, "--strength", strength, "--save-scenario", str(kept)
        )
        assert code == 0, text
    again = files / "again.csv"
    code, text = call(files, "--scenario", str(files / "both"), "--table", str(again))
    assert code == 0, text
    table = pd.read_csv(again)
    for name in ("at_1", "at_2"):
        mine = table[table["scenario"] == name].drop(columns="scenario").reset_index(drop=True)
        pd.testing.assert_frame_equal(mine, pd.read_csv(files / "both" / name / "deg.csv"))
    code, _ = call(files, "--scenario", str(files / "both"), "--out", str(files / "o.h5ad"))
    assert code == 2
    assert not (files / "o.h5ad").exists()


def test_mistakes_are_two_lines(files: Path) -> None:
    (files / "edits.csv").write_text("gene,op,value\ngene_33,set,60\n")
    code, text = call(files, *common(files), "--table", str(files / "deg.csv"))
    assert code == 1
    assert "nearest: gene_3" in text
    assert not (files / "deg.csv").exists()
    code, _ = call(files, "--table", str(files / "deg.csv"))
    assert code == 2
    code, _ = call(files, *common(files))
    assert code == 2
    code, text = call(files, *common(files), "--only", "cell_type", "--table", "t.csv")
    assert code == 2


def test_labels_and_unknown_genes_left_out(files: Path) -> None:
    (files / "edits.csv").write_text("gene,log2fc\ngene_3,2\nelsewhere,1\n")
    code, text = call(
        files,
        *common(files),
        *("--skip-unknown", "--readout", "generation", "--permutations", "0"),
        *("--reach-um", "60", "--table", str(files / "deg.csv")),
    )
    assert code == 0, text
    assert "1 edits of genes" in text
    assert pd.read_csv(files / "deg.csv")["pvalue"].isna().all()


def test_simulate_plants_a_programme(tmp_path: Path) -> None:
    out = tmp_path / "planted.h5ad"
    words = ["simulate", str(out), "--perturb", "--cells", "400", "--genes", "25"]
    assert CliRunner().invoke(app, words).exit_code == 0
    planted = anndata.read_h5ad(out)
    assert "perturbed" in planted.layers
    assert (planted.var["role"] == "ligand").sum() == 1
    assert CliRunner().invoke(app, [*words, "--panel", "x", "--overwrite"]).exit_code == 2
