"""Results on disk, and when they are stale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from card_results import result

from benchmarks.card import store as stored
from benchmarks.card.digest import file_digest
from benchmarks.card.rows import DATA, ROWS
from benchmarks.card.store import Store

ROW = next(row for row in ROWS if row.kind == "decoder")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("GEST_DATA", str(tmp_path))  # where no data is
    stored._now.cache_clear()
    return Store(tmp_path / "card")


def test_what_is_written_is_read(store: Store) -> None:
    made = result(store, ROW, 0, genes={"GeST": [1.0, float("nan")]})
    store.write(ROW, made)
    found = store.read(ROW, 0)
    assert found is not None
    assert replace(found, genes={}) == replace(made, genes={})
    assert store.read(ROW, 1) is None
    assert [r.seed for r in store.results(ROW)] == [0]


def test_it_is_stale_with_other_settings_code_or_data(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = result(store, ROW, 0)
    assert store.stale(ROW, made) == ""
    other = replace(ROW, train=ROW.train | {"n_steps": 7})
    assert store.stale(other, made) == "other settings"
    assert store.stale(ROW, replace(made, code="gone")) == "unknown code"
    file = tmp_path / DATA[ROW.data].file
    file.write_bytes(b"data")
    assert store.stale(ROW, made) == "other data"
    assert store.stale(ROW, replace(made, data=file_digest(file))) == ""
    file.unlink()
    monkeypatch.setattr(stored, "_now", lambda module: f"another {module}")
    assert store.stale(ROW, made) == "benchmarks.common.metrics and 1 more changed"
