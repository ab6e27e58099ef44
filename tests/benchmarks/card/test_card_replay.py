"""Results stay valid where former and present code give the same figures, and only there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from card_results import MODULES, result

from benchmarks.card import digest
from benchmarks.card.digest import file_digest
from benchmarks.card.replay import replay
from benchmarks.card.rows import DATA, ROWS, Row
from benchmarks.card.store import Store
from napari_gest.errors import InputError

FIRST, SECOND = [row for row in ROWS if row.kind == "decoder" and row.data == "molcart A2"][:2]
UNITS = [(FIRST, 0), (FIRST, 1), (SECOND, 0)]
FOUND = {"n_holes": 1, "n_cells": 9, "n_train": 5, "genes": {}, "modules": [*MODULES]}


def figures(score: float) -> dict[str, Any]:
    return FOUND | {"scores": {"GeST": {"rmse_z": score}}}


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """A checkout whose modules differ from the present ones in one number."""
    for module in MODULES:
        source = digest.module_path(module)
        assert source is not None
        copy = tmp_path / "former" / source.relative_to(digest.ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copy)
    with copy.open("a") as file:
        file.write("FORMER = 1\n")
    return tmp_path / "former"


@pytest.fixture
def store(tmp_path: Path, former: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Three results, two of which the first stands for, of the former code."""
    monkeypatch.setenv("GEST_DATA", str(tmp_path))
    data = tmp_path / DATA["molcart A2"].file
    data.write_bytes(b"data")
    made = Store(tmp_path / "card")
    with monkeypatch.context() as patch:
        digests = digest.module_digests(MODULES, former)
        patch.setattr("benchmarks.card.store.module_digests", lambda modules: digests)
        code = made.remember(MODULES)
    for place, (row, seed) in enumerate(UNITS):
        more = {"data": file_digest(data), "code": code, "seconds": 10.0 + place}
        made.write(row, result(made, row, seed, **more))
        assert made.stale(row, made.read(row, seed)).endswith("changed")
    return made


def test_the_same_figures_keep_all_results_of_that_code(store: Store, former: Path) -> None:
    asked: list[tuple[str, str, int]] = []

    def measure(which: str, row: Row, seed: int) -> dict[str, Any]:
        asked.append((which, row.name, seed))
        return figures(1.25)

    valid = replay(
        store,
        former,
        lambda line: None,
        units=UNITS,
        before=lambda row, seed: measure("before", row, seed),
        now=lambda row, seed: measure("now", row, seed),
    )
    assert valid == 3
    assert len(list((store.folder / "code").iterdir())) == 1  # the former set is of no use now
    assert asked == [("before", FIRST.name, 0), ("now", FIRST.name, 0)]  # the quickest
    for row, seed in UNITS:
        kept = store.read(row, seed)
        assert kept is not None
        assert not store.stale(row, kept)
        assert kept.replayed
        assert kept.scores == {"GeST": dict.fromkeys(kept.scores["GeST"], 1.3)}  # as measured


@pytest.mark.parametrize("now", [figures(1.25 + 1e-15), figures(1.25) | {"error": "it failed"}])
def test_other_figures_leave_them_stale(store: Store, former: Path, now: dict[str, Any]) -> None:
    said: list[str] = []
    valid = replay(
        store, former, said.append, units=UNITS, before=lambda *_: figures(1.25), now=lambda *_: now
    )
    assert valid == 0
    assert "stay stale" in said[-1]
    for row, seed in UNITS:
        assert store.stale(row, store.read(row, seed))


def test_a_checkout_of_other_code_is_refused(store: Store, former: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No stale result"):
        replay(store, tmp_path / "elsewhere", lambda line: None, units=UNITS)


def test_what_has_other_settings_is_no_matter_of_code(store: Store, former: Path) -> None:
    for row, seed in UNITS:
        kept = store.read(row, seed)
        assert kept is not None
        store.write(row, result(store, row, seed, data="other", code=kept.code))
    with pytest.raises(InputError, match="No stale result"):
        replay(store, former, lambda line: None, units=UNITS)
