"""What the benchmark of atlases simulates, adds up and says of itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import psutil
import pytest

from benchmarks.scale import atlas, niche_scale
from benchmarks.scale.atlas import Cost
from benchmarks.scale.picture import draw
from benchmarks.scale.published import READ_OUT, Limits, Taken
from napari_gest.tissue.io import read_tissue
from napari_gest.tissue.section import Section


def test_tissue_is_written_island_by_island(tmp_path: Path) -> None:
    atlas.simulate_to(tmp_path / "in.zarr", 130, n_genes=20, tile=50)
    section = Section.from_anndata(read_tissue(tmp_path / "in.zarr", lazy=True), lazy=True)
    assert section.on_disk
    assert section.expression.shape == (130, 20)
    whole = Section.from_anndata(read_tissue(tmp_path / "in.zarr"))
    assert (section.expression[:] != whole.expression).nnz == 0
    assert (np.asarray(section.expression.sum(1)) > 0).mean() > 0.9
    middles = [section.coords_um[i : i + 50].mean(0) for i in (0, 50, 100)]
    reach = [np.ptp(section.coords_um[i : i + 50], axis=0).max() for i in (0, 50, 100)]
    assert np.linalg.norm(middles[0] - middles[1]) > max(reach) / 2
    assert np.linalg.norm(middles[0] - middles[2]) > max(reach) / 2


def test_islands_are_repeated_side_by_side(tmp_path: Path) -> None:
    atlas.simulate_to(tmp_path / "in.zarr", 300, n_genes=20, tile=50)
    section = Section.from_anndata(read_tissue(tmp_path / "in.zarr"))
    first, second, fifth = (section.expression[i : i + 50] for i in (0, 50, 200))
    assert (first != fifth).nnz == 0
    assert (first != second).nnz
    assert len(np.unique(section.coords_um, axis=0)) == 300


def test_memory_is_that_of_a_process_whatever_others_share() -> None:
    own = psutil.Process()
    assert atlas._memory(own) == pytest.approx(own.memory_info().rss, rel=0.2)


OWN = tuple(stage for stage in atlas.STAGES if stage not in READ_OUT)

COSTS = [
    Cost(100_000, "tokenise", 1.0, 1.0, 500, load=1),
    Cost(1_000_000, "tokenise", 16.0, 10.5, 650, load=3),
    Cost(1_000_000, "cluster", 70.0, 65.0, 900, load=2),
    Cost(100_000, "generate", 5.0, 5.0, 500, 0.5),
    Cost(1_000_000, "generate", 7.0, 5.0, 500, 1.5),
    Cost(1_000_000, "fit", error="MemoryError"),
]


def test_costs_are_held_against_their_bars() -> None:
    met = {f.what: f.met for f in atlas.figures(COSTS)}
    assert met["tokenise: 1,000,000 cells"]  # 700 MB are allowed
    assert not met["cluster: 1,000,000 cells"]
    assert met["tokenise: processor time a cell, 100,000 to 1,000,000 cells"]
    assert met["1 M cells clustered"] is False
    assert met["a hole of 1,000 cells in 1,000,000 v. in 100,000"] is False
    assert met["first of 1,000 generated cells in 100,000"]
    assert met["first of 1,000 generated cells in 1,000,000"] is False
    assert met["fit: 1,000,000 cells"] is None


def test_a_window_is_held_against_time_alone() -> None:
    costs = [
        atlas.Cost(3_000_000, "view", 19.0, 15.0, 9_000, recolour_s=1.2),
        atlas.Cost(1_000_000, "view", error="there is no screen"),
    ]
    met = {figure.what: figure.met for figure in atlas.figures(costs)}
    assert met["view: 3,000,000 cells"] is None
    assert met["3 M cells opened"] is True
    assert met["another gene drawn, 3,000,000 cells"] is False
    assert met["view: 1,000,000 cells"] is None


def test_the_page_tells_misses_errors_and_what_was_not_run(tmp_path: Path) -> None:
    page = atlas.markdown(COSTS, "scale.png")
    row = next(line for line in page.splitlines() if line.startswith("| fit "))
    assert row == "| fit | not run | MemoryError |"
    assert page.count("missed") == 4
    assert "1 to 3" in page
    draw(COSTS, tmp_path / "scale.png")
    assert (tmp_path / "scale.png").stat().st_size > 3000


def test_what_was_measured_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atlas, "simulate_to", lambda path, _n: path.mkdir())
    asked: list[tuple[str, int]] = []

    def measured(stage: str, n: int, *_: Path) -> Cost:
        asked.append((stage, n))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return Cost(n, stage, 1.0, 1.0, 100)

    monkeypatch.setattr(atlas, "measured", measured)
    rows = tmp_path / "rows.json"
    with pytest.raises(KeyboardInterrupt):
        atlas.run(tmp_path, [10, 2_000_000], rows, lambda _: None, OWN)
    done = atlas.run(tmp_path, [10, 2_000_000], rows, lambda _: None, OWN)
    assert asked[2] == asked[3]
    assert len(done) == len(atlas.read(rows)) == 2 * len(OWN) - 1  # one holds all of X in memory
    assert [path.name for path in tmp_path.iterdir()] == ["rows.json"]


def test_niche_scale_says_what_it_leaves_out() -> None:
    assert niche_scale.left_out([1000]) == []
    (line,) = niche_scale.left_out([1000, 600_000])
    for name in ("content", "expression, shared", "hidden, exact", "the tree of niches"):
        assert name in line
    assert line.startswith("600,000 cells: left out")


def test_a_published_method_that_failed_is_not_tried_with_more_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atlas, "simulate_to", lambda path, _n: path.mkdir())
    monkeypatch.setattr(atlas, "missing", lambda name: "not built" if name == "Novae" else "")
    asked: list[tuple[str, str]] = []

    def published(name: str, tissue: Path, limits: Limits) -> Taken:
        asked.append((name, tissue.stem))
        fails = name == "GraphST" or limits.minutes < 2
        return Taken(1.0, 2.0, 300.0, "MemoryError: no room" if fails else "")

    monkeypatch.setattr(atlas, "run_published", published)
    said: list[str] = []
    stages = ("BANKSY", "GraphST", "Novae")
    rows = tmp_path / "rows.json"
    done = atlas.run(tmp_path, [10, 20], rows, said.append, stages, limits=Limits(5, 16))
    assert asked == [("BANKSY", "10"), ("GraphST", "10"), ("BANKSY", "20")]
    assert "Novae is left out: not built" in said
    assert [cost.error for cost in done] == ["", "MemoryError: no room", ""]
    assert "| GraphST | MemoryError: no room | not run |" in atlas.markdown(done, "scale.png")


def test_of_a_process_that_was_stopped_now_and_then_the_clock_is_left_out() -> None:
    page = atlas.markdown([atlas.Cost(10, "Novae", cpu_s=782.0, peak_mb=3540.0)], "scale.png")
    assert "| Novae | (782.0), 3,540 MB |" in page
    assert "nan" not in page
