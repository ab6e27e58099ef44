"""``napari-gest perturb`` and ``simulate --perturb``, end to end on a small tissue."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from typer.testing import CliRunner

from napari_gest import keys
from napari_gest.cli import app
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
