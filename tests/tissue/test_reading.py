"""How a section is read, and what another way of reading may cure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from anndata import AnnData

from napari_gest.errors import InputError, ReadingError
from napari_gest.tissue.reading import Reading, layer_names
from napari_gest.tissue.section import Section


@pytest.mark.parametrize(
    ("option", "value"),
    [("spatial_key", "xy"), ("section_key", "empty"), ("layer", "raw"), ("layer", "scaled"),
     ("layer", "zero"), ("layer", "gaps"), ("layer", "text"), ("scale", "auto"),
     ("spatial_key", "words"), ("spatial_key", "line")],
)  # fmt: skip
def test_what_may_open_otherwise_says_how(tissue: AnnData, option: str, value: Any) -> None:
    tissue.obs["empty"] = None
    tissue.obsm["words"] = np.full((tissue.n_obs, 2), "here")
    tissue.obsm["line"] = np.zeros((tissue.n_obs, 1))
    tissue.layers["scaled"] = tissue.X - 1.0 * (tissue.X > 0).multiply(2)
    tissue.layers["zero"] = 0 * tissue.X
    tissue.layers["gaps"] = tissue.X * np.nan
    tissue.layers["text"] = np.full(tissue.shape, "1 count")
    if option == "scale":
        tissue.X = tissue.X.log1p()
    name = None if option == "section_key" else "section_1"
    with pytest.raises(ReadingError) as raised:
        Section.read(Reading(**{option: value}), tissue, name)
    assert raised.value.option == option
    assert f"--{option.replace('_', '-')} on the command line, '" in raised.value.remedy
    assert "' in the dock" in raised.value.remedy


def test_a_section_knows_how_it_was_read(tissue: AnnData) -> None:
    tissue.obsm["xy"], tissue.layers["norm"] = tissue.obsm["spatial"], tissue.X.log1p()
    tissue.obs["slide"] = tissue.obs["section"]
    reading = Reading("xy", "slide", "norm", 0.5, "log1p")
    section = Section.read(reading, tissue, "section_1")
    assert section.reading == reading
    assert section.logged
    linear = Section.read(Reading(scale="linear"), tissue, "section_1")
    assert linear.reading == Reading(scale="linear")
    assert not linear.logged
    assert not Section.read(Reading(), tissue, "section_1").logged


def test_x_is_no_layer_of_a_name(tissue: AnnData) -> None:
    del tissue.layers
    assert layer_names(tissue) == []
    with pytest.raises(ReadingError, match="layers here: none"):
        Section.read(Reading(layer="scaled"), tissue, "section_1")
    tissue.layers["norm"] = tissue.X.log1p()
    assert layer_names(tissue) == ["norm"]


@pytest.mark.parametrize("length", [0.0, -1.0, float("nan"), float("inf")])
def test_a_unit_has_a_positive_length(length: float) -> None:
    with pytest.raises(InputError, match="um_per_unit"):
        Reading(um_per_unit=length)


@pytest.mark.parametrize("scale", ["log", "", None, True])
def test_a_scale_is_one_of_three(scale: Any) -> None:
    with pytest.raises(InputError, match="no scale"):
        Reading(scale=scale)
