"""The reader and the samples. No Qt."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Layer

from napari_gest import _reader
from napari_gest.app import sample_tissue
from napari_gest.canvas.shapes import role_of
from napari_gest.tissue.io import write_tissue


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_a_file_becomes_one_layer_a_section(tissue, tmp_path, suffix):
    path = tmp_path / f"tissue{suffix}"
    write_tissue(tissue, path)
    reader = _reader.get_reader(str(path))
    made = [Layer.create(*data) for data in reader(str(path))]
    assert [layer.name for layer in made] == ["section_1", "section_2"]
    assert [len(layer.data) for layer in made] == [600, 600]
    np.testing.assert_array_equal(
        made[1].metadata["gest"]["opened"].section.coords_um, made[1].data[:, ::-1]
    )


def test_several_files_are_read_together(tissue, tmp_path):
    paths = [str(tmp_path / f"{name}.h5ad") for name in "ab"]
    for path in paths:
        write_tissue(tissue, path)
    assert len(_reader.get_reader(paths)(paths)) == 4


def test_other_files_are_left_to_other_readers(tmp_path):
    (tmp_path / "image.tif").touch()
    (tmp_path / "image.zarr").mkdir()
    (tmp_path / "image.zarr" / ".zattrs").write_text('{"multiscales": []}')
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "broken.zarr" / "zarr.json").write_text("{")
    for name, text in (("deep.zarr", "[" * 100_000), ("list.zarr", '{"attributes": [1]}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "zarr.json").write_text(text)
    others = ("image.tif", "image.zarr", "broken.zarr", "deep.zarr", "list.zarr", "absent.h5ad")
    for name in others:
        assert _reader.get_reader(str(tmp_path / name)) is None
    assert _reader.get_reader([]) is None


@pytest.mark.skipif(not sample_tissue.SAMPLE_SECTION.is_file(), reason="the sample is not made yet")
def test_samples_ship_with_the_package():
    (cells,) = _reader.sample_section()
    assert len(cells[0]) > 500
    cells_layer, region = (Layer.create(*data) for data in _reader.sample_section_with_region())
    assert role_of(region) == "unseen"
    low, high = cells_layer.extent.world
    assert (region.extent.world[0] > low).all()
    assert (region.extent.world[1] < high).all()
