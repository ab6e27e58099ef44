"""Niche embeddings: exactness, and what must have no influence."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.model.gest import GeST
from napari_gest.tasks.niches import cluster, embed
from napari_gest.tasks.niches.cluster import cluster_niches
from napari_gest.tasks.niches.embed import SHARED_TARGETS, EmbedRequest, embed_niches
from napari_gest.tasks.progress import Progress, finish
from napari_gest.tissue import rows
from napari_gest.tissue.geometry import Geometry
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.section import Section

READS = ["content", "hidden", "expression"]
CELLS = {"content": 12, "hidden": 2 * SHARED_TARGETS, "expression": 2 * SHARED_TARGETS}


def with_expression_of(section: Section, cell: int, other: int) -> Section:
    order = np.arange(section.n_obs)
    order[cell] = other
    return replace(section, expression=section.expression[order])


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("form", ["exact", "shared"])
def test_moving_the_tissue_changes_nothing(
    section: Section, tiny_model: GeST, read: str, form: str
) -> None:
    moved = replace(section, coords_um=section.coords_um + np.array([5e4, -7e3]))
    a, b = (embed_niches(s, tiny_model, read=read, form=form) for s in (section, moved))
    assert a.embedding.shape == (section.n_obs, 8 if read != "hidden" else 16)
    np.testing.assert_allclose(a.embedding, b.embedding, atol=2e-4)
    assert a.embedding.std(0).min() > 0


@pytest.mark.parametrize("read", READS)
def test_a_section_of_fewer_cells_than_a_niche_is_clustered_with_a_larger_one(
    section: Section, tiny_model: GeST, read: str
) -> None:
    """Each niche of the small one takes all of its cells; the settings are those of both."""
    small = replace(section.subset(np.arange(30)), name="small")
    several = [embed_niches(s, tiny_model, read=read) for s in (section, small)]
    assert several[0].settings == several[1].settings
    niches = cluster_niches(several, 3)
    assert len(niches.labels) == section.n_obs + 30


@pytest.mark.parametrize("read", ["hidden", "expression"])
def test_shared_is_exact_where_the_windows_coincide(
    section: Section, tiny_model: GeST, read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A shared window pools what is farther out; in so small a section nothing is.
    section = section.subset(np.arange(section.n_obs) < 80)
    exact = embed_niches(section, tiny_model, read=read, form="exact", niche_cells=80)
    monkeypatch.setattr(embed, "SHARED_TARGETS", 1)
    shared = embed_niches(section, tiny_model, read=read, form="shared", niche_cells=80)
    assert np.array_equal(exact.embedding, shared.embedding)


def test_the_exact_form_is_one_query_over_the_contents_of_the_niche(
    section: Section, tiny_model: GeST
) -> None:
    import torch
    import torch.nn.functional as F

    n, cell = 24, 100
    made = embed_niches(section, tiny_model, read="hidden", form="exact", niche_cells=n)
    distance = np.linalg.norm(section.coords_um - section.coords_um[cell], axis=1)
    niche = np.argsort(distance)[:n][::-1]
    assert niche[-1] == cell  # the target's content is there, and last
    token = tiny_model.tokenizer.tokens(section.model_space(tiny_model.target_sum)[niche])
    xy = tiny_model.positions(section.coords_um[niche], section.coords_um[cell])[None]
    around = torch.from_numpy(Geometry(section.coords_um)(np.arange(section.n_obs)))
    network = tiny_model.network
    with torch.inference_mode():
        mixture = F.one_hot(torch.from_numpy(token.astype(np.int64)), 16).float()[None]
        context = network.encode(network.table(), mixture, xy, geometry=around[niche.copy()][None])
        hidden = network.ask(context, torch.zeros(1, 1, 2), geometry=around[[[cell]]])[0, 0]
    np.testing.assert_allclose(made.embedding[cell], hidden.numpy(), atol=2e-6)


@pytest.mark.parametrize("read", READS)
def test_a_cell_outside_the_niche_has_no_influence(
    section: Section, tiny_model: GeST, read: str
) -> None:
    target = int(np.argmin(np.linalg.norm(section.coords_um - section.coords_um.mean(0), axis=1)))
    order = np.argsort(np.linalg.norm(section.coords_um - section.coords_um[target], axis=1))
    cells = {"content": 12, "hidden": 16, "expression": 16}[read]
    settings = {"read": read, "form": "exact", "niche_cells": cells}
    before = embed_niches(section, tiny_model, **settings).embedding[target]
    unlike = int(
        np.argmax(np.abs(section.model_space(1e3) - section.model_space(1e3)[order[2]]).sum(1))
    )
    for rank, changes in ((2, True), (cells + 1, False)):
        edited = with_expression_of(section, order[rank], unlike)
        after = embed_niches(edited, tiny_model, **settings).embedding[target]
        assert (not np.array_equal(before, after)) == changes


@pytest.mark.parametrize("read", ["hidden", "expression"])
def test_a_shared_window_reads_what_generation_reads(
    section: Section, tiny_model: GeST, read: str
) -> None:
    """Its context is pooled, with masses and geometry, as that of generated cells."""
    import torch

    from napari_gest.tissue.pool import Pool
    from napari_gest.tissue.window import compact_groups, reach

    n = 2 * SHARED_TARGETS
    assert reach(n) > n < section.n_obs  # something is pooled
    made = embed_niches(section, tiny_model, read=read, form="shared", niche_cells=n)
    group = compact_groups(section.coords_um, SHARED_TARGETS)[0]
    centre = section.coords_um[group].mean(0)
    offset = section.coords_um - centre
    near = np.argsort(np.linalg.norm(offset, axis=1), kind="stable")[: reach(n)]
    pool, network, tokenizer = (
        Pool.around(offset[near], n),
        tiny_model.network,
        tiny_model.tokenizer,
    )
    values = section.model_space(tiny_model.target_sum)
    token = tokenizer.tokens(values).astype(np.int64)
    around = Geometry(section.coords_um)(np.arange(section.n_obs))

    def one(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array)[None]

    with torch.inference_mode():
        context = network.encode(
            network.table(),
            one(pool.shares(token[near], 16)),
            tiny_model.positions(pool.mean(offset[near]), np.zeros(2))[None],
            mass=one(pool.mass),
            geometry=one(pool.mean(around[near])),
        )
        at = tiny_model.positions(section.coords_um[group], centre)[None]
        wanted = network.ask(context, at, geometry=one(around[group]))
        if read == "expression":
            logits, inherited = network.predict(wanted, context, at)
            beyond = tokenizer.project(values) - tokenizer.c_pca[token]
            wanted = logits.softmax(-1) @ torch.from_numpy(tokenizer.c_pca)
            wanted = wanted + inherited @ torch.from_numpy(pool.mean(beyond[near]))
    np.testing.assert_allclose(made.embedding[group], wanted[0].numpy(), atol=2e-5)


def test_content_is_the_weighted_mean_over_the_niche(section: Section, tiny_model: GeST) -> None:
    made = embed_niches(section, tiny_model, niche_cells=5)
    own = tiny_model.tokenizer.project(section.model_space(tiny_model.target_sum))
    distance = np.linalg.norm(section.coords_um - section.coords_um[7], axis=1)
    near = np.argsort(distance)[:5]
    # A Gaussian as wide as it is to the nearest cell: a sixth of five cells, but one at least.
    weight = np.exp(-0.5 * (distance[near] / distance[near[1]]) ** 2)
    wanted = weight @ own[near] / weight.sum()
    np.testing.assert_allclose(made.embedding[7], wanted, atol=1e-5)
    alone = embed_niches(section, tiny_model, niche_cells=1)
    np.testing.assert_allclose(alone.embedding, own, atol=1e-5)


@pytest.mark.parametrize("read", READS)
def test_twice_gives_the_same_bits(section: Section, tiny_model: GeST, read: str) -> None:
    one, two = (embed_niches(section, tiny_model, read=read) for _ in range(2))
    assert np.array_equal(one.embedding, two.embedding)


def test_written_beside_what_other_sections_have(tissue: AnnData, tiny_model: GeST) -> None:
    before = tissue.X.copy()
    parts = [
        embed_niches(Section.from_anndata(tissue, name), tiny_model)
        for name in ("section_1", "section_2")
    ]
    for part in parts:
        assert part.write(tissue) == {keys.NICHE_EMBEDDING, keys.NICHE_EMBEDDED}
    stored = tissue.obsm[keys.NICHE_EMBEDDING]
    assert stored.dtype == np.float32
    for part in parts:
        assert np.array_equal(stored[part.rows], part.embedding)
    assert (before != tissue.X).nnz == 0


@pytest.mark.parametrize("read", READS)
def test_what_was_written_is_found_again(
    tissue: AnnData, tiny_model: GeST, read: str, tmp_path: Path
) -> None:
    """In a file, and whichever section was written last."""
    requests = [
        EmbedRequest(Section.from_anndata(tissue, name), tiny_model, read=read)
        for name in ("section_1", "section_2")
    ]
    assert requests[0].stored(tissue) is None
    made = [finish(request.run()) for request in requests]
    for one in (*made, made[0]):
        one.write(tissue)
    write_tissue(tissue, tmp_path / "out.h5ad")
    again = read_tissue(tmp_path / "out.h5ad")
    for before, name in zip(made, ("section_1", "section_2"), strict=True):
        stored = EmbedRequest(Section.from_anndata(again, name), tiny_model, read=read).stored(
            again
        )
        assert stored is not None
        assert np.array_equal(stored.embedding, before.embedding)
        assert stored.settings == before.settings
        if read == "content":
            assert np.array_equal(stored.covariance, before.covariance)
        else:
            assert stored.covariance is None


def test_what_was_written_is_not_taken_for_anything_else(
    tissue: AnnData, tiny_model: GeST, untrained: Callable[..., GeST]
) -> None:
    section = Section.from_anndata(tissue, "section_1")
    embed_niches(section, tiny_model).write(tissue)
    size = {"n_meta_cells": 16, "n_pcs": 8, "level_sizes": (4, 3, 2)}
    namesake = untrained([Section.from_anndata(tissue, "section_2")], 250.0, "tiny", 32, **size)
    assert namesake.name == tiny_model.name
    moved = replace(section, coords_um=section.coords_um + 1.0)
    for request in (
        EmbedRequest(section, namesake),
        EmbedRequest(section, tiny_model, read="expression"),
        EmbedRequest(section, tiny_model, niche_cells=12),
        EmbedRequest(moved, tiny_model),
        EmbedRequest(replace(section, expression=section.expression * 2), tiny_model),
        EmbedRequest(Section.from_anndata(tissue, "section_2"), tiny_model),
    ):
        assert request.stored(tissue) is None
    assert EmbedRequest(section, tiny_model).stored(tissue) is not None
    tissue.obsm[keys.NICHE_EMBEDDING][section.rows[0], 0] += 1
    assert EmbedRequest(section, tiny_model).stored(tissue) is None


def test_embeddings_of_two_models_are_not_mixed(tissue: AnnData, tiny_model: GeST) -> None:
    first, second = (Section.from_anndata(tissue, name) for name in ("section_1", "section_2"))
    embed_niches(first, tiny_model).write(tissue)
    embed_niches(second, tiny_model, niche_cells=12).write(tissue)
    assert np.isnan(tissue.obsm[keys.NICHE_EMBEDDING][first.rows]).all()
    assert EmbedRequest(first, tiny_model).stored(tissue) is None
    assert EmbedRequest(second, tiny_model, niche_cells=12).stored(tissue) is not None


def test_progress_reaches_its_end(section: Section, tiny_model: GeST) -> None:
    ticks: list[Progress] = []
    embed_niches(section, tiny_model, read="hidden", on_progress=ticks.append)
    assert ticks[-1].done == ticks[-1].total == section.n_obs


def test_a_section_smaller_than_a_window(section: Section, tiny_model: GeST) -> None:
    few = section.subset(np.arange(section.n_obs) < 9)
    for read in READS:
        made = embed_niches(few, tiny_model, read=read, niche_cells=CELLS[read])
        assert np.isfinite(made.embedding).all()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"read": "colour"}, "colour"),
        ({"form": "quick"}, "quick"),
        ({"read": "hidden", "niche_cells": 1}, "niche_cells"),
        ({"read": "expression", "niche_cells": 8}, "niche_cells"),
        ({"niche_cells": 0}, "niche_cells"),
    ],
)
def test_bad_settings_are_refused(
    section: Section, tiny_model: GeST, settings: dict, named: str
) -> None:
    with pytest.raises(InputError, match=named):
        EmbedRequest(section, tiny_model, **settings).check()


@pytest.mark.parametrize("read", READS)
def test_expression_on_disk_gives_the_same_embedding(
    tissue: AnnData, tiny_model: GeST, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    """Bit for bit, whatever the order of rows in the file; and it is never read whole."""
    monkeypatch.setattr(rows, "STEP", 128)
    monkeypatch.setattr(rows, "BLOCK", 256)
    mixed = tissue[np.random.default_rng(0).permutation(tissue.n_obs)].copy()
    write_tissue(mixed, tmp_path / "in.zarr")
    opened = read_tissue(tmp_path / "in.zarr", lazy=True)
    section = Section.from_anndata(opened, "section_1", lazy=True)
    assert section.on_disk
    made = embed_niches(section, tiny_model, read=read)
    known = embed_niches(Section.from_anndata(mixed, "section_1"), tiny_model, read=read)
    np.testing.assert_array_equal(made.embedding, known.embedding)
    assert "in_memory" not in vars(section.expression)
    made.write(opened)
    known.write(mixed)
    assert opened.uns[keys.NICHE_EMBEDDED]["digests"] == mixed.uns[keys.NICHE_EMBEDDED]["digests"]
    assert EmbedRequest(section, tiny_model, read).stored(opened) is not None


def test_many_cells_on_disk_are_embedded_and_clustered_in_files(
    section: Section, tiny_model: GeST, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same numbers as in memory; the files go with the embedding."""
    folder = tmp_path / "files"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(embed, "_IN_MEMORY", 100)
    monkeypatch.setattr(embed, "_AT_ONCE", 150)
    monkeypatch.setattr(cluster, "_MANY", 100)
    monkeypatch.setattr(cluster, "_TILE", 20)
    mixed = AnnData(
        section.expression,
        obs=pd.DataFrame(index=list(section.obs_names)),
        var=pd.DataFrame(index=list(section.genes)),
        obsm={"spatial": section.coords_um},
    )[np.random.default_rng(0).permutation(section.n_obs)].copy()
    write_tissue(mixed, tmp_path / "in.zarr")
    opened = read_tissue(tmp_path / "in.zarr", lazy=True)
    made = embed_niches(Section.from_anndata(opened, lazy=True), tiny_model)
    known = embed_niches(Section.from_anndata(mixed), tiny_model)
    assert made.files is not None
    assert known.files is None
    assert list(folder.iterdir())
    np.testing.assert_array_equal(made.embedding, known.embedding)
    np.testing.assert_array_equal(made.covariance, known.covariance)
    niches = [cluster_niches(one, 4) for one in (made, known)]
    np.testing.assert_array_equal(niches[0].labels, niches[1].labels)
    np.testing.assert_allclose(niches[0].probability, niches[1].probability, atol=1e-3)
    made.write(opened)
    assert opened.obsm[keys.NICHE_EMBEDDING].base is not None  # no copy
    write_tissue(opened, tmp_path / "out.zarr")
    written = read_tissue(tmp_path / "out.zarr").obsm[keys.NICHE_EMBEDDING]
    np.testing.assert_array_equal(written, known.embedding)
    del made, opened, niches
    gc.collect()
    assert not list(folder.iterdir())
