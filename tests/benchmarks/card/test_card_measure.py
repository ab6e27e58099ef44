"""What is measured: the data of a row, bins made of cells, and expression without quantisation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData

from benchmarks.card import measure
from benchmarks.card.bins import binned
from benchmarks.card.rows import DEVELOPMENT, QUICK, TEST, Data
from benchmarks.common.datasets import VALIDATION_SEED
from benchmarks.generation.baselines import KnnMean
from napari_gest.tissue.io import write_tissue


@pytest.fixture
def data(tissue: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Data:
    monkeypatch.setattr(measure, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(measure, "RADII_UM", (80.0, 120.0))
    write_tissue(tissue, tmp_path / "t.h5ad")
    return Data("simulated", str(tmp_path / "t.h5ad"), ("section_1",), "section_2", DEVELOPMENT)


def test_a_decoder_is_scored_on_holes_that_no_test_has(data: Data, monkeypatch) -> None:
    seeds = []
    load = measure.load
    monkeypatch.setattr(measure, "load", lambda *a, **k: seeds.append(k["seed"]) or load(*a, **k))
    found = measure.measure(QUICK, data, 3)
    measure.measure(QUICK, replace(data, part=TEST), 3)
    assert seeds == [VALIDATION_SEED + 3, 3]
    assert found["n_holes"] == 2
    assert set(found["scores"]) == {"GeST"}
    assert all(np.isfinite(v) for v in found["scores"]["GeST"].values())


def test_a_share_trains_on_a_connected_part(data: Data) -> None:
    whole = measure.measure(QUICK, data, 0)["n_train"]
    half = measure.measure(replace(QUICK, extra={"share": 0.5}), data, 0)["n_train"]
    assert half == whole // 2
    own = measure.measure(replace(QUICK, extra={"own": True}), data, 0)["n_train"]
    assert own != whole


def test_methods_are_scored_by_gene_too(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "tuned", lambda loaded, seed: [KnnMean(20)])
    row = replace(QUICK, table="1", kind="methods")
    found = measure.measure(row, data, 0)
    assert set(found["scores"]) == {"GeST", "GeST, no field", "GeST, pick", "kNN mean"}
    assert {len(errors) for errors in found["genes"].values()} == {30}
    smooth = found["scores"]["kNN mean"]
    assert smooth["rmse_z"] == pytest.approx(np.nanmean(found["genes"]["kNN mean"]), abs=0.05)


def test_without_quantisation_it_learns_what_cells_express(data: Data) -> None:
    row = replace(QUICK, extra={"continuous": True}, train=QUICK.train | {"n_steps": 30})
    found = measure.measure(row, data, 0)["scores"]["GeST"]
    quantised = measure.measure(replace(row, extra={}), data, 0)["scores"]["GeST"]
    assert found["rmse_z"] < np.sqrt(2)
    assert found["rmse_z"] != quantised["rmse_z"]
    assert found["spearman_gene_svg"] > 0


def test_bins_hold_the_cells_that_lie_in_them(tissue: AnnData) -> None:
    made = binned(tissue, 60.0, least_cells=1)
    assert made.X.sum() == pytest.approx(tissue.X.sum())
    assert made.obs["n_cells"].sum() == tissue.n_obs
    at = np.floor(tissue.obsm["spatial"] / 60.0)
    section = tissue.obs["section"].astype(str).to_numpy()
    inside = (at == at[0]).all(1) & (section == section[0])
    place = (made.obsm["spatial"] == (at[0] + 0.5) * 60.0).all(1)
    place &= made.obs["section"].astype(str).to_numpy() == section[0]
    assert place.sum() == 1
    assert np.allclose(made.X[place].toarray()[0], np.asarray(tissue.X[inside].sum(0)).ravel())
    fewer = binned(tissue, 60.0, least_cells=3)
    assert fewer.n_obs < made.n_obs
    assert fewer.obs["n_cells"].min() >= 3
