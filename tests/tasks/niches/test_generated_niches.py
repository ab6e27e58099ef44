"""Generated cells get the niches of the measured cells most like them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.generated import Draw, Generated
from napari_gest.tasks.niches.embed import embed_niches
from napari_gest.tasks.niches.generated_niches import as_section, generated_niches
from napari_gest.tasks.niches.niche_tree import niche_tree
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.section import Section


@pytest.fixture
def copied(section, tiny_model) -> Generated:
    """Cells "generated" as they were measured, and two new ones like the first two."""
    target_sum = tiny_model.target_sum
    near = np.linalg.norm(section.coords_um - section.coords_um.mean(0), axis=1)
    index = np.sort(np.argsort(near)[:40])
    values = section.model_space(target_sum)[index]
    expression = np.concatenate([values, values[:2]])
    n = len(expression)
    return Generated(
        section=section,
        rows=np.concatenate([section.rows[index], [-1, -1]]),
        index=index,
        coords_um=np.concatenate([section.coords_um[index], section.coords_um[index[:2]] + 1.0]),
        expression=expression,
        sd=np.zeros_like(expression),
        entropy=np.zeros(n, np.float32),
        meta_cell=np.zeros(n, np.int32),
        depth_um=np.zeros(n, np.float32),
        genes=section.genes,
        settings={"target_sum": target_sum},
    )


def test_the_section_has_generated_cells_in_place_of_measured_ones(copied, section, tiny_model):
    made = as_section(copied)
    assert made.n_obs == section.n_obs + 2
    np.testing.assert_allclose(
        made.model_space(tiny_model.target_sum)[: section.n_obs],
        section.model_space(tiny_model.target_sum),
        atol=1e-4,
    )
    np.testing.assert_array_equal(made.rows[-2:], [-1, -1])
    np.testing.assert_array_equal(made.coords_um[-2:], copied.coords_um[-2:])
    doubled = Generated(**{**vars(copied), "expression": copied.expression * 0})
    assert as_section(doubled).expression[copied.index].nnz == 0


@pytest.mark.parametrize("n_genes", [30, 20])
def test_the_section_may_be_left_on_disk(copied, section, tissue, tmp_path, n_genes):
    write_tissue(tissue, tmp_path / "tissue.h5ad")
    adata = read_tissue(tmp_path / "tissue.h5ad", lazy=True)
    stored = Section.from_anndata(adata, section.name, lazy=True)
    assert stored.on_disk
    some = replace(
        copied,
        genes=copied.genes[:n_genes][::-1],
        expression=copied.expression[:, :n_genes][:, ::-1],
    )
    here, there = as_section(some), as_section(replace(some, section=stored))
    assert here.genes == there.genes
    np.testing.assert_array_equal(here.expression.toarray(), there.expression.toarray())


def test_cells_like_the_measured_ones_are_in_their_niches(copied, section, tiny_model):
    embedded = embed_niches(section, tiny_model)
    found = generated_niches(copied, tiny_model, embedded)
    assert found.alike.shape == (42, 15)
    niches = niche_tree(embedded, n_leaves=6).cut(3)
    labels = found.labels(niches)
    same = labels[:40] == niches.labels[copied.index]
    assert same.mean() > 0.85
    merged = niches.merged(niches.names)
    assert (found.labels(merged) == 0).all()


@pytest.mark.parametrize("from_file", [False, True])
def test_niches_of_generated_cells_are_written_beside_those_of_measured_ones(
    copied, section, tissue, tiny_model, tmp_path, from_file
):
    embedded = embed_niches(section, tiny_model)
    niches = niche_tree(embedded, n_leaves=6).cut(3).recolored({"niche 1": "#123456"})
    found = generated_niches(copied, tiny_model, embedded)
    with pytest.raises(InputError, match="does not hold the niches"):
        found.write(tissue, niches)
    tissue.obs[keys.NICHE] = "text"
    with pytest.raises(InputError, match="does not hold the niches"):
        found.write(tissue, niches)
    niches.write(tissue)
    before = tissue.obs[keys.NICHE].copy()
    whole = copied.to_anndata(tissue)
    if from_file:
        write_tissue(whole, tmp_path / "whole.h5ad")
        whole = read_tissue(tmp_path / "whole.h5ad")
    new = np.flatnonzero(whole.obs[keys.NEW_CELL])
    assert whole.obs[keys.NICHE].iloc[new].isna().all()
    changed = found.write(whole, niches)
    assert {keys.GENERATED_NICHE, keys.NICHE} <= changed
    assert whole.uns[keys.GENERATED_NICHE_COLORS] == list(niches.colors)
    own = whole.obs[keys.GENERATED_NICHE]
    names = np.array(niches.names)[found.labels(niches)]
    made = np.concatenate([copied.rows[:40], new])
    assert own.iloc[made].tolist() == names.tolist()
    assert own.notna().sum() == len(made)
    # Measured cells keep the niche they were measured in; new ones have no other.
    held = whole.obs[keys.NICHE]
    assert held.iloc[: tissue.n_obs].tolist() == before.tolist()
    assert held.iloc[new].tolist() == names[40:].tolist()
    assert whole.obs[keys.NICHE_CONFIDENCE].iloc[new].between(0, 1).all()
    # Without rows for the new cells there is nothing to write of them.
    found.write(tissue, niches)
    assert tissue.obs[keys.NICHE].tolist() == before.tolist()
    assert tissue.obs[keys.GENERATED_NICHE].notna().sum() == 40


def test_another_run_is_written_beside_the_first_and_other_niches_over_it(
    copied, section, tissue, tiny_model
):
    embedded = embed_niches(section, tiny_model)
    tree = niche_tree(embedded, n_leaves=6)
    first = generated_niches(copied, tiny_model, embedded)
    far = np.setdiff1d(np.arange(section.n_obs), copied.index)[:40]
    second = replace(
        first, generated=replace(copied, index=far, rows=np.append(section.rows[far], [-1, -1]))
    )
    three, two = tree.cut(3), tree.cut(2)
    three.write(tissue)
    first.write(tissue, three)
    second.write(tissue, three)
    assert tissue.obs[keys.GENERATED_NICHE].notna().sum() == 80
    two.write(tissue)
    first.write(tissue, two)
    own = tissue.obs[keys.GENERATED_NICHE]
    assert own.notna().sum() == 40
    assert list(own.cat.categories) == list(two.names)


def test_cells_embedded_by_another_model_are_refused(copied, section, tiny_model):
    embedded = embed_niches(section, tiny_model)
    other = GeST.create(tiny_model.config, tiny_model.tokenizer, seed=9, name="other")
    with pytest.raises(InputError, match="embedded by tiny"):
        generated_niches(copied, other, embedded)


def test_models_are_told_apart_by_what_they_compute_with(copied, section, tiny_model):
    embedded = embed_niches(section, tiny_model)
    other = GeST.create(tiny_model.config, tiny_model.tokenizer, seed=9, name=tiny_model.name)
    with pytest.raises(InputError, match="another model of the name 'tiny'"):
        generated_niches(copied, other, embedded)
    same = replace(tiny_model, name="renamed")
    assert generated_niches(copied, same, embedded).alike.shape == (42, 15)
    with pytest.raises(InputError, match="no model"):
        generated_niches(copied, same, [])


def test_niches_are_read_from_the_draw_that_is_asked_for(
    copied, section, tissue, tiny_model, tmp_path
):
    embedded = embed_niches(section, tiny_model)
    donor = np.append(copied.index, copied.index[:2])
    far = np.resize(np.setdiff1d(np.arange(section.n_obs), copied.index), len(donor))
    other = section.model_space(tiny_model.target_sum)[far]
    drawn = replace(
        copied, donor=donor, further=(Draw(other, np.zeros(len(donor), np.int32), far),)
    )
    first, second = (
        generated_niches(drawn, tiny_model, embedded, draw=number) for number in (1, 2)
    )
    assert np.array_equal(first.alike, generated_niches(drawn, tiny_model, embedded).alike)
    assert not np.array_equal(first.alike, second.alike)
    alone = generated_niches(drawn.of_draw(2), tiny_model, embedded)
    assert np.array_equal(alone.alike, second.alike)
    assert drawn.of_draw(2).settings["draw"] == 2
    assert (drawn.draw_name(2), copied.draw_name()) == ("draw 2 of 2", "")
    for number in (0, 3, 1.5):
        with pytest.raises(InputError, match=f"draw is {number}"):
            generated_niches(drawn, tiny_model, embedded, draw=number)
    niches = niche_tree(embedded, n_leaves=6).cut(3)
    niches.write(tissue)
    assert keys.GENERATED_NICHED in second.write(tissue, niches)
    write_tissue(tissue, tmp_path / "whole.h5ad")
    read = read_tissue(tmp_path / "whole.h5ad")
    about = read.uns[keys.GENERATED_NICHED]
    assert [list(about[key]) for key in ("sections", "draw", "draws")] == [["section_1"], [2], [2]]
    first.write(read, niches)
    assert list(read.uns[keys.GENERATED_NICHED]["draw"]) == [1]
