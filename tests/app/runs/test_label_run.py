"""Labels learned from a column or from regions, without a viewer."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

from napari_gest import keys
from napari_gest.app.actions import AddRun, Discard, Keep, OpenSections, SetShapes
from napari_gest.app.colors import label_colors
from napari_gest.app.journal import Journal
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import open_sections
from napari_gest.app.regions import Shape
from napari_gest.app.run_preview import preview_of
from napari_gest.app.runs.base import RunEntry, why_stale
from napari_gest.app.runs.labels import LabelRun, NamedRegion, named_regions, region_labels
from napari_gest.app.session import Session
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


def half(section, name: str, right: bool, label: str) -> Shape:
    """The left or the right part of a section, with a gap between them."""
    low, high = section.coords_um.min(0) - 1, section.coords_um.max(0) + 1  # edges are inside
    width = (high - low) * [0.4, 1.0]
    box = np.array([[0, 0], [0, 1], [1, 1], [1, 0]])
    corners = high - box * width if right else low + box * width
    return Shape(
        role="named", section=label, kind="polygon", name=name,
        corners=[tuple(map(float, c)) for c in corners],
    )  # fmt: skip


@pytest.fixture
def drawn(sections) -> tuple[Shape, ...]:
    """Regions of both sections; the first to be named is the last of the alphabet."""
    (one, two) = sections
    return (
        half(one.section, "west", False, one.label),
        half(one.section, "east", True, one.label),
        half(two.section, "east", False, two.label),
    )


@pytest.fixture
def halves(drawn) -> tuple[NamedRegion, ...]:
    """Those of the first section."""
    return named_regions(drawn[:2])


@pytest.fixture
def journal(sections, drawn) -> Journal:
    """A session of both sections, with the regions."""
    made = Journal(Session())
    made.do(OpenSections.of(list(sections), made.session.state))
    made.do(SetShapes(role="named", shapes=drawn))
    return made


def test_labels_of_a_column_are_carried_to_another_section(sections, info, tiny_model):
    source, target = sections
    done = finish(LabelRun(info, target, (source,), "region").work(lambda name: tiny_model))
    assert len(done.annotated.labels) == target.section.n_obs
    assert done.agreement.n_cells == target.section.n_obs
    assert done.agreement.macro_f1 > 1.5 / len(done.annotated.classes)
    assert done.model.head is not None
    assert tiny_model.head is None
    again = LabelRun(info, source).work(lambda name: done.model)
    assert finish(again).annotated.classes == done.annotated.classes


def test_labels_of_regions(sections, info, tiny_model, halves):
    source = sections[0]
    run = LabelRun(info, source, (source,), regions=halves)
    (labels,) = run.labels
    x = source.section.coords_um[:, 0]
    assert (labels[x < np.quantile(x, 0.2)] == "west").all()
    assert (labels == None).any()  # noqa: E711
    done = finish(run.work(lambda name: tiny_model))
    assert done.annotated.classes == ("east", "west")
    assert done.agreement is None


def test_the_later_of_two_regions_counts(sections, halves):
    coords = sections[0].section.coords_um
    whole = NamedRegion(
        "whole",
        Roi.from_vertices([[(-1e4, -1e4), (-1e4, 1e4), (1e4, 1e4), (1e4, -1e4)]]),
        sections[0].label,
    )
    assert (region_labels((*halves, whole), coords) == "whole").all()
    assert set(region_labels((whole, *halves), coords)) == {"west", "east", "whole"}


def test_one_label_is_not_enough(sections, info, halves):
    source = sections[0]
    with pytest.raises(InputError, match="two names"):
        LabelRun(info, source, (source,), regions=halves[:1]).check()
    source.adata.obs["all"] = "one"
    with pytest.raises(InputError, match="one label"):
        LabelRun(info, source, (source,), "all").check()


@pytest.mark.parametrize("by_region", [True, False])
def test_the_script_gives_the_same_labels(
    sections, info, tiny_model, halves, by_region, tmp_path, monkeypatch
):
    source, target = sections
    how = {"regions": halves} if by_region else {"column": "region"}
    run = LabelRun(info, target, (source,), **how)
    made = finish(run.work(lambda name: tiny_model)).annotated
    monkeypatch.chdir(tmp_path)
    exec(compile(run.script(), "copied", "exec"), {})
    saved = ad.read_h5ad("labelled.h5ad").obs[keys.LABEL]
    np.testing.assert_array_equal(saved.iloc[target.section.rows].astype(str), made.names)


def test_labels_are_learned_from_several_sections(sections, info, tiny_model, journal):
    one, two = sections
    run = LabelRun.of_drawn(journal.session.state, info, one, (one, two))
    run.check()
    of_one, of_two = run.labels
    assert {"west", "east"} == {x for x in of_one if x is not None}
    assert {"east"} == {x for x in of_two if x is not None}
    done = finish(run.work(lambda name: tiny_model))
    assert len(done.model.head.settings["sections"]) == 2
    with pytest.raises(InputError, match="one label"):
        LabelRun.of_drawn(journal.session.state, info, one, (two,)).check()
    column = LabelRun(info, one, (one, two), "region")
    assert len(column.labels) == 2
    assert column.truth is None  # it was learned from


@pytest.mark.parametrize("how", ["drawn", "column"])
def test_the_script_learns_from_the_same_sections(
    sections, info, tiny_model, journal, how, tmp_path, monkeypatch
):
    one, two = sections
    if how == "drawn":
        run = LabelRun.of_drawn(journal.session.state, info, two, (one, two))
    else:
        run = LabelRun(info, two, (one, two), "region")
    made = finish(run.work(lambda name: tiny_model)).annotated
    monkeypatch.chdir(tmp_path)
    exec(compile(run.script(), "copied", "exec"), {})
    saved = ad.read_h5ad("labelled.h5ad").obs
    np.testing.assert_array_equal(saved[keys.LABEL].iloc[two.section.rows].astype(str), made.names)
    np.testing.assert_array_equal(
        saved[keys.LABEL_CONFIDENCE].iloc[two.section.rows], made.confidence
    )


def test_labels_have_the_colours_of_the_regions_drawn(sections, info, tiny_model, journal):
    one = sections[0]
    run = LabelRun.of_drawn(journal.session.state, info, one, (one,))
    done = finish(run.work(lambda name: tiny_model))
    outlines = label_colors(["west", "east", "east"])  # in the order of naming
    journal.do(AddRun.of(RunEntry("run-1", run.title, run, done)))
    assert journal.session.state.view.of_run == ("run-1", "label")
    painted = preview_of(journal.session.state).sections[one.section]
    of_name = dict(zip(painted.names, painted.colors, strict=True))
    for name in ("west", "east"):
        np.testing.assert_allclose(of_name[name], outlines[name])
    journal.do(Keep(id="run-1"))
    kept = dict(zip(one.adata.obs[keys.LABEL].cat.categories, one.adata.uns[keys.LABEL_COLORS],
                    strict=True))  # fmt: skip
    assert kept["west"] == "#E69F00"
    assert kept["east"] == "#56B4E9"
    journal.do(Discard(id="run-1"))
    assert keys.LABEL not in one.adata.obs
    assert keys.LABEL_COLORS not in one.adata.uns


def test_labels_of_a_column_have_its_colours(sections, info, tiny_model):
    source, target = sections
    column = source.adata.obs["region"].astype("category")
    source.adata.obs["region"] = column
    wanted = [f"#ffff{i:02x}" for i in range(10, 10 + len(column.cat.categories))]
    source.adata.uns["region_colors"] = wanted
    run = LabelRun(info, target, (source,), "region")
    done = finish(run.work(lambda name: tiny_model))
    place = [list(column.cat.categories).index(c) for c in done.annotated.classes]
    np.testing.assert_allclose(done.colors[:, 2] * 255, np.array(place) + 10, atol=0.1)


def test_labels_are_stale_once_their_regions_were_changed(sections, info, tiny_model, journal):
    one = sections[0]
    drawn = journal.session.state.shapes
    run = LabelRun.of_drawn(journal.session.state, info, one, (one,))
    done = finish(run.work(lambda name: tiny_model))
    journal.do(AddRun.of(RunEntry("run-1", run.title, run, done)))
    entry = journal.session.state.entry("run-1")
    assert why_stale(entry, journal.session.state) is None
    journal.do(SetShapes(role="named", shapes=drawn[:2]))  # the other section's was removed
    assert why_stale(entry, journal.session.state) is None
    journal.do(SetShapes(role="named", shapes=drawn[:1]))
    assert "changed" in why_stale(entry, journal.session.state)
    nameless = drawn[1].model_copy(update={"name": ""})
    journal.do(SetShapes(role="named", shapes=(drawn[0], nameless)))
    assert "changed" in why_stale(entry, journal.session.state)
    journal.do(SetShapes(role="named", shapes=drawn))
    assert why_stale(entry, journal.session.state) is None
