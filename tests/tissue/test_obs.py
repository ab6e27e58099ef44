"""Columns of obs: there once, and of plain values."""

from __future__ import annotations

import pandas as pd
import pytest
from anndata import AnnData

from napari_gest.errors import InputError
from napari_gest.tissue.obs import few, obs_column


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
