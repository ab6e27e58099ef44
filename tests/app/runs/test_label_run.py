"""Labels learned from a column or from regions, without a viewer."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

from napari_gest import keys
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import open_sections
from napari_gest.app.runs.labels import LabelPlan, NamedRegion, region_labels
from napari_gest.errors import InputError
from napari_gest.tasks.progress import finish
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.roi import Roi


@pytest.fixture
def info(tiny_model, tmp_path) -> ModelInfo:
    return ModelInfo.read(tiny_model.save(tmp_path / "tiny"))


@pytest.fixture
def sections(tissue, tmp_path):
    """Both sections of a file."""
    write_tissue(tissue, tmp_path / "two.h5ad")
    return open_sections(read_tissue(tmp_path / "two.h5ad"), tmp_path / "two.h5ad")


@pytest.fixture
def halves(sections) -> tuple[NamedRegion, ...]:
    """The left and the right part of the first section, with a gap between them."""
    low, high = sections[0].section.coords_um.min(0), sections[0].section.coords_um.max(0)
    low, high = low - 1, high + 1  # cells at the edge are inside
    width = (high - low) * [0.4, 1.0]
    box = np.array([[0, 0], [0, 1], [1, 1], [1, 0]])
    return (
        NamedRegion("left", Roi.from_vertices([low + box * width])),
        NamedRegion("right", Roi.from_vertices([high - box * width])),
    )


def test_labels_of_a_column_are_carried_to_another_section(sections, info, tiny_model):
    source, target = sections
    done = finish(LabelPlan(info, target, source, "region").work(lambda name: tiny_model))
    assert len(done.annotated.labels) == target.section.n_obs
    assert done.agreement.n_cells == target.section.n_obs
    assert done.agreement.macro_f1 > 1.5 / len(done.annotated.classes)
    assert done.model.head is not None
    assert tiny_model.head is None
    again = LabelPlan(info, source).work(lambda name: done.model)
    assert finish(again).annotated.classes == done.annotated.classes


def test_labels_of_regions(sections, info, tiny_model, halves):
    source = sections[0]
    plan = LabelPlan(info, source, source, regions=halves)
    labels = plan.labels()
    x = source.section.coords_um[:, 0]
    assert (labels[x < np.quantile(x, 0.2)] == "left").all()
    assert (labels == None).any()  # noqa: E711
    done = finish(plan.work(lambda name: tiny_model))
    assert done.annotated.classes == ("left", "right")
    assert done.agreement is None


def test_the_later_of_two_regions_counts(sections, halves):
    coords = sections[0].section.coords_um
    whole = NamedRegion(
        "whole", Roi.from_vertices([[(-1e4, -1e4), (-1e4, 1e4), (1e4, 1e4), (1e4, -1e4)]])
    )
    assert (region_labels((*halves, whole), coords) == "whole").all()
    assert set(region_labels((whole, *halves), coords)) == {"left", "right", "whole"}


def test_one_label_is_not_enough(sections, info, halves):
    source = sections[0]
    with pytest.raises(InputError, match="two names"):
        LabelPlan(info, source, source, regions=halves[:1]).labels()
    source.adata.obs["all"] = "one"
    with pytest.raises(InputError, match="one label"):
        LabelPlan(info, source, source, "all").labels()


@pytest.mark.parametrize("drawn", [True, False])
def test_the_script_gives_the_same_labels(
    sections, info, tiny_model, halves, drawn, tmp_path, monkeypatch
):
    source, target = sections
    how = {"regions": halves} if drawn else {"column": "region"}
    plan = LabelPlan(info, target, source, **how)
    made = finish(plan.work(lambda name: tiny_model)).annotated
    monkeypatch.chdir(tmp_path)
    exec(compile(plan.script(), "copied", "exec"), {})
    saved = ad.read_h5ad("labelled.h5ad").obs[keys.LABEL]
    np.testing.assert_array_equal(saved.iloc[target.section.rows].astype(str), made.names)
