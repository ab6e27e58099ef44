"""The page: every figure on it comes from a stored result, and what is not there is named."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from card_results import result
from PIL import Image

from benchmarks.card import store as stored
from benchmarks.card.render import FIGURES, PAGE, write
from benchmarks.card.rows import DATA, ROWS
from benchmarks.card.store import Store
from benchmarks.card.summary import Difference, difference, slope, state_of, verdict

TABLE_4 = [row for row in ROWS if row.kind == "decoder" and row.data == "molcart A2"]
OURS = TABLE_4[0]
OTHER = next(row for row in TABLE_4 if row.name == "no hierarchy in the loss")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("GEST_DATA", str(tmp_path))
    stored._now.cache_clear()
    return Store(tmp_path / "card")


def test_the_page_says_what_is_there_stale_and_missing(store: Store, tmp_path: Path) -> None:
    for seed, (ours, other) in enumerate([(1.30, 1.34), (1.31, 1.36), (1.29, 1.32)]):
        store.write(OURS, result(store, OURS, seed, ours))
        store.write(OTHER, result(store, OTHER, seed, other, settings="old"))
    genes = next(row for row in ROWS if row.kind == "methods")
    errors = {"GeST": [1.0, 1.1, 1.2, 1.3], "kNN mean": [1.1, 1.2, 1.3, 1.4]}
    store.write(genes, result(store, genes, 0, genes=errors))
    text = write(store, tmp_path / "page.md", tmp_path / "images")
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == text
    line = next(line for line in text.splitlines() if line.startswith("| no hierarchy"))
    assert "+0.0400 [+0.0152, +0.0648]" in line
    assert "3 of 5 seeds; **stale**: other settings" in line
    assert "**held** (1): no hierarchy in the loss" in text
    assert "**not run**" in text
    missing = text.split("## What is missing")[1]
    assert f"no result: {TABLE_4[1].name}," in missing
    assert "some seeds: ours 3 of 5" in missing
    assert "+10.0000 | +1.000" in text  # of the four genes
    for name in ("card-genes.png", "card-ablation-molcart.png"):
        with Image.open(tmp_path / "images" / name) as picture:
            assert np.asarray(picture).std() > 0


def test_an_error_is_told_in_its_row(store: Store, tmp_path: Path) -> None:
    store.write(OTHER, result(store, OTHER, 0, scores={}, error="it diverged"))
    text = write(store, tmp_path / "page.md", tmp_path / "images")
    line = next(line for line in text.splitlines() if line.startswith("| no hierarchy"))
    assert "**missing**; failed: it diverged" in line
    assert state_of(store, OTHER).there == 0


def test_differences_are_taken_seed_by_seed(store: Store) -> None:
    ours = [result(store, OURS, seed, value) for seed, value in enumerate((1.0, 2.0, 3.0))]
    other = [result(store, OTHER, seed, value) for seed, value in ((1, 2.5), (2, 3.5), (4, 9.0))]
    found = difference(other, ours, "rmse_z")
    assert (found.mean, found.n) == (0.5, 2)
    assert found.low == pytest.approx(0.5)
    alone = difference(other[:1], ours, "rmse_z")
    assert alone.sign == 0
    assert alone.text.endswith("(1 seed)")
    assert difference(other, [], "rmse_z").text == ""


@pytest.mark.parametrize(
    ("low", "high", "paper", "said"),
    [
        (0.01, 0.03, 0.01, "held"),
        (-0.03, -0.01, 0.01, "the opposite"),
        (-0.01, 0.03, 0.01, "not decided"),
        (-0.03, -0.01, -0.01, "held"),
    ],
)
def test_the_verdict_needs_an_interval_that_leaves_out_zero(
    low: float, high: float, paper: float, said: str
) -> None:
    assert verdict(Difference((low + high) / 2, low, high, 5), paper) == said
    assert verdict(Difference(paper, np.nan, np.nan, 1), paper) == "one seed alone"
    assert verdict(Difference(0.0, np.nan, np.nan, 0), paper) == "not run"


def test_the_slope_is_per_100_ranks() -> None:
    found = slope(np.array([1.0, 1.002, np.nan, 1.006]))
    assert found.per_100 == pytest.approx(0.2)
    assert found.rho == pytest.approx(1.0)


def test_the_committed_page_has_the_stored_figures(tmp_path: Path) -> None:
    """Whether a result is stale changes with the code, so the states are left out."""
    kept = PAGE.read_text(encoding="utf-8")
    fresh = write(Store(), tmp_path / "page.md", tmp_path / "images")
    assert _figures(kept) == _figures(fresh), "run make card"
    for link in re.findall(r"\(images/([^)]+)\)", kept):
        assert (FIGURES / link).is_file(), link


def test_no_data_set_is_named_after_what_it_is_not() -> None:
    for data in DATA.values():
        assert "stereo" not in data.title.lower()
        assert data.title.startswith("bins of") == bool(data.bin_um)


def _figures(text: str) -> list[str]:
    """Return the lines of a page without the states of rows, and without the count of them."""
    kept, states = [], False
    for line in text.splitlines():
        if not line.startswith("|"):
            states = False
        elif line.endswith("| state |"):
            states = True
        if not line.startswith("State:"):
            kept.append(line.rsplit("|", 2)[0] if states else line)
    return kept
