"""Columns of obs: there once, and of plain values."""

from __future__ import annotations

import pandas as pd
import pytest
from anndata import AnnData

from napari_gest.errors import InputError
from napari_gest.tissue.obs import few, names_in, natural_order, obs_column, shown_order


def test_a_column_is_returned_whole_or_for_some_rows(tissue: AnnData) -> None:
    assert len(obs_column(tissue, "section")) == tissue.n_obs
    assert obs_column(tissue, "section", rows=[3, 1]).tolist() == (
        tissue.obs["section"].iloc[[3, 1]].tolist()
    )


def test_absent_doubled_and_odd_columns_are_refused(tissue: AnnData) -> None:
    with pytest.raises(InputError, match=r"no obs column 'none'.*section"):
        obs_column(tissue, "none")
    tissue.obs["lists"] = [[i] for i in range(tissue.n_obs)]
    with pytest.raises(InputError, match="neither names nor numbers"):
        obs_column(tissue, "lists")
    tissue.obs = pd.concat([tissue.obs.drop(columns="lists"), tissue.obs[["section"]]], axis=1)
    with pytest.raises(InputError, match="more than one column 'section'"):
        obs_column(tissue, "section")


def test_of_many_names_a_few_are_listed() -> None:
    assert few(["a", "b"]) == "a, b"
    assert few([]) == "none"
    assert few(range(100)).endswith("19 and 80 more")


def test_numbers_in_names_count() -> None:
    assert natural_order(["10", "9", "1"]) == ["1", "9", "10"]
    assert natural_order(["T10", "b", "T9", "T9 a", "a"]) == ["T9", "T9 a", "T10", "a", "b"]
    assert natural_order(["0.5", "0.25", "-1", "1e-3"]) == ["-1", "1e-3", "0.25", "0.5"]
    assert natural_order(["01", "1", "001"]) == ["001", "01", "1"]
    assert natural_order(["9" * 5000, "x", ""]) == ["", "9" * 5000, "x"]
    assert natural_order([]) == []


def test_categories_that_someone_ordered_stay() -> None:
    def names(*of: str, ordered: bool = False) -> list[str]:
        categories = pd.Categorical([], of, ordered=ordered).categories
        order = shown_order(pd.Series(pd.Categorical([], of, ordered=ordered)))
        return [categories[i] for i in order]

    assert names("1", "10", "2") == ["1", "2", "10"]
    assert names("1", "10", "2", ordered=True) == ["1", "10", "2"]
    assert names("WM", "L1") == ["WM", "L1"]


def test_names_in_a_column_are_those_that_occur() -> None:
    assert names_in(pd.Series(["10", None, "2", "10"])) == ["2", "10"]
    chosen = pd.Series(pd.Categorical(["high", "low"], ["low", "none", "high"], ordered=True))
    assert names_in(chosen) == ["low", "high"]
    assert names_in(pd.Series([10, 2, 2])) == ["2", "10"]
