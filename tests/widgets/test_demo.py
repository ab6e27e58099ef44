"""The demo leaves its pictures and its file, and can be run again."""

from __future__ import annotations

import gc
import itertools

import anndata as ad
import numpy as np
import pytest

from napari_gest import keys
from napari_gest.app import model_registry, sample_tissue
from napari_gest.errors import InputError
from napari_gest.tissue.io import write_tissue
from napari_gest.tissue.roi import Roi
from napari_gest.widgets import display
from napari_gest.widgets.demo import MARGIN, PICTURES, RESULT, SCALE, run_demo

pytestmark = pytest.mark.gui


@pytest.fixture(autouse=True)
def _windows_go(qtbot):
    yield
    for _ in range(2):  # what is closed is deleted when the event loop runs, then collected
        qtbot.wait(50)
        gc.collect()


@pytest.fixture
def sample(tissue, model_folder, tmp_path, monkeypatch, qapp):
    """Stand-ins for the bundled sample and model."""
    alone = tissue[tissue.obs["section"] == "section_1"].copy()
    write_tissue(alone, tmp_path / "sample.h5ad")
    centre, half = alone.obsm["spatial"].mean(axis=0), 0.15 * np.ptp(alone.obsm["spatial"][:, 0])
    square = centre + half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    Roi.from_vertices([square]).write_geojson(tmp_path / "roi.geojson")
    monkeypatch.setattr(sample_tissue, "SAMPLE_SECTION", tmp_path / "sample.h5ad")
    monkeypatch.setattr(sample_tissue, "SAMPLE_ROI", tmp_path / "roi.geojson")
    monkeypatch.setattr(model_registry, "BUNDLED", tmp_path / "none")
    monkeypatch.setattr(model_registry, "TRAINED_HERE", model_folder.parent)


def test_it_leaves_pictures_and_the_tissue_twice(sample, n_colors, tmp_path):
    from imageio.v3 import imread

    out = tmp_path / "demo"
    for _ in range(2):
        written = run_demo(out, show=False)
        assert {p.name for p in written} == {*PICTURES, RESULT}
    assert {p.name for p in out.iterdir()} == {*PICTURES, RESULT}
    pictures = {name: imread(out / name) for name in PICTURES}
    for picture in pictures.values():
        assert n_colors(picture) > 50
    seen = ("before", "hidden", "during", "typical", "expected", "uncertainty", "by_type")
    assert {f"{name}.png" for name in seen} | {"window.png"} == set(PICTURES)
    shown = [pictures[f"{name}.png"] for name in seen]
    for first, second in itertools.combinations(shown, 2):
        assert first.shape == second.shape
        assert not np.array_equal(first, second)
    tissue = np.ptp(ad.read_h5ad(sample_tissue.SAMPLE_SECTION).obsm["spatial"], axis=0)
    assert shown[0].shape[1::-1] == pytest.approx(SCALE * tissue + 2 * MARGIN, rel=0.05)
    adata = ad.read_h5ad(out / RESULT)
    assert adata.obs[keys.GENERATED].any()


def test_without_a_model_it_says_so(sample, tmp_path, monkeypatch):
    monkeypatch.setattr(model_registry, "TRAINED_HERE", tmp_path / "none")
    with pytest.raises(InputError, match="no bundled model"):
        run_demo(tmp_path / "demo", show=False)


def test_without_a_screen_and_xvfb_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(display.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="xvfb"), display.virtual_display():
        pass


def test_a_virtual_display_can_be_started():
    if display.shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed")
    import os

    before = os.environ.get("DISPLAY")
    with display.virtual_display():
        assert os.environ["DISPLAY"] != before
        assert display.has_display()
    assert os.environ.get("DISPLAY") == before
