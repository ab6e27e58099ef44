from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from napari_gest.errors import InputError, ReadingError
from napari_gest.tissue import io
from napari_gest.tissue import rows as rows_module
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.section import Section, section_names


def test_one_section_of_two(tissue: AnnData) -> None:
    assert section_names(tissue) == ["section_1", "section_2"]
    section = Section.from_anndata(tissue, "section_2")
    rows = np.flatnonzero(tissue.obs["section"] == "section_2")
    assert section.rows.tolist() == rows.tolist()
    assert section.n_obs == 600
    assert section.obs_names.tolist() == tissue.obs_names[rows].tolist()
    assert section.genes == tuple(tissue.var_names)
    assert np.array_equal(section.coords_um, tissue.obsm["spatial"][rows])
    assert (section.expression != tissue.X[rows]).nnz == 0
    assert section.expression.dtype == np.float32


def test_names_take_a_byte_a_letter_where_they_can(tissue: AnnData) -> None:
    section = Section.from_anndata(tissue, "section_1")
    assert section.names.dtype.kind == "S"
    assert section.names_of(np.array([3, 1])).tolist() == section.obs_names[[3, 1]].tolist()
    tissue.obs_names = [f"Zelle {i} \N{GREEK SMALL LETTER MU}" for i in range(tissue.n_obs)]
    section = Section.from_anndata(tissue, "section_1")
    assert section.names.dtype.kind == "U"
    assert section.obs_names.tolist() == tissue.obs_names[section.rows].tolist()


def test_keys_units_and_layers(tissue: AnnData) -> None:
    tissue.obsm["pixels"] = pd.DataFrame(tissue.obsm["spatial"] / 0.5, index=tissue.obs_names)
    tissue.obs["slice"] = tissue.obs["section"]
    tissue.layers["doubled"] = (tissue.X * 2).toarray()
    del tissue.obs["section"], tissue.obsm["spatial"]
    section = Section.from_anndata(
        tissue,
        "section_1",
        spatial_key="pixels",
        section_key="slice",
        layer="doubled",
        um_per_unit=0.5,
    )
    assert section.coords_um == pytest.approx(tissue.obsm["pixels"].to_numpy()[:600] * 0.5)
    assert (section.expression != tissue.X[:600] * 2).nnz == 0


def test_a_third_coordinate_is_left_out(tissue: AnnData) -> None:
    tissue.obsm["spatial"] = np.c_[tissue.obsm["spatial"], np.full(tissue.n_obs, np.nan)]
    assert Section.from_anndata(tissue, "section_1").coords_um.shape == (600, 2)


def test_without_a_section_column_all_cells_are_one(tissue: AnnData) -> None:
    del tissue.obs["section"]
    section = Section.from_anndata(tissue)
    assert section.name == "section"
    assert section.rows.tolist() == list(range(tissue.n_obs))


def test_cells_without_a_section_are_in_none(tissue: AnnData) -> None:
    tissue.obs.loc[tissue.obs_names[:100], "section"] = np.nan
    assert section_names(tissue) == ["section_1", "section_2"]
    assert Section.from_anndata(tissue, "section_1").rows.tolist() == list(range(100, 600))


def test_numbers_name_sections(tissue: AnnData) -> None:
    tissue.obs["section"] = np.repeat([151673, 151674], 600)
    assert Section.from_anndata(tissue, "151674").rows[0] == 600


@pytest.mark.parametrize("convert", [sparse.csr_matrix, sparse.csc_matrix, lambda x: x.toarray()])
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("name", ["in.h5ad", "in.zarr"])
def test_backed_equals_in_memory(
    tissue: AnnData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    convert: Callable[..., Any],
    interleaved: bool,
    name: str,
) -> None:
    monkeypatch.setattr(io, "_BACKED_BYTES", 1)
    monkeypatch.setattr(rows_module, "BLOCK", 70)
    tissue.X = convert(tissue.X)
    if interleaved:
        tissue = tissue[np.random.default_rng(0).permutation(tissue.n_obs)].copy()
    write_tissue(tissue, tmp_path / name)
    backed = read_tissue(tmp_path / name)
    for name in section_names(tissue):
        here, there = (Section.from_anndata(a, name) for a in (tissue, backed))
        assert (here.expression != there.expression).nnz == 0
        assert np.array_equal(here.coords_um, there.coords_um)
        assert np.array_equal(here.rows, there.rows)
    del backed.obs["section"]
    assert Section.from_anndata(backed).n_obs == tissue.n_obs
    if backed.isbacked:
        backed.file.close()


def test_a_view_is_read(tissue: AnnData) -> None:
    view = tissue[::2]
    assert (Section.from_anndata(view, "section_1").expression != tissue.X[:600:2]).nnz == 0


def test_nothing_is_modified(tissue: AnnData) -> None:
    tissue.X = tissue.X.log1p()
    before = tissue.copy()
    Section.from_anndata(tissue, "section_1", scale="log1p", um_per_unit=2)
    assert (tissue.X != before.X).nnz == 0
    assert np.array_equal(tissue.obsm["spatial"], before.obsm["spatial"])


def nan_coords(a: AnnData) -> None:
    a.obsm["spatial"][3, 1] = np.nan


def infinite_coords(a: AnnData) -> None:
    a.obsm["spatial"][3, 0] = np.inf


def one_column(a: AnnData) -> None:
    a.obsm["spatial"] = a.obsm["spatial"][:, :1]


def text_coords(a: AnnData) -> None:
    a.obsm["spatial"] = pd.DataFrame({"x": ["a"] * 1200, "y": ["b"] * 1200}, index=a.obs_names)


def no_coords(a: AnnData) -> None:
    del a.obsm["spatial"]


def no_x(a: AnnData) -> None:
    a.X = None


def twice_a_gene(a: AnnData) -> None:
    a.var_names = ["gene_1", *a.var_names[1:-1], "gene_1"]


def twice_a_cell(a: AnnData) -> None:
    a.obs_names = ["cell_1", *a.obs_names[1:]]


def negative(a: AnnData) -> None:
    a.X.data[0] = -1


def missing(a: AnnData) -> None:
    a.X.data[0] = np.nan


def all_zero(a: AnnData) -> None:
    a.X = a.X * 0


def logged(a: AnnData) -> None:
    a.X = a.X.log1p()


def text(a: AnnData) -> None:
    a.X = np.full(a.shape, "a", dtype=object)


def far_away(a: AnnData) -> None:
    a.obsm["spatial"] = a.obsm["spatial"] * 1e200


def in_one_place(a: AnnData) -> None:
    a.obsm["spatial"] = np.full((1200, 2), 5.0)


def too_large(a: AnnData) -> None:
    a.X.data[0] = 1e30


def sections_of_lists(a: AnnData) -> None:
    a.obs["section"] = pd.Series([[1]] * 1200, a.obs.index, dtype=object)


def twice_a_column(a: AnnData) -> None:
    a.obs = pd.concat([a.obs, a.obs[["section"]]], axis=1)


def unnamed_sections(a: AnnData) -> None:
    a.obs["section"] = np.nan


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (nan_coords, "1 of 600 cells have missing or infinite coordinates"),
        (infinite_coords, "1 of 600 cells have missing or infinite coordinates"),
        (one_column, "has shape"),
        (text_coords, "not numeric"),
        (no_coords, "no coordinates"),
        (no_x, "no expression matrix"),
        (twice_a_gene, "duplicated gene names: gene_1"),
        (twice_a_cell, "duplicated cell names: cell_1"),
        (negative, "negative"),
        (missing, "missing or infinite expression"),
        (all_zero, "no expression above zero"),
        (logged, "logged"),
        (text, "not numeric"),
        (unnamed_sections, "0 sections"),
        (far_away, "from the origin"),
        (in_one_place, "in one place"),
        (too_large, "expression up to"),
        (sections_of_lists, "neither names nor numbers"),
        (twice_a_column, "more than one column 'section'"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*not unique")
def test_bad_tissue_is_refused(
    tissue: AnnData, spoil: Callable[[AnnData], None], cause: str
) -> None:
    spoil(tissue)
    with pytest.raises(InputError, match=cause) as caught:
        Section.from_anndata(tissue, "section_1")
    assert caught.value.remedy


@pytest.mark.parametrize("spoil", [negative, missing])
def test_damage_in_unseen_cells_is_allowed(
    tissue: AnnData, spoil: Callable[[AnnData], None]
) -> None:
    before = Section.from_anndata(tissue, "section_1").expression
    spoil(tissue)
    first = np.arange(tissue.n_obs) == 0  # the cell that is spoilt
    tissue.obs["hole"] = first
    section = Section.from_anndata(tissue, "section_1", unseen="hole")
    assert section.expression[0].nnz == 0
    assert (section.expression[1:] != before[1:]).nnz == 0
    assert not section.logged
    tissue.obs["hole"] = ~first
    with pytest.raises(InputError, match=r"negative|missing"):
        Section.from_anndata(tissue, "section_1", unseen="hole")
    with pytest.raises(InputError, match="no obs column 'gap'"):
        Section.from_anndata(tissue, "section_1", unseen="gap")


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({}, "2 sections: section_1, section_2"),
        ({"name": "section_3"}, "no section 'section_3'"),
        ({"name": "section_1", "spatial_key": "xy"}, "no coordinates"),
        ({"name": "section_1", "layer": "raw"}, "no layer 'raw'"),
        ({"name": "section_1", "um_per_unit": 0}, "um_per_unit"),
        ({"name": "section_1", "um_per_unit": np.nan}, "um_per_unit"),
        ({"name": "section_1", "um_per_unit": np.inf}, "um_per_unit"),
        ({"name": "section_1", "um_per_unit": 1e308}, r"um_per_unit is 1e\+308"),
        ({"name": "section_1", "um_per_unit": 1e8}, "from the origin"),
        ({"name": "section_1", "um_per_unit": 1e-300}, "in one place"),
    ],
)
def test_bad_settings_are_refused(tissue: AnnData, settings: dict[str, Any], cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        Section.from_anndata(tissue, **settings)


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(InputError, match="0 cells"):
        Section.from_anndata(AnnData(np.empty((0, 3), dtype=np.float32)))


# A set of rows, not 600 truth values: on a busy machine hypothesis gives up drawing those.
@settings(max_examples=30)
@given(st.sets(st.integers(0, 599)))
def test_subset_keeps_rows_together(kept: set[int]) -> None:
    keep = np.isin(np.arange(600), list(kept))
    coords = np.arange(1200.0).reshape(600, 2)
    names = np.array([f"c{i}" for i in range(600)])
    whole = Section(
        "s", coords, sparse.csr_matrix(np.arange(600.0)[:, None]), ("a",), names, np.arange(600)
    )
    part = whole.subset(keep)
    assert part.n_obs == len(kept)
    assert np.array_equal(part.coords_um, coords[part.rows])
    assert np.array_equal(part.expression.toarray()[:, 0], part.rows)
    assert np.array_equal(part.obs_names, names[part.rows])


def test_align_reorders_and_marks_what_is_missing(section: Section) -> None:
    panel = ("new", *section.genes[::-2])
    expression, measured = section.align(panel)
    assert measured.tolist() == [False] + [True] * 15
    assert expression.shape == (600, 16)
    assert expression[:, 0].nnz == 0
    assert (expression[:, 1:] != section.expression[:, ::-2]).nnz == 0
    assert section.align(section.genes)[0] is section.expression


def test_align_refuses_a_foreign_panel(section: Section) -> None:
    with pytest.raises(InputError, match="0 of the model's 3 genes"):
        section.align(("a", "b", "c"))


@pytest.mark.data
def test_real_sections_pass_the_checks(data_dir: Path) -> None:
    for path in sorted(data_dir.glob("*.h5ad")):
        adata = anndata.read_h5ad(path)
        for name in section_names(adata):
            section = Section.from_anndata(adata, name)
            assert section.n_obs == (adata.obs["section"].astype(str) == name).sum()


def test_scripts_of_earlier_versions_still_read_logged_values(tissue: AnnData) -> None:
    linear = Section.from_anndata(tissue, "section_1", allow_logged=True)
    assert linear.scale == "auto"
    logged = tissue.copy()
    logged.X = sparse.csr_matrix(tissue.X, dtype=np.float32).log1p()
    again = Section.from_anndata(logged, "section_1", allow_logged=True)
    assert again.scale == "log1p"
    np.testing.assert_allclose(again.expression.toarray(), linear.expression.toarray(), rtol=1e-4)
    with pytest.raises(ReadingError):
        Section.from_anndata(logged, "section_1")
