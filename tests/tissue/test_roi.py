from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from shapely import MultiPolygon, Point, Polygon, box

from napari_gest.errors import InputError
from napari_gest.tissue.roi import Roi, mask_from_obs

SQUARE = np.array([[0.0, 0], [10, 0], [10, 10], [0, 10]])
COORDINATE = st.floats(-1e4, 1e4, allow_nan=False, width=32)


def test_a_square_contains_what_is_inside() -> None:
    roi = Roi.from_vertices([SQUARE])
    assert roi.area_um2 == pytest.approx(100)
    coords = np.array([[5, 5], [0, 0], [10.001, 5], [-1, 5], [9.999, 0.001]])
    assert roi.contains(coords).tolist() == [True, False, False, False, True]
    assert roi.contains(np.empty((0, 2))).tolist() == []


def test_x_is_the_first_axis() -> None:
    wide = Roi.from_vertices([SQUARE * [3, 1]])
    assert wide.contains(np.array([[25.0, 5], [5, 25]])).tolist() == [True, False]


def test_several_outlines_are_united() -> None:
    apart = Roi.from_vertices([SQUARE, SQUARE + 20])
    assert isinstance(apart.geometry, MultiPolygon)
    assert apart.area_um2 == pytest.approx(200)
    assert apart.contains(np.array([[5.0, 5], [15, 15], [25, 25]])).tolist() == [True, False, True]
    assert Roi.from_vertices([SQUARE, SQUARE + 5]).area_um2 == pytest.approx(175)


def test_a_figure_of_eight_keeps_both_loops() -> None:
    roi = Roi.from_vertices([np.array([[0.0, 0], [2, 2], [2, 0], [0, 2]])])
    assert roi.area_um2 == pytest.approx(2)


def test_a_lasso_wound_twice_covers_its_middle() -> None:
    t = np.linspace(0, 4 * np.pi, 80, endpoint=False)
    roi = Roi.from_vertices([np.c_[np.cos(t), np.sin(t)] * (10 + t[:, None])])
    assert roi.contains(np.array([[0.0, 0.0]])).all()


@given(arrays(np.float64, st.tuples(st.integers(3, 12), st.just(2)), elements=COORDINATE))
def test_any_outline_becomes_valid_or_is_refused(ring: np.ndarray) -> None:
    try:
        roi = Roi.from_vertices([ring])
    except InputError:
        return
    assert roi.geometry.is_valid
    assert 0 < roi.area_um2 <= shapely.MultiPoint(ring).convex_hull.area * (1 + 1e-6)


@given(st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1, max_size=30))
def test_contains_agrees_with_shapely(points: list[tuple[float, float]]) -> None:
    roi = Roi(Point(0, 0).buffer(5000).difference(Point(100, 0).buffer(500)))
    expected = [roi.geometry.contains(Point(*p)) for p in points]
    assert roi.contains(np.array(points)).tolist() == expected


@pytest.mark.parametrize(
    "rings",
    [
        [],
        [SQUARE[:2]],
        [SQUARE[:, :1]],
        [SQUARE[0]],
        [SQUARE * [1, 0]],
        [np.zeros((5, 2))],
        [np.where(SQUARE == 10, np.nan, SQUARE)],
        [np.where(SQUARE == 10, np.inf, SQUARE)],
    ],
)
def test_empty_and_broken_outlines_are_refused(rings: list[np.ndarray]) -> None:
    with pytest.raises(InputError):
        Roi.from_vertices(rings)


@pytest.mark.parametrize(
    "geometry", [Point(0, 0), Polygon(), Polygon([(0, 0), (2, 2), (2, 0), (0, 2)]), None]
)
def test_a_roi_is_a_valid_polygon(geometry: Any) -> None:
    with pytest.raises(InputError):
        Roi(geometry)


def test_geojson_round_trip(tmp_path: Path) -> None:
    ring = Point(5, 5).buffer(3).difference(Point(5, 5).buffer(1))
    roi = Roi(ring.union(Point(50, 5).buffer(3)))
    roi.write_geojson(tmp_path / "roi.geojson")
    back = Roi.read_geojson(tmp_path / "roi.geojson")
    assert back.geometry.equals(roi.geometry)
    with pytest.raises(InputError, match="exists already"):
        roi.write_geojson(tmp_path / "roi.geojson")
    Roi.from_vertices([SQUARE]).write_geojson(tmp_path / "roi.geojson", overwrite=True)
    assert Roi.read_geojson(tmp_path / "roi.geojson").area_um2 == pytest.approx(100)


POLYGON = {"type": "Polygon", "coordinates": [[*SQUARE.tolist(), [0, 0]]]}
HIGH = {"type": "Polygon", "coordinates": [[[0, 0, 7], [10, 0, 7], [10, 10, 7], [0, 0, 7]]]}
FEATURE = {"type": "Feature", "properties": {}, "geometry": POLYGON}


@pytest.mark.parametrize(
    ("document", "area"),
    [
        (POLYGON, 100),
        (HIGH, 50),
        ({"type": "MultiPolygon", "coordinates": [POLYGON["coordinates"]]}, 100),
        (FEATURE, 100),
        ({"type": "FeatureCollection", "features": [FEATURE, {**FEATURE, "geometry": HIGH}]}, 100),
        ({"type": "FeatureCollection", "features": [{**FEATURE, "geometry": None}, FEATURE]}, 100),
        ({"type": "GeometryCollection", "geometries": [HIGH]}, 50),
        ([FEATURE, {**FEATURE, "geometry": HIGH}], 100),
    ],
)
def test_kinds_of_geojson(tmp_path: Path, document: Any, area: float) -> None:
    (tmp_path / "roi.geojson").write_text(json.dumps(document))
    assert Roi.read_geojson(tmp_path / "roi.geojson").area_um2 == pytest.approx(area)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[1, [2]]",
        "{}",
        '{"type": "Point", "coordinates": [0, 0]}',
        '{"type": "LineString", "coordinates": [[0, 0], [1, 1]]}',
        '{"type": "Polygon"}',
        '{"type": "Polygon", "coordinates": []}',
        '{"type": "Polygon", "coordinates": [[[0, 0], [1, "a"], [1, 1], [0, 0]]]}',
        '{"type": "Polygon", "coordinates": [[[0, 0], [1, NaN], [1, 1], [0, 0]]]}',
        '{"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [2, 2], [0, 0]]]}',
        '{"type": "FeatureCollection", "features": []}',
        '{"type": "FeatureCollection"}',
        '{"type": "Topology"}',
    ],
)
def test_other_geojson_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "roi.geojson").write_text(text)
    with pytest.raises(InputError) as caught:
        Roi.read_geojson(tmp_path / "roi.geojson")
    assert caught.value.cause
    assert caught.value.remedy


def test_a_missing_or_binary_geojson_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        Roi.read_geojson(tmp_path / "absent.geojson")
    (tmp_path / "roi.geojson").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="not readable"):
        Roi.read_geojson(tmp_path / "roi.geojson")


def with_column(values: Any) -> AnnData:
    index = [f"c{i}" for i in range(len(values))]
    return AnnData(np.ones((len(values), 1)), obs=pd.DataFrame({"hole": values}, index=index))


@pytest.mark.parametrize(
    "values",
    [
        [True, False, True],
        [1, 0, 1],
        [1.0, 0.0, 1.0],
        ["True", "False", "True"],
        pd.Categorical(["true", "false", "true"]),
        pd.Categorical([True, False, True]),
        pd.array([True, False, True], dtype="boolean"),
        np.array([1, 0, 1], dtype=np.uint8),
    ],
)
def test_masks_are_read(values: Any) -> None:
    assert mask_from_obs(with_column(values), "hole", np.arange(3)).tolist() == [True, False, True]
    assert mask_from_obs(with_column(values), "hole", np.array([2, 1])).tolist() == [True, False]


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ([True, None, False], "no value for 1 of 3"),
        ([1.0, np.nan, 0.0], "no value for 1 of 3"),
        (pd.array([True, None, False], dtype="boolean"), "no value for 1 of 3"),
        ([1, 2, 0], "holds '2'"),
        (["yes", "no", "no"], "holds 'yes'"),
        ([True, True, True], "True for all 3"),
        ([0, 0, 0], "False for all 3"),
    ],
)
def test_other_masks_are_refused(values: Any, cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        mask_from_obs(with_column(values), "hole", np.arange(3))


def test_an_absent_mask_is_named() -> None:
    with pytest.raises(InputError, match="no obs column 'gap'; columns here: hole"):
        mask_from_obs(with_column([True, False]), "gap", np.arange(2))


def test_outlines_with_too_many_crossings_are_refused_soon() -> None:
    corners = np.random.default_rng(0).random((3000, 2)) * 1000
    began = time.process_time()
    with pytest.raises(InputError, match="cross each other more than 10,000 times"):
        Roi.from_vertices([corners])
    assert time.process_time() - began < 20
    # As many corners without crossings, and a lasso that crosses itself now and then.
    turn = np.linspace(0, 2 * np.pi, 30_000, endpoint=False)
    round_ = np.stack([np.cos(turn), np.sin(turn)], 1) * 500
    assert Roi.from_vertices([round_]).area_um2 == pytest.approx(np.pi * 500**2, rel=1e-3)
    assert Roi.from_vertices([corners[:60]]).area_um2 > 0


def test_outlines_that_cross_each_other_are_counted_together() -> None:
    teeth = np.arange(400.0)
    comb = np.stack([np.repeat(teeth, 2), np.tile([0.0, 500, 500, 0], 200)], 1)
    combs = [np.concatenate([comb, [[399, -10], [0, -10]]]) + 0.5 for _ in range(2)]
    combs[1] = combs[1][:, ::-1] + 0.25
    with pytest.raises(InputError, match="cross each other"):
        Roi.from_vertices(combs)


@pytest.mark.parametrize("far", [1e200, 2e9, -1e10])
def test_a_region_reaches_no_farther_than_tissue_can(tmp_path: Path, far: float) -> None:
    with pytest.raises(InputError, match=r"farther than 1e\+09 um"):
        Roi.from_vertices([SQUARE * far])
    with pytest.raises(InputError, match=r"farther than 1e\+09 um"):
        Roi(box(*sorted([0, far]), 10, 10) if far < 0 else box(0, 0, far, far))
    coordinates = [[[0, 0], [far, 0], [far, far], [0, 0]]]
    text = json.dumps({"type": "Polygon", "coordinates": coordinates})
    (tmp_path / "roi.geojson").write_text(text)
    with pytest.raises(InputError, match=r"farther than 1e\+09 um"):
        Roi.read_geojson(tmp_path / "roi.geojson")


def test_a_region_has_a_limited_number_of_corners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_gest.tissue.roi._MOST_CORNERS", 4)
    with pytest.raises(InputError, match="has 5 corners"):
        Roi.from_vertices([SQUARE])


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        (
            '{"type": "GeometryCollection", "geometries": [' * 400 + "]}" * 400,
            "deeply|malformed|no area",
        ),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [NaN, 0], [1, 1]]]}', "NaN"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [Infinity, 0], [1, 1]]]}', "Infinity"),
        ('{"type": "Polygon", "coordinates": [[[0,0],[1' + "0" * 400 + ",0],[1,1]]]}", "malformed"),
        ('{"type": "Polygon", "coordinates": [[[0,0],[1' + "0" * 9000 + ",0],[1,1]]]}", "readable"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], ["x", 0], [1, 1]]]}', "malformed"),
    ],
)
def test_json_that_once_raised_is_refused(tmp_path: Path, text: str, cause: str) -> None:
    (tmp_path / "roi.geojson").write_text(text)
    with pytest.raises(InputError, match=cause):
        Roi.read_geojson(tmp_path / "roi.geojson")


def test_corners_give_the_region_back_holes_and_all():
    hole = shapely.box(2, 2, 4, 4)
    area = shapely.union(shapely.box(0, 0, 9, 9).difference(hole), shapely.box(20, 0, 22, 3))
    roi = Roi(area)
    rings = roi.to_vertices()
    assert len(rings) == 2
    assert Roi.from_vertices(rings).geometry.equals(area)
    assert Roi(shapely.box(0, 0, 1, 1)).to_vertices()[0].shape == (4, 2)
