from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from shapely import MultiPolygon, Point, box

from napari_gest.errors import InputError
from napari_gest.tissue.placement import n_lacking, place_cells
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate


@pytest.fixture(scope="module")
def coords() -> NDArray[np.float64]:
    """Positions of one simulated section of 6,000 cells, about 2 mm wide."""
    return simulate(6000, 1, seed=4).obsm["spatial"]


def nearest(points: NDArray[np.float64], among: NDArray[np.float64]) -> NDArray[np.float64]:
    return cKDTree(among).query(points, 2)[0][:, 1]


@pytest.mark.parametrize("radius", [150.0, 400.0])
def test_density_and_spacing_are_those_around(coords: NDArray[np.float64], radius: float) -> None:
    roi = Roi(Point(*coords.mean(axis=0)).buffer(radius))
    inside = roi.contains(coords)
    known = coords[~inside]
    placed = np.concatenate(
        [place_cells(roi, known, np.random.default_rng(seed)) for seed in range(3)]
    )
    assert roi.contains(placed).all()
    assert len(placed) / 3 / roi.area_um2 == pytest.approx(0.0018, rel=0.15)
    first = place_cells(roi, known, np.random.default_rng(0))
    shares = [0.05, 0.25, 0.5, 0.75]
    found = np.quantile(nearest(first, np.concatenate([known, first])), shares)
    wanted = np.quantile(nearest(coords, coords), shares)
    assert found == pytest.approx(wanted, rel=0.2)


def test_a_gradient_of_density_goes_on_inside() -> None:
    rng = np.random.default_rng(0)
    dense, thin = rng.uniform(0, 1, (4000, 2)), rng.uniform(0, 1, (1000, 2))
    coords = np.concatenate([dense * [1000, 2000], thin * [1000, 2000] + [1000, 0]])
    roi = Roi(box(800, 800, 1200, 1200))
    placed = place_cells(roi, coords[~roi.contains(coords)], rng)
    assert (placed[:, 0] < 1000).mean() > 0.6


def test_a_region_elsewhere_is_told_with_both_extents(coords: NDArray[np.float64]) -> None:
    high = coords.max(axis=0)
    roi = Roi(box(*(high + 5000), *(high + 5100)))
    with pytest.raises(InputError, match="0 measured cells lie close") as caught:
        place_cells(roi, coords, np.random.default_rng(0))
    assert f"region x {high[0] + 5000:,.0f} to" in caught.value.cause
    assert f"tissue x {coords[:, 0].min():,.0f} to {high[0]:,.0f} um" in caught.value.cause
    assert "--um-per-unit" in caught.value.remedy


def test_what_a_region_lacks_is_what_is_placed(coords: NDArray[np.float64]) -> None:
    centre = coords.mean(axis=0)
    roi = Roi(Point(*centre).buffer(120))
    known = coords[np.linalg.norm(coords - centre, axis=1) > 100]
    placed = place_cells(roi, known, np.random.default_rng(0))
    assert n_lacking(roi, known) == len(placed) > 30


def test_one_seed_gives_one_result(coords: NDArray[np.float64]) -> None:
    roi = Roi(Point(*coords.mean(axis=0)).buffer(120))
    known = coords[~roi.contains(coords)]
    a, b, c = (place_cells(roi, known, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.array_equal(a[: len(c)], c[: len(a)])


def test_measured_cells_inside_count_and_are_kept_clear(coords: NDArray[np.float64]) -> None:
    roi = Roi(Point(*coords.mean(axis=0)).buffer(300))
    inside = np.flatnonzero(roi.contains(coords))
    kept = inside[::2]
    known = np.delete(coords, np.setdiff1d(inside, kept), axis=0)
    placed = place_cells(roi, known, np.random.default_rng(0))
    assert len(placed) == pytest.approx(len(inside) - len(kept), rel=0.2)
    assert np.quantile(cKDTree(known).query(placed)[0], 0.02) > 4.5
    assert len(place_cells(roi, coords, np.random.default_rng(0))) < 0.1 * len(inside)


def test_tissue_that_ends_beside_the_region_is_no_gap(coords: NDArray[np.float64]) -> None:
    middle = coords.mean(axis=0)
    known = coords[coords[:, 0] < middle[0]]
    roi = Roi(box(middle[0], middle[1] - 200, middle[0] + 150, middle[1] + 200))
    placed = place_cells(roi, known, np.random.default_rng(0))
    assert len(placed) / roi.area_um2 == pytest.approx(0.0018, rel=0.2)


def test_two_parts_are_both_filled(coords: NDArray[np.float64]) -> None:
    x, y = coords.mean(axis=0)
    parts = [Point(x - 500, y).buffer(100), Point(x + 500, y).buffer(100)]
    roi = Roi(MultiPolygon(parts))
    placed = place_cells(roi, coords[~roi.contains(coords)], np.random.default_rng(0))
    for part in parts:
        assert 30 < Roi(part).contains(placed).sum() < 90


def test_coarse_spots_are_placed_by_their_own_spacing() -> None:
    spots = np.random.default_rng(0).uniform(0, 5000, (2500, 2))
    roi = Roi(Point(2500, 2500).buffer(500))
    placed = place_cells(roi, spots[~roi.contains(spots)], np.random.default_rng(0))
    assert len(placed) == pytest.approx(roi.area_um2 * 1e-4, rel=0.25)


@settings(max_examples=8, deadline=None)
@given(st.floats(0.5, 40), st.floats(-600, 600), st.floats(-600, 600))
def test_small_regions_anywhere(radius: float, dx: float, dy: float) -> None:
    coords = np.random.default_rng(0).uniform(-700, 700, (3500, 2))
    roi = Roi(Point(dx, dy).buffer(radius))
    placed = place_cells(roi, coords, np.random.default_rng(0))
    assert placed.shape[1] == 2
    assert roi.contains(placed).all()


def test_a_region_without_cells_near_is_refused(coords: NDArray[np.float64]) -> None:
    far = Roi(Point(1e5, 1e5).buffer(100))
    for cells in (coords, coords[:5], coords[:0]):
        with pytest.raises(InputError, match="measured cells lie close"):
            place_cells(far, cells, np.random.default_rng(0))


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "name", "centre"),
    [
        ("merfish_mpoa_a1_135g.h5ad", "A1_+0.26", (0.5, 0.35)),
        ("molcart_cortex_100g.h5ad", "B1", (0.5, 0.5)),
    ],
)
def test_real_tissue_is_matched(
    data_dir: Path, file: str, name: str, centre: tuple[float, float]
) -> None:
    coords = Section.from_anndata(anndata.read_h5ad(data_dir / file), name).coords_um
    low, high = coords.min(axis=0), coords.max(axis=0)
    roi = Roi(Point(*(low + (high - low) * centre)).buffer(250))
    inside = roi.contains(coords)
    known = coords[~inside]
    placed = place_cells(roi, known, np.random.default_rng(0))
    assert len(placed) == pytest.approx(inside.sum(), rel=0.15)
    shares = [0.05, 0.25, 0.5, 0.75]
    found = np.quantile(nearest(placed, np.concatenate([known, placed])), shares)
    wanted = np.quantile(nearest(known, known), shares)
    assert found == pytest.approx(wanted, rel=0.2)


def test_a_region_of_billions_of_cells_is_refused(coords: NDArray[np.float64]) -> None:
    x0, y0 = coords.min(axis=0)
    wide = Roi(box(x0 - 1e6, y0 - 1e6, x0 + 1e6, y0 + 300))
    with pytest.raises(InputError, match="new cells"):
        place_cells(wide, coords, np.random.default_rng(0))


def test_a_region_like_a_thread_has_no_room_or_is_refused(
    coords: NDArray[np.float64], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = coords.mean(axis=0)
    for length, width in ((1e4, 0.2), (2e6, 0.02)):
        thread = Roi(box(x, y, x + length, y + width).union(box(x, y, x + width, y + length)))
        if length < 1e6:
            assert len(place_cells(thread, coords, np.random.default_rng(0))) == 0
            continue
        with pytest.raises(InputError, match="too long"):
            place_cells(thread, coords, np.random.default_rng(0))
    # Points are not drawn for ever where hardly any falls inside.
    monkeypatch.setattr("napari_gest.tissue.placement._MOST_ROUNDS", 0)
    with pytest.raises(InputError, match="too thin"):
        place_cells(Roi(Point(x, y).buffer(200)), coords, np.random.default_rng(0))
