"""Layers that are made as they are written hold what is made in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from napari_gest import keys
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation import filled_layers
from napari_gest.tasks.generation.filled_layers import (
    FilledLayer,
    empty_rows,
    held_rows,
    replace_rows,
)
from napari_gest.tasks.generation.generate import generate
from napari_gest.tasks.workers import workers
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.section import Section

pytestmark = pytest.mark.usefixtures("short_field")


def same(a: AnnData, b: AnnData) -> bool:
    """Whether two tissues hold the same, bit for bit and in the same types."""

    def parts(matrix: sparse.csr_matrix) -> list[np.ndarray]:
        matrix = sparse.csr_matrix(matrix).sorted_indices()
        return [matrix.data, matrix.indices, matrix.indptr]

    names = {key for key in a.layers if key is not None}
    assert names == {key for key in b.layers if key is not None}
    pairs = [(a.X, b.X), *((a.layers[key], b.layers[key]) for key in names)]
    return a.obs.equals(b.obs) and all(
        x.dtype == y.dtype and np.array_equal(i, j, equal_nan=x.dtype.kind == "f")
        for x, y in pairs
        for i, j in zip(parts(x), parts(y), strict=True)
    )


@pytest.mark.parametrize("name", ["in.h5ad", "in.zarr"])
@pytest.mark.parametrize("out", ["out.h5ad", "out.zarr"])
def test_tissue_on_disk_is_written_as_tissue_in_memory(
    tissue: AnnData,
    tiny_model: GeST,
    unseen: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    out: str,
) -> None:
    monkeypatch.setattr(filled_layers, "_AT_ONCE", 100)
    write_tissue(tissue, tmp_path / name)
    half = np.zeros_like(unseen)
    half[np.flatnonzero(unseen)[::2]] = True

    def run(adata: AnnData, mask: np.ndarray, path: Path, *, lazy: bool, draws: int) -> None:
        section = Section.from_anndata(adata, "section_1", lazy=lazy)
        made = generate(section, tiny_model, mask, mode="sample", draws=draws, expected=draws > 1)
        if lazy:
            made.write_copy(adata, path)
            assert keys.GENERATED not in adata.obs or draws == 1
        else:
            write_tissue(made.to_anndata(adata), path)

    for lazy in (False, True):
        first = tmp_path / f"{lazy}-{out}"
        run(read_tissue(tmp_path / name, lazy=lazy), half, first, lazy=lazy, draws=2)
        # On top of what was written: its layers are read, filled and written again.
        again = tmp_path / f"{lazy}-again-{out}"
        run(read_tissue(first, lazy=lazy), unseen, again, lazy=lazy, draws=1)
    for one, other in (("False-", "True-"), ("False-again-", "True-again-")):
        a, b = (read_tissue(tmp_path / f"{which}{out}") for which in (one, other))
        assert same(a, b)
        assert a.layers[keys.COUNTS].dtype == np.int32


def test_workers_make_the_same_layers(
    tissue: AnnData,
    tiny_model: GeST,
    unseen: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("distributed", reason="Dask's distributed is not installed")
    monkeypatch.setattr(filled_layers, "_AT_ONCE", 300)
    write_tissue(tissue, tmp_path / "in.zarr")
    adata = read_tissue(tmp_path / "in.zarr", lazy=True)
    section = Section.from_anndata(adata, "section_1", lazy=True)
    made = generate(section, tiny_model, unseen, mode="sample")
    made.write_copy(adata, tmp_path / "one.zarr")
    with workers(n_workers=2) as doing:
        made.write_copy(adata, tmp_path / "two.zarr", workers=doing)
    assert same(read_tissue(tmp_path / "one.zarr"), read_tissue(tmp_path / "two.zarr"))


def test_new_cells_are_written_with_all_in_memory(
    tissue: AnnData, tiny_model: GeST, tmp_path: Path
) -> None:
    write_tissue(tissue, tmp_path / "in.zarr")
    adata = read_tissue(tmp_path / "in.zarr", lazy=True)
    section = Section.from_anndata(adata, "section_1", lazy=True)
    new = section.coords_um.mean(0) + np.random.default_rng(0).normal(0, 20, (5, 2))
    made = generate(section, tiny_model, np.zeros(section.n_obs, bool), new_coords_um=new)
    made.write_copy(adata, tmp_path / "out.zarr")
    assert same(read_tissue(tmp_path / "out.zarr"), made.to_anndata(adata))


def test_blocks_are_parts_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filled_layers, "_AT_ONCE", 7)
    held = sparse.random(20, 5, 0.5, format="csr", random_state=0, dtype=np.float32)
    rows, values = np.array([13, 2, 19]), sparse.csr_matrix(np.full((3, 5), 8, np.float32))
    layer = FilledLayer((20, 5), np.dtype(np.float32), held_rows(held, "X"), rows, values)
    wanted = held.toarray()
    wanted[rows] = 8
    np.testing.assert_array_equal(layer.whole.toarray(), wanted)
    np.testing.assert_array_equal(sparse.vstack([*layer.blocks()]).toarray(), wanted)
    assert len([*layer.blocks()]) == 3
    assert not empty_rows(5)(slice(3, 9)).nnz
    assert replace_rows(held, np.empty(0, np.int64), values[:0]) is held
