"""A search for niches without a viewer: shared trees, what is kept, the same as a script."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest

from napari_gest import keys
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import open_sections
from napari_gest.app.runs.niches import NichePlan
from napari_gest.app.session import Session
from napari_gest.tasks.niches.embed import EmbedRequest
from napari_gest.tasks.progress import finish
from napari_gest.tissue.io import read_tissue, write_tissue


@pytest.fixture
def info(tiny_model, tmp_path) -> ModelInfo:
    return ModelInfo.read(tiny_model.save(tmp_path / "tiny"))


@pytest.fixture
def plan(tissue, info, tmp_path) -> NichePlan:
    """Of both sections of a file."""
    write_tissue(tissue, tmp_path / "two.h5ad")
    path = tmp_path / "two.h5ad"
    return NichePlan(tuple(open_sections(read_tissue(path), path)), info)


def test_sections_share_niches_and_are_kept_together(plan, tiny_model):
    found = finish(plan.work(lambda name: tiny_model))
    niches = found.tree.cut(4)
    preview = found.preview(niches)
    assert set(preview.sections) == {o.label for o in plan.opened}
    assert preview.sections[plan.opened[1].label].names == niches.names
    session = Session()
    for opened in plan.opened:
        session.add(opened)
    ((opened, kept),) = found.kept(niches)
    first, *others = (session.snapshot(o.label) for o in opened)
    assert session.commit(first, kept, *others)
    adata = plan.opened[0].adata
    assert adata.obs[keys.NICHE].notna().all()
    assert len(adata.uns[keys.NICHE_COLORS]) == 4
    assert np.isfinite(adata.obsm[keys.NICHE_EMBEDDING]).all()
    for one in plan.opened:
        assert one.results == [kept]
        np.testing.assert_array_equal(
            one.obs_values(keys.NICHE).astype(str),
            np.array(niches.names)[preview.sections[one.label].codes],
        )
    session.remove(others[0].label)
    assert not session.commit(first, kept, *others)


def test_nothing_is_embedded_twice(plan, tiny_model):
    found = finish(plan.work(lambda name: tiny_model))
    known = {(o.section, plan.model.path): e
             for o, e in zip(plan.opened, found.embedded, strict=True)}  # fmt: skip
    stages = []
    again = NichePlan(plan.opened, plan.model, embedded=known)
    other = finish(again.work(lambda name: tiny_model), lambda p: stages.append(p.stage))
    assert not any("Embedding" in stage for stage in stages)
    assert all(a is b for a, b in zip(other.embedded, found.embedded, strict=True))
    np.testing.assert_array_equal(other.tree.cut(5).labels, found.tree.cut(5).labels)


def test_what_was_kept_in_the_file_is_not_embedded_again(plan, tiny_model, tmp_path, monkeypatch):
    found = finish(plan.work(lambda name: tiny_model))
    ((_, kept),) = found.kept(found.tree.cut(3))
    kept.write(plan.opened[0].adata)
    path = tmp_path / "kept.h5ad"
    write_tissue(plan.opened[0].adata, path)
    monkeypatch.setattr(EmbedRequest, "run", lambda own: pytest.fail("it was embedded"))
    reopened = NichePlan(tuple(open_sections(read_tissue(path), path)), plan.model)
    again = finish(reopened.work(lambda name: tiny_model))
    np.testing.assert_array_equal(again.tree.cut(5).labels, found.tree.cut(5).labels)


def test_the_script_gives_the_same_niches(plan, tiny_model, tmp_path, monkeypatch):
    niches = finish(finish(plan.work(lambda name: tiny_model)).request("number", 4).run())
    edits = ("merged(['niche 1', 'niche 3'])", "renamed({'niche 2': 'rim'})")
    monkeypatch.chdir(tmp_path)
    exec(compile(plan.script("number", 4, edits), "copied", "exec"), {})
    saved = ad.read_h5ad("niches.h5ad").obs[keys.NICHE]
    expected = niches.merged(["niche 1", "niche 3"]).renamed({"niche 2": "rim"})
    rows = expected.rows
    np.testing.assert_array_equal(
        saved.iloc[rows].astype(str), np.array(expected.names)[expected.labels]
    )


def test_the_script_of_several_files_writes_every_section_of_each(
    tissue, info, tiny_model, tmp_path, monkeypatch
):
    """One file of two sections, and two of one section each that nothing names."""
    first, second = (tissue[tissue.obs["section"] == name].copy()
                     for name in ("section_1", "section_2"))  # fmt: skip
    for name, adata in (("two", tissue), ("one", first), ("other", second)):
        if name != "two":
            del adata.obs["section"]
        write_tissue(adata, tmp_path / f"{name}.h5ad")
    paths = [tmp_path / f"{name}.h5ad" for name in ("two", "one", "other")]
    opened = [o for path in paths for o in open_sections(read_tissue(path), path)]
    assert len(opened) == 4
    order = [opened[i] for i in (0, 2, 1, 3)]  # sections of a file need not follow each other
    plan = NichePlan(tuple(order), info)
    found = finish(plan.work(lambda name: tiny_model))
    niches = finish(found.request("number", 4).run())
    monkeypatch.chdir(tmp_path)
    exec(compile(plan.script("number", 4), "copied", "exec"), {})
    of_section = np.split(np.array(niches.names)[niches.labels],
                          np.cumsum([o.section.n_obs for o in order])[:-1])  # fmt: skip
    expected = {id(o.section): labels for o, labels in zip(order, of_section, strict=True)}
    for number, group in enumerate(([opened[0], opened[1]], [opened[2]], [opened[3]]), 1):
        saved = ad.read_h5ad(f"niches_{number}.h5ad").obs[keys.NICHE]
        assert saved.notna().all()
        for one in group:
            np.testing.assert_array_equal(
                saved.iloc[one.section.rows].astype(str), expected[id(one.section)]
            )


def test_outlines_are_in_the_sections_own_um(plan, tiny_model):
    found = finish(plan.work(lambda name: tiny_model))
    niches = found.tree.cut(1)
    for index, opened in enumerate(plan.opened):
        (area,) = found.outlines(niches, index)
        low, high = opened.section.coords_um.min(0), opened.section.coords_um.max(0)
        np.testing.assert_allclose(area.bounds, [*low, *high], atol=0.1 * float((high - low).max()))


def test_columns_of_all_sections_in_one(plan, tiny_model):
    found = finish(plan.work(lambda name: tiny_model))
    values = found.values("cell_type")
    assert len(values) == sum(o.section.n_obs for o in plan.opened)
    own = plan.opened[1].obs_values("cell_type").astype(str)
    np.testing.assert_array_equal(values.iloc[-len(own) :].astype(str), own)
    assert found.values("absent").isna().all()
