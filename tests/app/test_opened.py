"""What is worked out of a section before the window asks for it. No Qt."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_gest.app.opened import Snapshot, cell_size, open_sections, read_to_open
from napari_gest.errors import InputError
from napari_gest.tissue import io
from napari_gest.tissue.io import in_memory, read_tissue, write_tissue
from napari_gest.tissue.on_disk import matrices_on_disk


@pytest.mark.parametrize("coords", [np.zeros((1, 2)), np.zeros((5, 2))])
def test_cells_without_neighbours_still_have_a_size(coords):
    assert cell_size(cKDTree(coords)) > 0


def test_a_cell_is_about_as_large_as_its_distance_to_the_next():
    grid = np.stack(np.meshgrid(np.arange(20), np.arange(20)), -1).reshape(-1, 2) * 7.0
    assert cell_size(cKDTree(grid)) == pytest.approx(7.0, rel=0.2)


def test_runs_refuse_a_large_tissue_whose_file_was_changed(tissue, tmp_path, monkeypatch):
    path = tmp_path / "tissue.h5ad"
    write_tissue(tissue, path)
    monkeypatch.setattr(io, "_BACKED_BYTES", 1)
    opened = open_sections(read_tissue(path), path)[0]
    assert Snapshot.of(opened).section is opened.section
    path.rename(tmp_path / "moved.h5ad")
    with pytest.raises(InputError, match="changed or moved"):
        Snapshot.of(opened)
    write_tissue(tissue, path)
    with pytest.raises(InputError, match="changed or moved"):
        opened.require_same_file()


def test_a_large_file_can_be_read_after_its_tissue_was_copied(tissue, tmp_path, monkeypatch):
    path = tmp_path / "tissue.h5ad"
    write_tissue(tissue, path)
    monkeypatch.setattr(io, "_BACKED_BYTES", 1)
    opened = open_sections(read_to_open(path), path)[0]
    before = opened.section.expression[:5].toarray()
    assert not any(matrices_on_disk(in_memory(opened.adata)))
    np.testing.assert_array_equal(opened.section.expression[:5].toarray(), before)


def test_tissue_in_memory_does_not_need_its_file(tissue, tmp_path):
    path = tmp_path / "tissue.h5ad"
    write_tissue(tissue, path)
    opened = open_sections(read_tissue(path), path)[0]
    path.unlink()
    opened.require_same_file()


def test_the_spacing_of_cells_is_looked_up_once_in_the_tree_of_the_section(opened, monkeypatch):
    coords = opened.section.coords_um
    apart = cKDTree(coords).query(coords, k=2)[0][:, 1]
    assert opened.spacing_um == pytest.approx(np.median(apart), rel=0.2)
    monkeypatch.setattr(type(opened), "tree", None)
    assert opened.spacing_um > 0
