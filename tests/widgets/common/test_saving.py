"""Saving does not replace the file that the open tissue is still read from."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from napari_gest.errors import InputError
from napari_gest.tasks.progress import finish
from napari_gest.tissue import io
from napari_gest.tissue.io import in_memory, read_tissue, write_tissue
from napari_gest.widgets.common.saving import save_opened


@pytest.mark.parametrize("name", ["in.h5ad", "in.zarr"])
def test_tissue_on_disk_keeps_its_file(tissue, tmp_path, monkeypatch, name):
    write_tissue(tissue, tmp_path / name)
    monkeypatch.setattr(io, "_BACKED_BYTES", 1)
    backed = read_tissue(tmp_path / name)
    opened = SimpleNamespace(adata=backed, export=lambda: in_memory(backed)[:10].copy())
    jobs = []
    context = SimpleNamespace(jobs=SimpleNamespace(start=jobs.append))

    def save(path):
        save_opened(context, None, opened, path, True, print)
        finish(jobs[-1].work())

    with pytest.raises(InputError, match="the open tissue"):
        save(tmp_path / name)
    save(tmp_path / f"other-{name}")
    assert in_memory(read_tissue(tmp_path / name)).n_obs == tissue.n_obs
    assert in_memory(read_tissue(tmp_path / f"other-{name}")).n_obs == 10
    if name == "in.h5ad":
        backed.file.close()
