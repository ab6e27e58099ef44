"""What was generated: written beside what was measured, and compared with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from napari_gest import keys
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.generate import generate
from napari_gest.tissue import io
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.reading import Reading
from napari_gest.tissue.section import Section

pytestmark = pytest.mark.usefixtures("short_field")


def test_new_cells_are_added_never_written_over(
    tissue: AnnData, section: Section, tiny_model: GeST
) -> None:
    nothing = np.zeros(section.n_obs, bool)
    new = section.coords_um.mean(0) + np.random.default_rng(0).normal(0, 20, (12, 2))
    result = generate(section, tiny_model, nothing, new_coords_um=new)
    assert (result.rows == -1).all()
    out = result.to_anndata(tissue)
    assert out.n_obs == tissue.n_obs + 12
    assert out.obs[keys.NEW_CELL].sum() == 12
    assert np.allclose(out.obsm["spatial"][-12:], new)
    assert (out.X[: tissue.n_obs] != tissue.X).nnz == 0
    again = result.to_anndata(out)
    assert again.obs_names.is_unique
    assert again.obs[keys.NEW_CELL].sum() == again.obs[keys.GENERATED].sum() == 24


def test_write_keeps_what_was_generated_before(
    tissue: AnnData, section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    one, two = unseen.copy(), unseen.copy()
    half = np.flatnonzero(unseen)
    one[half[::2]], two[half[1::2]] = False, False
    first = generate(section, tiny_model, one)
    changed = first.write(tissue)
    assert keys.EXPRESSION in changed
    generate(section, tiny_model, two).write(tissue)
    rows = section.rows[one]
    assert tissue.obs[keys.GENERATED].sum() == unseen.sum()
    assert np.allclose(tissue.layers[keys.EXPRESSION][rows].toarray(), first.expression)


def test_genes_outside_the_panel_are_missing(
    tissue: AnnData, tiny_model: GeST, unseen: np.ndarray
) -> None:
    wider = tissue.copy()
    wider.var_names = [*wider.var_names[:-2], "other_1", "other_2"]
    section = Section.from_anndata(wider, "section_1")
    generate(section, tiny_model, unseen).write(wider)
    made = wider.layers[keys.EXPRESSION][section.rows[unseen]].toarray()
    assert np.isnan(made[:, -2:]).all()
    assert np.isfinite(made[:, :-2]).all()


def test_agreement_of_the_truth_is_perfect(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    result = generate(section, tiny_model, unseen)
    truth = section.model_space(tiny_model.target_sum)[unseen]
    perfect = replace(result, expression=truth).agreement(section)
    assert perfect.rmse == pytest.approx(0, abs=1e-6)
    assert perfect.rmse_z == pytest.approx(0, abs=1e-3)
    assert perfect.pearson == pytest.approx(1)
    assert perfect.spearman == pytest.approx(1)
    found = result.agreement(section)
    assert found.n_cells == unseen.sum()
    assert found.rmse > 0.01
    assert found.neighbours is not None
    assert found.neighbours.rmse == perfect.neighbours.rmse


@pytest.mark.parametrize("name", ["in.h5ad", "in.zarr"])
def test_tissue_on_disk_is_filled_in_a_copy(
    tissue: AnnData,
    tiny_model: GeST,
    unseen: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    write_tissue(tissue, tmp_path / name)
    monkeypatch.setattr(io, "_BACKED_BYTES", 1)
    opened = read_tissue(tmp_path / name)
    made = []
    for adata in (tissue, opened):
        result = generate(Section.from_anndata(adata, "section_1"), tiny_model, unseen)
        made.append(result.to_anndata(adata))
        assert keys.GENERATED not in adata.obs
        assert keys.EXPRESSION not in adata.layers
    assert (made[0].X != made[1].X).nnz == 0
    assert (made[0].layers[keys.EXPRESSION] != made[1].layers[keys.EXPRESSION]).nnz == 0
    if opened.isbacked:
        opened.file.close()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_agreement_is_with_cells_that_were_measured(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    result = generate(section, tiny_model, unseen)
    dense = section.expression.toarray()
    for value in (0, 4):
        dense[unseen] = value
        blank = replace(section, expression=sparse.csr_matrix(dense))
        assert result.agreement(blank) is None
    dense = section.expression.toarray()
    dense[np.flatnonzero(unseen)[:5]] = 0
    half = replace(section, expression=sparse.csr_matrix(dense))
    assert result.agreement(half).n_cells == unseen.sum() - 5


def test_new_cells_are_stored_as_the_tissue_was_read(tissue: AnnData, tiny_model: GeST) -> None:
    tissue.obsm["pixels"] = tissue.obsm.pop("spatial") / 0.25
    tissue.obs["slide"] = tissue.obs.pop("section")
    section = Section.read(Reading("pixels", "slide", um_per_unit=0.25), tissue, "section_1")
    new = section.coords_um.mean(0) + np.array([[0.0, 0.0], [5.0, 9.0]])
    nothing = np.zeros(section.n_obs, bool)
    out = generate(section, tiny_model, nothing, new_coords_um=new).to_anndata(tissue)
    assert np.allclose(out.obsm["pixels"][-2:], new / 0.25)
    assert (out.obs["slide"].iloc[-2:] == "section_1").all()
    again = Section.read(Reading("pixels", "slide", um_per_unit=0.25), out, "section_1")
    assert again.n_obs == section.n_obs
    assert np.allclose(again.generated_um, new)
    reading = Reading("pixels", "slide", keys.EXPRESSION, 0.25, "log1p", True)
    assert np.allclose(Section.read(reading, out, "section_1").coords_um[-2:], new)


_TEXT = np.full((2, 3), "text")


@pytest.mark.parametrize(
    "values", [_TEXT, _TEXT.astype(object), np.ones((2, 3), "f2"), np.ones((2, 3), ">f4")]
)
def test_new_cells_follow_layers_of_any_type(
    section: Section, tissue: AnnData, tiny_model: GeST, tmp_path: Path, values: np.ndarray
) -> None:
    tissue.layers["other"] = np.resize(values, tissue.shape)
    section = Section.from_anndata(tissue, "section_1")
    nothing = np.zeros(section.n_obs, bool)
    made = generate(section, tiny_model, nothing, new_coords_um=section.coords_um[:1] + 3.0)
    out = made.to_anndata(tissue)
    assert np.array_equal(out.layers["other"][:-1], tissue.layers["other"])
    assert not out.layers["other"][-1].any()
    write_tissue(out, tmp_path / "out.h5ad")
    assert not read_tissue(tmp_path / "out.h5ad").layers["other"][-1].any()


def test_new_cells_follow_tissue_without_x(tissue: AnnData, tiny_model: GeST) -> None:
    tissue.layers["counts"], tissue.X = tissue.X, None
    section = Section.from_anndata(tissue, "section_1", layer="counts")
    nothing = np.zeros(section.n_obs, bool)
    new = section.coords_um[:1] + 3.0
    out = generate(section, tiny_model, nothing, new_coords_um=new).to_anndata(tissue)
    assert out.X is None
    assert out.layers["counts"][-1].nnz == 0
    assert out.layers[keys.EXPRESSION][-1].nnz > 0


def _frame(adata: AnnData, kind: type) -> pd.DataFrame:
    return pd.DataFrame(adata.obsm["spatial"].astype(kind), adata.obs_names, ["x", "y"])


@pytest.mark.parametrize(
    "held",
    [
        lambda adata: _frame(adata, float),
        lambda adata: _frame(adata, str),
        lambda adata: adata.obsm["spatial"].astype(np.dtypes.StringDType()),
        lambda adata: adata.obsm["spatial"].astype(str).astype(object),
    ],
)
@pytest.mark.parametrize("numbered", [False, True])
def test_new_cells_follow_positions_and_sections_of_any_type(
    tissue: AnnData, tiny_model: GeST, tmp_path: Path, held: Callable[..., Any], numbered: bool
) -> None:
    tissue.obsm["spatial"] = held(tissue)
    name = "section_1"
    if numbered:
        tissue.obs["section"] = np.where(tissue.obs["section"] == name, 1, 2)
        name = "1"
    section = Section.from_anndata(tissue, name)
    nothing, new = np.zeros(section.n_obs, bool), section.coords_um[:1] + 3.0
    out = generate(section, tiny_model, nothing, new_coords_um=new).to_anndata(tissue)
    write_tissue(out, tmp_path / "out.h5ad")
    again = Section.from_anndata(read_tissue(tmp_path / "out.h5ad"), name)
    np.testing.assert_allclose(again.coords_um, section.coords_um)
    np.testing.assert_allclose(again.generated_um, new)
