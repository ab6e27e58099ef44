"""The transfer benchmark: rows of a plan, once each, and who is ahead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from training_rows import row

from benchmarks.common.datasets import VALIDATION_SEED
from benchmarks.transfer import run
from benchmarks.transfer.cases import TISSUES, Tissue
from benchmarks.transfer.report import tables
from benchmarks.transfer.run import LOCAL, Key, Plan, run_transfer
from napari_gest.tissue.io import write_tissue

PLAN = Plan(("mop",), "development", ("none", "gest-base"), (30.0,), (0,), (0,), quick=True)


def test_a_row_that_is_there_is_not_computed_again(monkeypatch):
    asked, kept = [], []

    def score(key, loaded):
        asked.append(key)
        return row(key)

    monkeypatch.setattr(run, "score", score)
    monkeypatch.setattr(run, "_simulated", lambda seed: None)
    found = run_transfer(PLAN, [], lambda rows: kept.append(len(rows)), Console(quiet=True))
    assert [key.start for key in asked] == [LOCAL, "none", "gest-base"]
    assert kept == [1, 2, 3]
    asked.clear()
    again = run_transfer(PLAN, found[:2], lambda rows: None, Console(quiet=True))
    assert [key.start for key in asked] == ["gest-base"]
    assert again == found


def test_an_unknown_tissue_is_named():
    with pytest.raises(KeyError, match="nothing"):
        run_transfer(replace(PLAN, tissues=("nothing",)), [], lambda rows: None, Console())


def test_who_is_ahead_is_counted_by_both_measures():
    keys = [
        Key(tissue, "test", 0, 0, start, 60.0)
        for tissue in ("a", "b")
        for start in ("none", "gest-base")
    ]
    rows = [row(key, rmse_z=1.2, spearman=0.2) for key in keys]
    rows[1] = row(keys[1], rmse_z=1.1, spearman=0.3)
    rows[3] = row(keys[3], rmse_z=1.1, spearman=0.1)
    (table,) = tables(rows)
    assert len(table.rows) == 4
    assert "gest-base, 60 s, decoder: ahead of scratch" in table.notes[1]
    assert "on 1 of 2." in table.notes[1]


def test_training_sees_no_cell_of_a_hole_and_parts_have_other_holes(tissue, tmp_path, monkeypatch):
    write_tissue(tissue, tmp_path / "t.h5ad")
    monkeypatch.setenv("GEST_DATA", str(tmp_path))
    made = Tissue("t.h5ad", ("section_1",), ("section_1",))
    holes = {}
    for part in ("development", "test"):
        for cells in (0, 400):
            loaded = made.loaded(part, 0, cells)
            (section,), (known,) = loaded.test, loaded.train
            assert section.n_obs == (cells or 600)
            cases = loaded.test_cases(section)
            hidden = np.logical_or.reduce([case.hole.mask for case in cases])
            assert not np.isin(section.rows[hidden], known.rows).any()
            assert known.n_obs == section.n_obs - hidden.sum()
            holes[part, cells] = hidden
    assert loaded.seed < VALIDATION_SEED
    assert (holes["development", 0] != holes["test", 0]).any()


def test_no_data_set_of_the_base_is_among_them():
    from benchmarks.common.bundled_base import SOURCES

    assert not {source.path for source in SOURCES} & {t.file for t in TISSUES.values()}


def test_no_section_that_a_table_scores_trained_the_base():
    from benchmarks.common.bundled_base import SOURCES
    from benchmarks.common.datasets import SPLITS

    scored = {(split.test.path, name) for split in SPLITS.values() for name in split.test.sections}
    for source in SOURCES:
        assert not {(source.path, name) for name in source.sections} & scored
        whole = {split.test.path for split in SPLITS.values() if not split.test.sections}
        assert source.path not in whole
        if not source.sections:
            assert source.path not in {path for path, _ in scored}
