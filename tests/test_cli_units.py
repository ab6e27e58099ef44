"""Wrong units and regions that miss the tissue are told, and regions that are not filled."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from cli_runs import told
from shapely import Point

from napari_gest.cli.options import say_spacing
from napari_gest.model.gest import Base, GeST
from napari_gest.tissue.io import write_tissue
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.section import Section

pytestmark = pytest.mark.usefixtures("short_field")


def region(centre: np.ndarray, radius: float, path: Path) -> Path:
    Roi(Point(*centre).buffer(radius)).write_geojson(path)
    return path


@pytest.mark.parametrize("command", ["generate", "perturb"])
def test_a_region_elsewhere_is_told_with_extents_and_units(
    file: Path, model: Path, section: Section, tmp_path: Path, command: str
) -> None:
    roi = region(section.coords_um.mean(0) + 90_000, 100, tmp_path / "roi.geojson")
    asked = ("--section", "section_1", "--model", model, "--roi", roi)
    code, text = told(command, file, *asked, "--out", tmp_path / "out.h5ad")
    assert code == 1
    assert re.search(r"region x 9\d,\d+ to .*; tissue x -?\d+ to [\d,]+ um", text)
    assert "--um-per-unit" in text


def test_cells_much_farther_apart_than_in_training_are_told(
    section: Section,
    tiny_model: GeST,
    tiny_base: Base,
    file: Path,
    model: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    say_spacing(section, tiny_model)
    say_spacing(section, tiny_base)
    assert not capsys.readouterr().err
    asked = ("niches", file, "--model", model, "--n-niches", 2, "--out", file.parent / "o.h5ad")
    for unit, warned in ((4, False), (8, True), (0.3, False), (0.1, True)):
        code, text = told(*asked, "--um-per-unit", unit, "--overwrite")
        assert code == 0, text
        assert ("Warning: cells of section 'section_2'" in text) == warned
        assert (f"--um-per-unit is {unit:g}" in text) == warned


def test_a_void_in_a_region_with_cells_is_told(
    tissue: AnnData, model: Path, section: Section, tmp_path: Path
) -> None:
    centre = section.coords_um.mean(0)
    far = np.linalg.norm(tissue.obsm["spatial"] - centre, axis=1) > 90
    write_tissue(tissue[far].copy(), tmp_path / "void.h5ad")
    write_tissue(tissue, tmp_path / "whole.h5ad")
    roi = region(centre, 100, tmp_path / "roi.geojson")
    for name, lacking in (("void", True), ("whole", False)):
        asked = ("generate", tmp_path / f"{name}.h5ad", "--section", "section_1", "--roi", roi)
        code, text = told(*asked, "--model", model, "--out", tmp_path / f"{name}_out.h5ad")
        assert code == 0, text
        found = re.search(r"(\d+) more cells would fit in the empty part: add --place-cells", text)
        assert bool(found) == lacking
        if found:
            code, text = told(
                *asked, "--model", model, "--place-cells", "--out", tmp_path / "placed.h5ad"
            )
            assert code == 0, text
            assert f"{found[1]} new ones are placed" in text
