"""Which obs columns can be coloured by, learned from, or mark cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_gest import keys
from napari_gest.app.obs_columns import columns, label_columns, likely_column, masks


@pytest.mark.parametrize(
    ("names", "likely"),
    [
        (["batch", "leiden", "Cell_Type"], "Cell_Type"),
        (["batch", "my_cluster"], "my_cluster"),
        (["region", "class"], "class"),
        (["batch"], None),
        ([], None),
    ],
)
def test_the_one_that_looks_like_cell_types(names, likely):
    assert likely_column(names) == likely


def test_columns_one_can_colour_by(opened):
    obs = opened.adata.obs
    obs["name"] = opened.adata.obs_names  # as many names as cells
    obs["depth"] = np.linspace(0, 1, len(obs))
    obs[keys.META_CELL] = 1
    found = columns(opened)
    assert {"cell_type", "region", "depth"} <= set(found)
    assert not {"name", keys.META_CELL} & set(found)


def test_columns_that_name_groups(opened):
    obs = opened.adata.obs
    obs["same"] = pd.Categorical(["a"] * len(obs))
    obs["name"] = opened.adata.obs_names
    obs["depth"] = 1.0
    found = label_columns(opened)
    assert {"cell_type", "region"} <= set(found)
    assert not {"same", "name", "depth"} & set(found)


def test_masks_mark_some_but_not_all_cells_of_the_section(opened):
    obs = opened.adata.obs
    inside = np.zeros(len(obs), bool)
    inside[opened.section.rows] = True
    obs["all here"], obs["none here"] = inside, ~inside
    obs["some"] = np.arange(len(obs)) % 3 == 0
    obs["number"] = 1
    assert masks(opened) == ["some"]


def test_columns_that_mark_cells_are_looked_through_once_until_a_result_is_kept(
    opened, monkeypatch
):
    rows, asked, look = opened.section.rows, [], type(opened).obs_values
    opened.adata.obs["some"] = np.arange(opened.adata.n_obs) == rows[0]

    def values(self, key):
        asked.append(key)
        return look(self, key)

    monkeypatch.setattr(type(opened), "obs_values", values)
    assert masks(opened) == masks(opened) == ["some"]
    assert asked.count("some") == 1
    opened.adata.obs["some"] = False
    opened.forget_names()
    assert masks(opened) == []
