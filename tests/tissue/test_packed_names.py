"""Names of cells are bytes for a while, and afterwards what they were."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from napari_gest.tissue.packed_names import packed_names


def named(names: list[str]) -> AnnData:
    index = pd.Index(names, name="cell", dtype=object)
    return AnnData(np.zeros((len(names), 1)), obs=pd.DataFrame({"a": range(len(names))}, index))


def test_names_are_numbers_meanwhile_and_as_before_afterwards() -> None:
    adata, known = named(["b", "aa", "c c"]), named(["b", "aa", "c c"])
    with packed_names(adata):
        assert adata.obs.index.equals(pd.RangeIndex(3))
        adata.obs["new"] = [1, 2, 3]
    assert all(type(name) is str for name in adata.obs_names)
    pd.testing.assert_frame_equal(adata.obs.drop(columns="new"), known.obs)
    assert adata["aa"].obs["new"].tolist() == [2]


def test_names_come_back_after_an_error() -> None:
    adata = named(["a", "b"])
    with pytest.raises(ValueError, match="no"), packed_names(adata):
        raise ValueError("no")
    assert list(adata.obs_names) == ["a", "b"]


@pytest.mark.parametrize("odd", ["\u00e4", "zero\0"])
def test_names_that_bytes_cannot_hold_stay(odd: str) -> None:
    adata = named(["a", odd])
    with packed_names(adata):
        assert list(adata.obs_names) == ["a", odd]
    assert list(adata.obs_names) == ["a", odd]
