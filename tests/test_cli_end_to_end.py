"""Real runs of the command line: fit, fine-tune and generate with tiny models."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from shapely import Point
from typer.testing import CliRunner

from napari_gest import cli, keys
from napari_gest.model.gest import GeST
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.section import Section

pytestmark = pytest.mark.usefixtures("short_field")


def run(*arguments: object) -> str:
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def centre(tissue: AnnData) -> np.ndarray:
    return Section.from_anndata(tissue, "section_1").coords_um.mean(axis=0)


@pytest.fixture
def file(tissue: AnnData, centre: np.ndarray, tmp_path: Path) -> Path:
    """The simulated tissue with a mask 'hole' in section 1."""
    near = np.hypot(*(tissue.obsm["spatial"] - centre).T) < 70
    tissue.obs["hole"] = near & (tissue.obs["section"] == "section_1").to_numpy()
    write_tissue(tissue, tmp_path / "in.h5ad")
    return tmp_path / "in.h5ad"


def generated(file: Path, model: Path, name: str, *options: object) -> AnnData:
    out = file.parent / name
    common = ("generate", file, "--model", model, "--section", "section_1", "--out", out)
    told = run(*common, *options)
    assert str(out) in told
    return read_tissue(out)


def dense(values: object) -> np.ndarray:
    return values.toarray() if sparse.issparse(values) else np.asarray(values)


@pytest.mark.parametrize("mode", ["pick", "weighted", "sample"])
def test_a_mask_is_filled(file: Path, model: Path, tissue: AnnData, mode: str) -> None:
    out = generated(file, model, "out.h5ad", "--mask-key", "hole", "--mode", mode, "--seed", 3)
    hole = tissue.obs["hole"].to_numpy()
    assert out.n_obs == tissue.n_obs
    assert (out.X != tissue.X).nnz == 0
    assert (out.obs[keys.GENERATED].to_numpy() == hole).all()
    assert (out.obs[keys.META_CELL].to_numpy() >= 0).tolist() == hole.tolist()
    assert np.isfinite(out.obs[keys.ENTROPY].to_numpy()[hole]).all()
    section = Section.from_anndata(tissue, "section_1")
    measured = section.rows[~hole[section.rows]]
    filled = dense(out.layers[keys.EXPRESSION])
    space = section.model_space(250.0)[~hole[section.rows]]
    assert filled[measured] == pytest.approx(space, abs=1e-6)
    assert (dense(out.layers[keys.SD])[measured] == 0).all()
    assert {"model", "version", "seed", "mode", "target_sum"} <= set(out.uns[keys.UNS])
    assert out.uns[keys.UNS]["mode"] == mode
    assert out.uns[keys.UNS]["seed"] == 3


@pytest.mark.usefixtures("unread")
def test_cells_are_written_though_nobody_reads_what_is_said(file: Path, model: Path) -> None:
    out = file.parent / "out.h5ad"
    asked = ("generate", file, "--section", "section_1", "--model", model, "--mask-key", "hole")
    with pytest.raises(SystemExit) as ended:
        cli.main([*map(str, asked), "--out", str(out)])
    assert ended.value.code == 0
    assert keys.EXPRESSION in read_tissue(out).layers


def test_draws_types_and_counts_are_written(file: Path, model: Path, tissue: AnnData) -> None:
    tissue.obs["kind"] = np.where(np.arange(tissue.n_obs) % 3, "a", "b")
    write_tissue(tissue, file, overwrite=True)
    options = ["--mask-key", "hole", "--mode", "sample", "--draws", 3, "--type-key", "kind"]
    common = ("generate", file, "--model", model, "--section", "section_1")
    told = run(*common, *options, "--out", file.parent / "told.h5ad")
    assert "gest_expression and gest_donor are draw 1 of 3" in told
    assert "the others are gest_draw_2, gest_draw_3" in told
    assert "agreement of draw 1 of 3 with" in told
    assert "draw 1 of 3" in run("info", file.parent / "told.h5ad")
    out = generated(file, model, "out.h5ad", *options)
    hole = tissue.obs["hole"].to_numpy()
    assert out.obs["gest_kind"].notna().tolist() == hole.tolist()
    assert out.obs["gest_kind_confidence"].dropna().between(0, 1).all()
    assert out.obs[keys.DONOR].notna().tolist() == hole.tolist()
    assert out.layers[keys.COUNTS].dtype.kind == "i"
    draws = [
        dense(out.layers[key])[hole] for key in (keys.EXPRESSION, "gest_draw_2", "gest_draw_3")
    ]
    assert not np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[1], draws[2])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--draws", "2"], "sample"),
        (["--type-key", "niche"], "gest_niche"),
        (["--type-key", "absent"], "no obs column"),
    ],
)
def test_draws_and_types_that_cannot_be_are_refused_before_work(
    file: Path, model: Path, tissue: AnnData, options: list[str], said: str
) -> None:
    tissue.obs["niche"] = "a"
    write_tissue(tissue, file, overwrite=True)
    common = ["generate", file, "--model", model, "--section", "section_1", "--mask-key", "hole"]
    out = file.parent / "o.h5ad"
    result = CliRunner().invoke(cli.app, [*map(str, common), "--out", str(out), *options])
    assert result.exit_code == 1
    assert said in result.stderr
    assert not out.exists()


def test_a_check_is_printed_and_written(file: Path, model: Path, tissue: AnnData) -> None:
    table = file.parent / "check.csv"
    common = ["generate", file, "--model", model, "--section", "section_1", "--mask-key", "hole"]
    out = file.parent / "checked.h5ad"
    told = run(*common, "--out", out, "--check", "--check-table", table)
    assert "check: " in told
    kept = read_tissue(out).uns[keys.UNS]
    assert kept["check"]["verdict"] in told
    assert kept["field"] == kept["check"]["field"]
    written = pd.read_csv(table, index_col="gene")
    assert written.index.tolist() == list(kept["check"]["genes"])
    again = CliRunner().invoke(
        cli.app,
        [*map(str, common), "--out", str(file.parent / "b.h5ad"), "--check-table", str(table)],
    )
    assert again.exit_code == 1
    assert "exists already" in again.stderr


def test_a_map_is_printed_and_written(file: Path, model: Path) -> None:
    table = file.parent / "map.csv"
    common = ["generate", file, "--model", model, "--section", "section_1", "--mask-key", "hole"]
    told = run(*common, "--out", file.parent / "mapped.h5ad", "--check-map", table)
    written = pd.read_csv(table, index_col="tile")
    said = written["expected_gain"].dropna()
    assert "map: A gain over the mean of" in told
    assert f"{int((said > 0).sum())} of {len(said)} tiles" in told


DAMAGE = {
    "counts": lambda shape: np.random.default_rng(0).poisson(50, shape),
    "large": lambda shape: np.full(shape, 1e30) * np.arange(shape[1]),
    "missing": lambda shape: np.full(shape, np.nan),
    "negative": lambda shape: -5 * np.random.default_rng(0).random(shape),
    "constant": lambda shape: np.zeros(shape),
}


@pytest.mark.parametrize(
    ("mode", "logged", "region"),
    [
        ("weighted", False, "mask"),
        ("sample", False, "roi"),
        ("weighted", True, "roi"),
        ("sample", True, "mask"),
    ],
)
def test_masked_cells_have_no_influence(
    file: Path, model: Path, tissue: AnnData, mode: str, logged: bool, region: str, centre: Any
) -> None:
    hole = tissue.obs["hole"].to_numpy()
    where = ["--mask-key", "hole"]
    if region == "roi":
        Roi(Point(*centre).buffer(70)).write_geojson(file.parent / "r.geojson")
        where = ["--roi", file.parent / "r.geojson"]
    values = tissue.X.toarray()
    if logged:
        values = np.log1p(values)
    options = [*where, "--mode", mode, *(["--scale", "log1p"] if logged else [])]
    tissue.X = sparse.csr_matrix(values)
    write_tissue(tissue, file, overwrite=True)
    honest = generated(file, model, "out.h5ad", *options)
    for name, damage in DAMAGE.items():
        spoilt = values.copy()
        spoilt[hole] = damage(values[hole].shape)
        tissue.X = sparse.csr_matrix(spoilt)
        write_tissue(tissue, file, overwrite=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            other = generated(file, model, f"{name}.h5ad", *options)
        for key in (keys.EXPRESSION, keys.SD):
            assert np.array_equal(dense(honest.layers[key]), dense(other.layers[key])), name
        for key in (keys.ENTROPY, keys.META_CELL):
            assert np.array_equal(honest.obs[key], other.obs[key], equal_nan=True), name


def test_what_is_masked_does_not_make_logged_values_linear(
    file: Path, model: Path, tissue: AnnData
) -> None:
    hole = tissue.obs["hole"].to_numpy()
    values = np.log1p(tissue.X.toarray())
    values[hole] = DAMAGE["counts"](values[hole].shape)
    tissue.X = sparse.csr_matrix(values)
    write_tissue(tissue, file, overwrite=True)
    common = ["generate", file, "--model", model, "--section", "section_1", "--mask-key", "hole"]
    result = CliRunner().invoke(cli.app, [*map(str, common), "--out", str(file.parent / "o.h5ad")])
    assert result.exit_code == 1
    assert "logged" in result.stderr


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_agreement_with_blanked_cells_is_left_out(file: Path, model: Path, tissue: AnnData) -> None:
    out = ("--section", "section_1", "--out", file.parent / "out.h5ad", "--overwrite")
    common = ("generate", file, "--model", model, "--mask-key", "hole", *out)
    assert "agreement with the" in run(*common)
    for constant in (0, 3):
        values = tissue.X.toarray()
        values[tissue.obs["hole"].to_numpy()] = constant
        tissue.X = sparse.csr_matrix(values)
        write_tissue(tissue, file, overwrite=True)
        told = run(*common)
        assert "generated" in told
        assert "agreement with the" not in told


def test_a_drawn_region_is_filled(file: Path, model: Path, centre: np.ndarray) -> None:
    Roi(Point(*centre).buffer(70)).write_geojson(file.parent / "r.geojson")
    drawn = generated(file, model, "a.h5ad", "--roi", file.parent / "r.geojson")
    masked = generated(file, model, "b.h5ad", "--mask-key", "hole")
    assert np.array_equal(
        dense(drawn.layers[keys.EXPRESSION]), dense(masked.layers[keys.EXPRESSION])
    )


def test_a_region_without_cells_gets_new_ones(
    file: Path, model: Path, tissue: AnnData, centre: np.ndarray
) -> None:
    torn = tissue[~tissue.obs["hole"].to_numpy()].copy()
    write_tissue(torn, file, overwrite=True)
    roi = Roi(Point(*centre).buffer(69))
    roi.write_geojson(file.parent / "r.geojson")
    out = generated(file, model, "out.h5ad", "--roi", file.parent / "r.geojson")
    new = out.obs[keys.NEW_CELL].to_numpy()
    assert new.sum() == out.n_obs - torn.n_obs > 5
    assert (new == out.obs[keys.GENERATED].to_numpy()).all()
    assert roi.contains(out.obsm["spatial"][new]).all()
    assert out.obs_names.is_unique


def test_gaps_between_cells_are_filled(
    file: Path, model: Path, tissue: AnnData, centre: np.ndarray
) -> None:
    hole = np.flatnonzero(tissue.obs["hole"].to_numpy())
    thinned = tissue[np.delete(np.arange(tissue.n_obs), hole[::2])].copy()
    write_tissue(thinned, file, overwrite=True)
    Roi(Point(*centre).buffer(70)).write_geojson(file.parent / "r.geojson")
    roi = ("--roi", file.parent / "r.geojson", "--place-cells")
    out = generated(file, model, "out.h5ad", *roi)
    new = out.obs[keys.NEW_CELL].to_numpy()
    assert new.sum() == out.n_obs - thinned.n_obs > 2
    assert (new == out.obs[keys.GENERATED].to_numpy()).all()  # the cells it has stay measured


def test_a_full_region_has_no_room(file: Path, model: Path, centre: np.ndarray) -> None:
    Roi(Point(*centre).buffer(2)).write_geojson(file.parent / "r.geojson")
    common = ("generate", file, "--model", model, "--section", "section_1", "--place-cells")
    out = file.parent / "out.h5ad"
    arguments = [*common, "--roi", file.parent / "r.geojson", "--out", out]
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    assert result.exit_code == 1
    assert "no room" in result.stderr
    assert not out.exists()


def test_a_foreign_panel_is_refused(file: Path, model: Path, tissue: AnnData) -> None:
    tissue.var_names = [f"other_{name}" for name in tissue.var_names]
    write_tissue(tissue, file, overwrite=True)
    common = ["generate", file, "--model", model, "--section", "section_1", "--mask-key", "hole"]
    arguments = [str(a) for a in [*common, "--out", file.parent / "out.h5ad"]]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 1
    assert "0 of the model's 30 genes" in result.stderr
    assert "fine-tune" in result.stderr
    assert not (file.parent / "out.h5ad").exists()


def test_fit_then_generate_then_fine_tune(file: Path, tissue: AnnData) -> None:
    folder = file.parent
    small = ("--meta-cells", 12, "--layers", 1, "--heads", 2, "--width", 16, "--steps", 3)
    run("fit", file, "--out", folder / "first", *small, "--validation-section", "section_2")
    first = GeST.load(folder / "first")
    assert first.config.d_model == 16
    assert first.genes == tuple(tissue.var_names)
    generated(file, folder / "first", "out.h5ad", "--mask-key", "hole")

    other = tissue[:, ::2].copy()
    other.var_names = [f"other_{name}" for name in other.var_names]
    write_tissue(other, folder / "other.h5ad")
    start = ("--model", folder / "first", "--steps", 2)
    run("fine-tune", folder / "other.h5ad", "--out", folder / "second", *start)
    assert GeST.load(folder / "second").genes == tuple(other.var_names)
    assert "first" in run("info", folder / "first")


def test_training_goes_on_from_its_state(file: Path) -> None:
    folder = file.parent
    common = ("fit", file, "--meta-cells", 12, "--layers", 1, "--heads", 2, "--width", 16)
    resume = ("--steps", 4, "--resume", folder / "state")
    run(*common, *resume, "--out", folder / "first")
    assert (folder / "state").is_dir()
    run(*common, *resume, "--out", folder / "again")
    one, two = (GeST.load(folder / name).network.state_dict() for name in ("first", "again"))
    assert all((one[key] == two[key]).all() for key in one)
