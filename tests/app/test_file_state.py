"""Tissue that is left on disk is watched. No Qt."""

from __future__ import annotations

import pytest

from napari_gest.app.opened import Snapshot, open_sections, read_to_open
from napari_gest.errors import InputError
from napari_gest.tissue import io
from napari_gest.tissue.io import write_tissue


def test_a_large_folder_is_another_one_once_a_part_of_a_matrix_is(tissue, tmp_path, monkeypatch):
    path = tmp_path / "tissue.zarr"
    write_tissue(tissue, path)
    monkeypatch.setattr(io, "_BACKED_BYTES", 1)
    opened = open_sections(read_to_open(path), path)[0]
    assert opened.section.on_disk
    opened.require_same_file()
    (path / "obs" / "more").write_text("what is beside the matrices may change")
    (path / "more").write_text("the same")
    opened.require_same_file()
    parts = [one for one in (path / "X").rglob("*") if one.is_file() and "zarr" not in one.name]
    part = max(parts, key=lambda one: one.stat().st_size)
    part.rename(tmp_path / "part")  # zarr reads zeros in its place
    with pytest.raises(InputError, match="changed or moved"):
        opened.require_same_file()
    (tmp_path / "part").rename(part)
    opened.require_same_file()
    part.write_bytes(part.read_bytes())  # of the same size, at another time
    with pytest.raises(InputError, match="changed or moved"):
        Snapshot.of(opened)
