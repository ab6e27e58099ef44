"""Where to save is proposed, and saving does not replace the file tissue is still read from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from qtpy.QtWidgets import QFileDialog

from napari_gest.app.sample_tissue import SAMPLE_SECTION
from napari_gest.app.session import Session
from napari_gest.errors import InputError
from napari_gest.tasks.progress import finish
from napari_gest.tissue import io
from napari_gest.tissue.io import in_memory, read_tissue, write_tissue
from napari_gest.widgets.common.saving import choose_file, folder_of, save_opened


@pytest.mark.parametrize("name", ["in.h5ad", "in.zarr"])
def test_tissue_on_disk_keeps_its_file(tissue, tmp_path, monkeypatch, name):
    write_tissue(tissue, tmp_path / name)
    monkeypatch.setattr(io, "_BACKED_BYTES", 1)
    backed = read_tissue(tmp_path / name)
    opened = SimpleNamespace(adata=backed, export=lambda: in_memory(backed)[:10].copy())
    works, said = [], []

    def start(work, on_done, owner) -> bool:
        works.append((work, on_done))
        return True

    noted = []
    context = SimpleNamespace(
        job_bar=SimpleNamespace(start=start, say=said.append),
        session=Session(),
        note_saved=noted.append,
    )

    def save(path):
        save_opened(context, None, opened, path, True)
        work, on_done = works[-1]
        on_done(finish(work()))

    with pytest.raises(InputError, match="the open tissue"):
        save(tmp_path / name)
    assert said == []
    save(tmp_path / f"other-{name}")
    assert said == [f"Saved other-{name}."]
    assert noted == [{}]
    assert in_memory(read_tissue(tmp_path / name)).n_obs == tissue.n_obs
    assert in_memory(read_tissue(tmp_path / f"other-{name}")).n_obs == 10
    if name == "in.h5ad":
        backed.file.close()


def test_a_file_beside_that_of_the_section_is_proposed(opened, tmp_path, monkeypatch):
    asked = []

    def ask(parent, title, start, kinds):
        asked.append(start)
        return (str(tmp_path / "mine.h5ad") if len(asked) > 1 else ""), kinds

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    opened.path, opened.label = tmp_path / "in.h5ad", "a/b"
    choose = lambda one: choose_file(None, "Save", one, "_niches.csv", "csv (*.csv)")  # noqa: E731
    assert choose(opened) is None
    assert choose(opened) == tmp_path / "mine.h5ad"
    choose(None)
    beside = str(tmp_path.resolve() / "a-b_niches.csv")
    assert asked == [beside, beside, str(Path.home() / "tissue_niches.csv")]


def test_nothing_is_saved_into_this_package(opened):
    opened.path = SAMPLE_SECTION
    assert folder_of(opened) == Path.home()
    opened.path = None
    assert folder_of(opened) == folder_of(None) == Path.home()
