"""Generation: exactness, order, and what must have no influence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from anndata import AnnData
from scipy import sparse
from shapely import Point

from napari_gest.errors import InputError
from napari_gest.model.gest import GeST
from napari_gest.tasks.generation import generation
from napari_gest.tasks.generation.generate import WINDOW_TARGETS, GenerateRequest, generate
from napari_gest.tissue.geometry import Geometry
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.pool import Pool
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.rows import StoredMatrix
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate
from napari_gest.tissue.window import reach

pytestmark = pytest.mark.usefixtures("short_field")


@pytest.mark.parametrize("mode", ["weighted", "pick", "sample"])
def test_one_seed_gives_the_same_bits_twice(
    section: Section, tiny_model: GeST, unseen: np.ndarray, mode: str
) -> None:
    one, two = (generate(section, tiny_model, unseen, mode=mode, seed=7) for _ in range(2))
    for name in ("expression", "sd", "entropy", "meta_cell"):
        assert np.array_equal(getattr(one, name), getattr(two, name))


def test_seeds_matter_in_mode_sample_alone(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    def cells(mode: str, seed: int) -> np.ndarray:
        return generate(section, tiny_model, unseen, mode=mode, seed=seed).meta_cell

    assert not np.array_equal(cells("sample", 1), cells("sample", 2))
    assert np.array_equal(cells("weighted", 1), cells("weighted", 2))


def test_unseen_cells_have_no_influence(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    dense = section.expression.toarray()
    dense[unseen] = np.random.default_rng(0).poisson(30, dense[unseen].shape)
    scrambled = replace(section, expression=sparse.csr_matrix(dense))
    for mode in ("weighted", "sample"):
        honest = generate(section, tiny_model, unseen, mode=mode)
        other = generate(scrambled, tiny_model, unseen, mode=mode)
        assert np.array_equal(honest.expression, other.expression)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("logged", [False, True], ids=["counts", "logged"])
@pytest.mark.parametrize("mode", ["weighted", "sample"])
def test_damaged_cells_have_no_influence(
    tissue: AnnData, tiny_model: GeST, mode: str, logged: bool
) -> None:
    rows = np.flatnonzero(tissue.obs["section"] == "section_1")
    coords = tissue.obsm["spatial"][rows]
    region = Roi(Point(*coords.mean(0)).buffer(120))
    values = tissue.X.toarray()
    if logged:
        values = np.log1p(values)
    found = []
    for damage in (None, 50.0, np.nan, -3.0, 0.0):
        here = values.copy()
        if damage is not None:
            here[rows[region.contains(coords)], :20] = damage
        tissue.X = sparse.csr_matrix(here)
        scale = "log1p" if logged else "auto"
        section = Section.from_anndata(tissue, "section_1", scale=scale, unseen=region)
        assert section.logged == logged
        assert np.isfinite(section.expression.data).all()
        assert (section.expression.data >= 0).all()
        unseen = region.contains(section.coords_um)
        result = generate(section, tiny_model, unseen, mode=mode)
        result.agreement(section)
        found.append((result.expression, result.sd, result.entropy, result.meta_cell))
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert np.array_equal(one, two)


def test_the_place_of_the_section_does_not_matter(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    # Coordinates on a grid of 1/64 um, moved by a power of two: no rounding anywhere.
    grid = replace(section, coords_um=np.round(section.coords_um * 64) / 64)
    moved = replace(grid, coords_um=grid.coords_um + 4096.0)
    here, there = (generate(s, tiny_model, unseen) for s in (grid, moved))
    assert np.abs(here.expression - there.expression).max() <= 2e-6


@pytest.mark.parametrize("pooled", [True, False])
@torch.no_grad()
def test_frontier_one_is_sequential_generation(
    section: Section, tiny_model: GeST, unseen: np.ndarray, pooled: bool
) -> None:
    """Each cell is predicted from scratch, without a cache, from all that came before it."""
    config = tiny_model.config.model_copy(update={"pooled_context": pooled})
    tiny_model = replace(tiny_model, config=config)
    inside = np.flatnonzero(unseen)[: WINDOW_TARGETS // 2]
    few = np.zeros_like(unseen)
    few[inside] = True
    found = generate(section, tiny_model, few, mode="pick", frontier=1, passes=1)

    network, tokenizer = tiny_model.network, tiny_model.tokenizer
    known = np.flatnonzero(~few)
    tokens = tokenizer.tokens(section.model_space(tiny_model.target_sum)).astype(int)
    depth = found.depth_um.astype(float)
    centre = section.coords_um[inside[np.argsort(depth, kind="stable")]].mean(0)
    distance = np.linalg.norm(section.coords_um[known] - centre, axis=1)
    near = known[np.argsort(distance, kind="stable")[: reach(config.window_cells, pooled)]]
    offset = section.coords_um[near] - centre
    pool = Pool.around(offset, tiny_model.config.window_cells)
    assert (pool.mass.max() > 1) == pooled
    geometry = Geometry(section.coords_um)
    xy = tiny_model.positions(centre + pool.mean(offset), centre)[None]
    mixture = torch.from_numpy(pool.shares(tokens[near], tokenizer.n_meta_cells))[None]
    mass = torch.from_numpy(pool.mass)[None]
    around = torch.from_numpy(pool.mean(geometry(near)))[None]
    for i in np.argsort(depth, kind="stable"):
        at = tiny_model.positions(section.coords_um[inside[i]][None], centre)[None]
        own = torch.from_numpy(geometry(inside[[i]]))[None]
        context = network.encode(network.table(), mixture, xy, mass=mass, geometry=around)
        hidden = network.ask(context, at, geometry=own)
        chosen = network.logits(hidden, context, at).argmax().item()
        assert found.meta_cell[i] == chosen
        xy, around = torch.cat([xy, at], 1), torch.cat([around, own], 1)
        mixture = torch.cat([mixture, F.one_hot(torch.tensor([[chosen]]), mixture.shape[-1])], 1)
        mass = torch.cat([mass, torch.ones(1, 1)], 1)


def test_deep_in_a_hole_a_window_may_hold_generated_cells_alone(
    section: Section, tiny_model: GeST, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_gest.tasks.generation.generation.WINDOW_TARGETS", 16)
    few = {"pooled_context": False, "window_cells": 8}
    model = replace(tiny_model, config=tiny_model.config.model_copy(update=few))
    off = np.linalg.norm(section.coords_um - section.coords_um.mean(0), axis=1)
    unseen = np.zeros(section.n_obs, bool)
    unseen[np.argsort(off)[:200]] = True
    made = generate(section, model, unseen, field=0)
    assert len(made.expression) == 200
    assert np.isfinite(made.expression).all()


def test_one_step_sees_measured_cells_alone(
    section: Section, tiny_model: GeST, unseen: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_gest.tasks.generation.generation.WINDOW_TARGETS", 32)
    assert unseen.sum() > 64
    at_once = generate(section, tiny_model, unseen, mode="sample", seed=1, frontier=10**6)
    other = generate(section, tiny_model, unseen, mode="sample", seed=2, frontier=10**6)
    # Draws differ, yet no prediction depends on them.
    assert not np.array_equal(at_once.meta_cell, other.meta_cell)
    assert np.array_equal(at_once.entropy, other.entropy)
    inward = generate(section, tiny_model, unseen, mode="sample", seed=1, frontier=32)
    assert not np.array_equal(at_once.entropy, inward.entropy)


def test_generation_starts_at_the_rim(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    seen, depths = 0, []
    work = GenerateRequest(section, tiny_model, unseen, frontier=16).run()
    for tick in work:
        if tick.payload is None:  # all cells are there, and the section is being learned
            assert seen == unseen.sum()
            continue
        seen += len(tick.payload.index)
        assert tick.done == seen
        assert len(tick.payload.index) <= 16
        depths.append(tick.payload.index)
    assert sorted(np.concatenate(depths)) == list(range(unseen.sum()))


def test_a_run_can_be_left_at_any_frontier(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    work = GenerateRequest(section, tiny_model, unseen, frontier=4).run()
    next(work)
    work.close()
    with pytest.raises(StopIteration):
        next(work)


def test_passes_average_over_reflections(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    turned = section.coords_um @ np.array([[0.0, 1.0], [-1.0, 0.0]])
    there = replace(section, coords_um=turned)
    # A window of the whole section pools nothing: which cells share a far group depends on the
    # axes. The field's waves are drawn for the tissue as it lies.
    config = tiny_model.config.model_copy(update={"window_cells": 1024})
    model = GeST.create(config, tiny_model.tokenizer, seed=0)
    one = generate(section, model, unseen, passes=8, frontier=10**6, field=0.0)
    two = generate(there, model, unseen, passes=8, frontier=10**6, field=0.0)
    # Windows may be cut differently, but where they agree eight passes do not know up from left.
    assert np.median(np.abs(one.expression - two.expression)) < 1e-3


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"unseen": np.zeros(3, bool)}, "one boolean"),
        ({"unseen": np.zeros(600)}, "type float64"),
        ({"unseen": np.zeros(600, bool)}, "nothing to generate"),
        ({"unseen": np.ones(600, bool)}, "Every cell"),
        ({"mode": "best"}, "no mode"),
        ({"frontier": 0}, "frontier is 0"),
        ({"passes": 9}, "passes is 9"),
        ({"temperature": 0.0}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"new_coords_um": np.array([[np.nan, 1.0]])}, "Positions"),
    ],
)
def test_bad_requests_are_refused_before_work(
    section: Section, tiny_model: GeST, unseen: np.ndarray, change: dict, cause: str
) -> None:
    request = GenerateRequest(section, tiny_model, unseen)
    with pytest.raises(InputError, match=cause):
        replace(request, **change).check()


def test_another_panel_is_refused(tissue: AnnData, tiny_model: GeST) -> None:
    tissue.var_names = [f"other_{i}" for i in range(tissue.n_vars)]
    section = Section.from_anndata(tissue, "section_1")
    unseen = np.arange(section.n_obs) < 10
    with pytest.raises(InputError, match="of the model's"):
        generate(section, tiny_model, unseen)


def test_the_field_of_the_section_has_its_share(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    made = [generate(section, tiny_model, unseen, field=share) for share in (0.0, 0.5, 1.0)]
    plain, half, field = (g.expression for g in made)
    assert not np.allclose(plain, field)
    assert half == pytest.approx((plain + field) / 2, abs=1e-5)
    # The other modes read out meta cells, and those only.
    picked = [generate(section, tiny_model, unseen, mode="pick", field=f) for f in (0.0, 1.0)]
    assert np.array_equal(picked[0].expression, picked[1].expression)
    with pytest.raises(InputError, match=r"field is 1\.5"):
        generate(section, tiny_model, unseen, field=1.5)


def test_learning_the_section_can_be_cancelled(
    section: Section, tiny_model: GeST, unseen: np.ndarray
) -> None:
    run = GenerateRequest(section, tiny_model, unseen).run()
    stages = [next(run).stage for _ in range(4)]
    assert stages[0] == "Generating cells"
    assert stages[-1] == "Learning the section"
    run.close()


@pytest.fixture(scope="module")
def wide() -> AnnData:
    """A section that is wider than a run of generation looks, its rows in a random order."""
    made = simulate(6000, 30, 1, seed=2)
    return made[np.random.default_rng(0).permutation(made.n_obs)].copy()


@pytest.mark.parametrize("mode", ["weighted", "sample"])
def test_what_is_far_away_is_not_read_and_changes_nothing(
    wide: AnnData, tiny_model: GeST, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(generation, "MOST_DONORS", 300)
    monkeypatch.setattr(generation, "_FIELD_REACH", 8.0)
    write_tissue(wide, tmp_path / "in.zarr")
    here = Section.from_anndata(wide)
    there = Section.from_anndata(read_tissue(tmp_path / "in.zarr", lazy=True), lazy=True)
    far = np.hypot(*(here.coords_um - here.coords_um.mean(0)).T)
    unseen = far < np.sort(far)[60]
    read: list[int] = []
    take = StoredMatrix.take
    monkeypatch.setattr(
        StoredMatrix, "take", lambda self, rows: read.append(len(rows)) or take(self, rows)
    )
    near = generate(there, tiny_model, unseen, mode=mode, seed=3)
    assert 300 < sum(read) < here.n_obs / 2
    monkeypatch.setattr(generation, "vicinity", lambda coords, *_: np.arange(len(coords)))
    whole = generate(here, tiny_model, unseen, mode=mode, seed=3)
    for name in ("expression", "sd", "entropy", "meta_cell", "depth_um", "rows"):
        np.testing.assert_array_equal(getattr(near, name), getattr(whole, name))
    if mode == "sample":
        np.testing.assert_array_equal(near.donor, whole.donor)
