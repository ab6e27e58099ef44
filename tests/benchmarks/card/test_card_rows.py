"""The declared rows: which there are, and what runs first."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.card.rows import BASE, DATA, DEVELOPMENT, ROWS, TEST, queue
from benchmarks.common.datasets import SPLITS
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.tasks.training.start import check_shape
from napari_gest.tasks.training.train_config import TrainConfig


def test_names_are_unique_and_every_row_has_its_reference() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS)
    there = {(row.table, row.data, row.name) for row in ROWS}
    for row in ROWS:
        if row.kind == "decoder":
            assert (row.table, row.data, row.reference) in there


def test_settings_are_possible() -> None:
    for row in ROWS:
        ModelConfig(**ModelConfig().model_dump() | row.model)
        TrainConfig(**TrainConfig().model_dump() | row.train)


def test_a_row_from_the_base_has_its_shape() -> None:
    config = GeST.load(BASE).config
    rows = [row for row in ROWS if row.extra.get("start") == BASE]
    assert rows
    for row in rows:
        assert {name: getattr(config, name) for name in row.model} == row.model
        check_shape(ModelConfig(**ModelConfig().model_dump() | row.model), GeST.load(BASE))


def test_ablations_are_scored_on_development_sections_alone() -> None:
    tested = {(s.test.path, name) for s in SPLITS.values() for name in s.test.sections}
    for row in ROWS:
        data = DATA[row.data]
        if row.table == "4":
            assert data.part == DEVELOPMENT
        if data.part == DEVELOPMENT:
            assert (data.file, data.scored) not in tested


def test_no_test_section_of_an_earlier_table_is_scored_again() -> None:
    tested = {(s.test.path, name) for s in SPLITS.values() for name in s.test.sections}
    whole = {s.test.path for s in SPLITS.values() if not s.test.sections}
    for data in DATA.values():
        if data.part == TEST:
            assert (data.file, data.scored) not in tested
            assert data.file not in whole


def test_the_most_wanted_come_first_and_later_seeds_later() -> None:
    units = queue()
    assert len(units) == sum(len(row.seeds) for row in ROWS)
    assert units[0][0].wanted == min(row.wanted for row in ROWS)
    for row in ROWS:
        seeds = [seed for other, seed in units if other is row]
        assert seeds == list(row.seeds)


def test_settings_count_and_texts_do_not() -> None:
    row = ROWS[-1]
    assert replace(row, group="another", wanted=1, paper=0.5).settings == row.settings
    assert replace(row, train=row.train | {"n_steps": 3}).settings != row.settings
    assert replace(row, data="mpoa +0.21").settings != row.settings
