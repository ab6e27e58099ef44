"""What clustering returns: names, merging, summaries, and what is written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.tasks.niches.niches import Clustered, ordered
from napari_gest.tissue.section import Section


@pytest.fixture
def clustered(tissue: AnnData) -> Clustered:
    """Three niches by distance from the middle, in two sections."""
    sections = [Section.from_anndata(tissue, name) for name in ("section_1", "section_2")]
    labels = []
    for section in sections:
        radius = np.linalg.norm(section.coords_um - section.coords_um.mean(0), axis=1)
        labels.append(np.digitize(-radius, np.quantile(-radius, [0.5, 0.9])))
    together = np.concatenate(labels)
    share = np.full((len(together), 3), 0.1, np.float32)
    share[np.arange(len(together)), together] = 0.8
    return Clustered.of(sections, together.astype(np.int64), share, None, {})


def test_written_with_colours_and_without_touching_x(clustered: Clustered, tissue: AnnData) -> None:
    before = tissue.X.copy()
    changed = clustered.part("section_1").write(tissue)
    assert changed == {keys.NICHE, keys.NICHE_CONFIDENCE, keys.NICHE_COLORS}
    niche = tissue.obs[keys.NICHE]
    assert list(niche.cat.categories) == list(clustered.names)
    assert niche.notna().sum() == clustered.sections[0].n_obs
    assert niche[tissue.obs["section"] == "section_2"].isna().all()
    assert len(tissue.uns[keys.NICHE_COLORS]) == 3
    assert (before != tissue.X).nnz == 0
    clustered.write(tissue)
    assert tissue.obs[keys.NICHE].notna().all()


def test_niches_can_be_renamed_recoloured_and_merged(clustered: Clustered) -> None:
    renamed = clustered.renamed({"niche 2": "rim"}).recolored({"rim": "#123456"})
    assert renamed.names == ("niche 1", "rim", "niche 3")
    assert renamed.colors[1] == "#123456"
    merged = renamed.merged(["rim", "niche 3"])
    assert merged.names == ("niche 1", "rim")
    assert (merged.labels == 1).sum() == (clustered.labels > 0).sum()
    np.testing.assert_allclose(merged.probability.sum(1), 1, atol=1e-6)
    with pytest.raises(InputError, match="same name"):
        clustered.renamed({"niche 2": "niche 1"})
    with pytest.raises(InputError, match="cannot be merged"):
        clustered.merged(["niche 1", "nothing"])
    with pytest.raises(InputError, match="no section"):
        clustered.part("nothing")


def test_sections_of_one_name_are_told_apart(clustered: Clustered, tissue: AnnData) -> None:
    one, two = (replace(section, name="section") for section in clustered.sections)
    both = replace(clustered, sections=(one, two))
    np.testing.assert_array_equal(both.part(two).labels, clustered.part("section_2").labels)
    np.testing.assert_array_equal(both.part(two, one).rows, both.rows)  # in their own order
    with pytest.raises(InputError, match="2 sections are named 'section'"):
        both.part("section")
    with pytest.raises(InputError, match="no section 'section_1'"):
        both.part(clustered.sections[0])


def test_summary_counts_cells_and_area(clustered: Clustered) -> None:
    table = clustered.summary()
    assert table["cells"].sum() == len(clustered.labels)
    assert table["share"].sum() == pytest.approx(1)
    assert (table["sections"] == 2).all()
    np.testing.assert_allclose(table["confidence"], 0.8, atol=1e-5)
    # About 1,800 cells in a mm2.
    per_cell = table["area_um2"].sum() / table["cells"].sum()
    assert 400 < per_cell < 800


def test_a_report_holds_all_that_is_known(clustered: Clustered, tissue: AnnData) -> None:
    values = tissue.obs["cell_type"].iloc[clustered.rows]
    report = clustered.report(values, n_genes=2)
    assert list(report.index) == list(clustered.names)
    summary, shares = clustered.summary(), clustered.composition(values)
    np.testing.assert_allclose(report["area_mm2"], summary["area_um2"] / 1e6)
    for name in shares:
        np.testing.assert_allclose(report[f"share of {name}"], shares[name])
    markers = clustered.markers(2)
    own = markers["gene"][markers["niche"] == "niche 2"]
    assert report.loc["niche 2", "markers"] == ", ".join(own)
    assert report["stability"].isna().all()
    other = replace(
        clustered.sections[1], genes=tuple("x" + g for g in clustered.sections[1].genes)
    )
    several = replace(clustered, sections=(clustered.sections[0], other))
    assert (several.report()["markers"] == "").all()


def test_colours_follow_the_cells_they_were_on(clustered: Clustered) -> None:
    place = np.array([2, 0, 1])
    turned = replace(
        clustered,
        labels=place[clustered.labels],
        colors=("#000001", "#000002", "#000003"),
    )
    like = clustered.colored_like(turned)
    assert like.colors == ("#000003", "#000001", "#000002")
    assert like.labels is clustered.labels
    fewer = turned.merged(["niche 1", "niche 3"])
    assert len(set(clustered.colored_like(fewer).colors)) == 3
    assert fewer.colored_like(clustered).colors[0] == clustered.colors[0]


def test_composition_counts_cells_with_a_value(clustered: Clustered, tissue: AnnData) -> None:
    values = tissue.obs["cell_type"].iloc[clustered.rows].astype(object).to_numpy(copy=True)
    values[::7] = None
    table = clustered.composition(pd.Series(values))
    assert list(table.index) == list(clustered.names)
    np.testing.assert_allclose(table.sum(axis=1), 1)
    inside = (clustered.labels == 0) & np.array([v is not None for v in values])
    kind = table.columns[0]
    assert table.iloc[0, 0] == pytest.approx((values[inside] == kind).mean())


def test_markers_find_the_gene_that_was_raised(clustered: Clustered) -> None:
    section = clustered.sections[0]
    part = clustered.part(section.name)
    dense = section.expression.toarray()
    gene = int(np.argsort(dense.mean(0))[len(section.genes) // 2])
    dense[part.labels == 2, gene] += 5 * dense.mean()
    from scipy import sparse

    raised = replace(part, sections=(replace(section, expression=sparse.csr_matrix(dense)),))
    best = raised.markers(n_genes=1).set_index("niche").loc["niche 3"]
    assert best["gene"] == section.genes[gene]
    assert best["log_fold_change"] > 0


def test_ordered_sorts_by_size_and_drops_the_empty() -> None:
    share = np.array([[0.2, 0.1, 0.7], [0.1, 0.2, 0.7], [0.6, 0.3, 0.1]], np.float32)
    labels, kept, _ = ordered(share)
    assert labels.tolist() == [0, 0, 1]
    assert kept.shape == (3, 2)
    np.testing.assert_allclose(kept.sum(1), 1, atol=1e-6)
