"""The anatomy of a simulated section of brain."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData
from scipy.spatial import cKDTree

from napari_gest.errors import InputError
from napari_gest.tissue import brain
from napari_gest.tissue.section import Section, section_names
from napari_gest.tissue.simulate import simulate
from napari_gest.tissue.simulated import profiles_of_types

MARKER_GENES = sorted({gene for genes in brain.MARKERS.values() for gene in genes})


def vocabulary(seed: int = 0) -> np.ndarray:
    """Return profiles of which five are of each type that has markers."""
    rng = np.random.default_rng(seed)
    rows = []
    for markers in brain.MARKERS.values():
        profile = rng.gamma(2, 0.05, (5, len(MARKER_GENES)))
        profile[:, [MARKER_GENES.index(g) for g in markers]] += 3
        rows.append(profile)
    return np.concatenate(rows)


@pytest.fixture(scope="module")
def made() -> AnnData:
    return simulate(6001, n_sections=2, seed=5, profiles=vocabulary(), genes=MARKER_GENES,
                    anatomy="brain")  # fmt: skip


@pytest.fixture(scope="module")
def half(made: AnnData) -> AnnData:
    return made[made.obs["section"] == "section_1"].copy()


def regions(adata: AnnData) -> np.ndarray:
    return adata.obs["region"].astype(str).to_numpy()


def test_one_seed_gives_one_tissue(made: AnnData) -> None:
    settings = {"n_sections": 2, "profiles": vocabulary(), "genes": MARKER_GENES,
                "anatomy": "brain"}  # fmt: skip
    again = simulate(6001, seed=5, **settings)
    assert (again.X != made.X).nnz == 0
    assert np.array_equal(again.obsm["spatial"], made.obsm["spatial"])
    assert again.obs.equals(made.obs)
    assert made.uns["source"]["anatomy"] == "brain"
    assert "no measured cell" in made.uns["source"]["notes"]
    other = simulate(6001, seed=6, **settings)
    assert not np.array_equal(other.obsm["spatial"], made.obsm["spatial"])


def test_every_region_is_there_and_has_its_cells(half: AnnData) -> None:
    assert set(half.obs["region"]) == set(brain.REGIONS)
    assert set(half.obs["cell_type"]) == set(brain.TYPES)
    kinds, place = half.obs["cell_type"].astype(str).to_numpy(), regions(half)
    for region, kind, least in (
        ("lining", "ependymal", 0.75),
        ("commissure", "oligodendrocyte", 0.6),
        ("ventral nucleus", "excitatory Ntng1", 0.3),
    ):
        inside = place == region
        assert (kinds[inside] == kind).mean() > least
        assert (kinds[inside] == kind).mean() > 3 * (kinds[~inside] == kind).mean()


def test_layers_lie_in_order_beneath_the_surface(half: AnnData) -> None:
    coords, place = half.obsm["spatial"], regions(half)
    pia = cKDTree(coords[place == "layer 1"])
    depth = pia.query(coords)[0]
    above = coords[:, 1] < coords[place == "medial nucleus", 1].mean()
    ordered = [np.median(depth[above & (place == f)]) for f in ("layer 2", "layer 3", "capsule")]
    assert ordered == sorted(ordered)
    assert ordered[0] + 50 < ordered[1] < ordered[2]


def test_the_commissure_is_thin_and_crosses_the_midline(half: AnnData) -> None:
    x, y = half.obsm["spatial"].T
    tract = regions(half) == "commissure"
    thick = []
    for start in np.arange(x[tract].min(), x[tract].max() - 100, 100):
        slab = tract & (x >= start) & (x < start + 100)
        assert slab.any()  # from side to side, without a gap
        thick.append(np.ptp(y[slab]))
    assert np.ptp(x[tract]) > 0.85 * np.ptp(x)
    assert np.median(thick) < 0.25 * np.ptp(y)


def test_cells_of_the_commissure_stand_in_rows(half: AnnData) -> None:
    coords, tract = half.obsm["spatial"], regions(half) == "commissure"

    def sideways(cells: np.ndarray) -> float:
        near = cKDTree(coords).query(coords[cells], 4)[1][:, 1:]
        away = np.abs(coords[near] - coords[cells][:, None])
        return float((away[..., 0] > 1.73 * away[..., 1]).mean())

    assert sideways(tract) > 0.4
    assert sideways(regions(half) == "layer 3") < 0.4


def test_the_halves_mirror_each_other(half: AnnData) -> None:
    coords, place = half.obsm["spatial"], regions(half)
    middle = np.median(coords[place == "lining", 0])
    mirrored = coords * [-1, 1] + [2 * middle, 0]
    away, opposite = cKDTree(coords).query(mirrored)
    inside = away < 30
    assert inside.mean() > 0.95
    assert (place[opposite] == place)[inside].mean() > 0.8
    shift = np.array([0.3 * np.ptp(coords[:, 0]), 0])
    beside = cKDTree(coords).query(coords + shift)[1]
    assert (place[beside] == place).mean() < 0.5


def test_densities_differ(half: AnnData) -> None:
    coords, place = half.obsm["spatial"], regions(half)
    apart = cKDTree(coords).query(coords, 3)[0][:, 2]  # the lining is only two cells wide
    near = {name: np.median(apart[place == name]) for name in brain.REGIONS}
    assert near["lining"] < near["periventricular nucleus"] < near["core"] < near["layer 1"]
    assert cKDTree(coords).query(coords, 2)[0][:, 1].min() >= 6


def test_the_ventricle_is_a_slit_between_its_linings(half: AnnData) -> None:
    x, y = half.obsm["spatial"].T
    lining = regions(half) == "lining"
    for top in np.quantile(y[lining], [0.1, 0.4, 0.7]):  # the midline bends: slab by slab
        across = np.sort(x[lining & (y >= top) & (y < top + 60)])
        gap = np.diff(across)
        assert gap.max() > 15
        assert np.ptp(across) < 100


def test_types_vary_across_space_in_ways_that_no_profile_holds() -> None:
    rng = np.random.default_rng(3)
    profiles, type_of = profiles_of_types(vocabulary(), None, 12, rng)
    drawn = brain.Brain.draw(profiles, type_of, MARKER_GENES, rng)
    coords, table, shares = drawn.section(4000, rng)
    kinds = table["cell_type"].to_numpy()
    astrocytes = np.flatnonzero(kinds == "astrocyte")
    logged = np.log(shares(slice(None)))[astrocytes]
    basis = np.log(drawn.profiles[drawn.type_of == brain.TYPES.index("astrocyte")])
    # What profiles of the type cannot explain, each cell less the nearest of them.
    residual = (logged[:, None] - basis[None]).copy()
    nearest = np.square(residual).sum(axis=2).argmin(axis=1)
    left = residual[np.arange(len(astrocytes)), nearest]
    assert left.std() > 0.05
    # And it is smooth: the neighbours of the same type share it, cells far away do not.
    near = cKDTree(coords[astrocytes]).query(coords[astrocytes], 2)[1][:, 1]
    far = rng.permutation(len(astrocytes))
    left -= left.mean(axis=0)
    assert np.corrcoef(left.ravel(), left[near].ravel())[0, 1] > 0.6
    assert abs(np.corrcoef(left.ravel(), left[far].ravel())[0, 1]) < 0.2


def test_expected_shares_sum_to_one_in_any_part() -> None:
    rng = np.random.default_rng(0)
    profiles, type_of = profiles_of_types(None, 20, 4, rng)
    drawn = brain.Brain.draw(profiles, type_of, [f"g{i}" for i in range(20)], rng)
    _, _, shares = drawn.section(500, rng)
    whole = shares(slice(None))
    assert whole.sum(axis=1) == pytest.approx(1)
    assert shares(slice(100, 130)) == pytest.approx(whole[100:130])


def test_profiles_that_fit_no_type_well_are_left_out() -> None:
    profiles = vocabulary()
    mixed = (profiles[0] + profiles[-1]) / 2
    marked = brain._marked(np.vstack([profiles, mixed]), MARKER_GENES)
    assert marked is not None
    assert marked[-1] == -1
    assert set(range(len(brain.TYPES))) <= set(marked.tolist())


@pytest.mark.parametrize("genes", [None, [f"gene {i}" for i in range(len(MARKER_GENES))]])
def test_other_panels_have_types_of_their_own(genes: list[str] | None) -> None:
    given = {} if genes is None else {"profiles": vocabulary(), "genes": genes}
    made = simulate(600, seed=1, anatomy="brain", **given)
    assert made.obs["cell_type"].nunique() > 5
    assert all(name.startswith("type ") for name in made.obs["cell_type"])


@pytest.mark.parametrize(("n_cells", "n_sections"), [(1, 1), (2, 1), (7, 7), (50, 3)])
def test_small_sections(n_cells: int, n_sections: int) -> None:
    made = simulate(n_cells, 3, n_sections, anatomy="brain")
    assert made.shape == (n_cells, 3)
    assert len(section_names(made)) == n_sections


def test_one_profile_is_one_type() -> None:
    made = simulate(20, profiles=np.ones((1, 4)), anatomy="brain")
    assert made.obs["cell_type"].nunique() == 1


def test_an_unknown_anatomy_is_refused() -> None:
    with pytest.raises(InputError, match=r"(?s)anatomy.*liver.*layers or brain"):
        simulate(20, 3, anatomy="liver")


def test_sections_differ_a_little(made: AnnData) -> None:
    first, second = (Section.from_anndata(made, name) for name in section_names(made))
    a, b = first.coords_um, second.coords_um
    assert np.ptp(a, axis=0) == pytest.approx(np.ptp(b, axis=0), rel=0.05)
    place = regions(made)
    opposite = cKDTree(a).query(b)[1]
    same = (place[first.rows][opposite] == place[second.rows]).mean()
    assert 0.75 < same < 1
