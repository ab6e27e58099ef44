from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.tissue.kept import check_kept, kept_column
from napari_gest.tissue.section import Section

COLUMNS = [
    *(keys.GENERATED, keys.NEW_CELL, keys.META_CELL, keys.ENTROPY),
    *(keys.NICHE_CONFIDENCE, keys.LABEL_CONFIDENCE, keys.DISTANCE),
]


@pytest.mark.parametrize("key", COLUMNS)
@pytest.mark.parametrize(
    "values", [["yes"] * 1200, pd.Categorical(["a"] * 1200), ["1"] * 1200, [(1, 2)] * 1200]
)
def test_a_foreign_column_is_found_before_a_run(tissue: AnnData, key: str, values: Any) -> None:
    tissue.obs[key] = values
    with pytest.raises(InputError, match=rf"obs\['{key}'\] holds .*never writes there"):
        Section.from_anndata(tissue, "section_1")


@pytest.mark.parametrize(
    ("key", "value"), [(keys.GENERATED, 2), (keys.META_CELL, 0.5), (keys.META_CELL, 1e20)]
)
def test_numbers_that_do_not_fit_are_foreign(tissue: AnnData, key: str, value: float) -> None:
    tissue.obs[key] = np.full(1200, value)
    with pytest.raises(InputError, match=f"obs\\['{key}'\\] holds numbers"):
        check_kept(tissue)


def foreign_layer(a: AnnData) -> None:
    a.layers[keys.EXPRESSION] = np.full(a.shape, "x", object)


def unsound_layer(a: AnnData) -> None:
    a.layers[keys.SD] = a.X.copy()
    a.layers[keys.SD].indices[0] = 1000


def text_settings(a: AnnData) -> None:
    a.uns[keys.UNS] = "mine"


def short_embedding(a: AnnData) -> None:
    a.uns[keys.NICHE_EMBEDDED] = {"settings": {}, "sections": ["a", "b"], "digests": ["c"]}


def embedding_without_settings(a: AnnData) -> None:
    a.uns[keys.NICHE_EMBEDDED] = {}


def embedding_of_half_known_origin(a: AnnData) -> None:
    about = {"settings": {}, "sections": ["a", "b"], "digests": ["c", "d"]}
    a.uns[keys.NICHE_EMBEDDED] = about | {"generated_from": [""]}


def niches_of_no_draw(a: AnnData) -> None:
    a.uns[keys.GENERATED_NICHED] = {"sections": ["a"], "draw": [1]}


def covariance_of_text(a: AnnData) -> None:
    about = {"settings": {}, "sections": ["a"], "digests": ["c"], "covariance": ["x"]}
    a.uns[keys.NICHE_EMBEDDED] = about


def sparse_embedding(a: AnnData) -> None:
    a.obsm[keys.NICHE_EMBEDDING] = sparse.csr_matrix((a.n_obs, 3))


def twice_a_column(a: AnnData) -> None:
    one, other = (pd.Series(x, a.obs.index, name=keys.ENTROPY) for x in (0.0, 1.0))
    a.obs = pd.concat([a.obs, one, other], axis=1)


@pytest.mark.parametrize(
    "spoil",
    [
        *(foreign_layer, unsound_layer, text_settings, short_embedding, sparse_embedding),
        *(embedding_without_settings, covariance_of_text, twice_a_column),
        *(embedding_of_half_known_origin, niches_of_no_draw),
    ],
)
def test_other_foreign_keys_are_found_before_a_run(
    tissue: AnnData, spoil: Callable[[AnnData], None]
) -> None:
    spoil(tissue)
    with pytest.raises(InputError, match=r"never writes there|not sound") as caught:
        Section.from_anndata(tissue, "section_1")
    assert caught.value.remedy


def test_long_text_in_a_foreign_column_is_cut_short(tissue: AnnData) -> None:
    tissue.obs[keys.NEW_CELL] = "b" * 100_000
    with pytest.raises(InputError, match=keys.NEW_CELL) as caught:
        check_kept(tissue)
    assert len(str(caught.value)) < 300


def test_joined_files_are_read_on(tissue: AnnData) -> None:
    first, second = tissue[:600].copy(), tissue[600:].copy()
    first.obs[keys.GENERATED] = np.arange(600) < 3
    first.obs[keys.META_CELL] = np.arange(600, dtype=np.int32)
    first.obs[keys.ENTROPY] = np.float32(0.5)
    joined = anndata.concat([first, second], join="outer")
    assert joined.obs[keys.GENERATED].dtype != bool  # True, False and missing
    check_kept(joined)
    assert np.flatnonzero(kept_column(joined, keys.GENERATED)).tolist() == [0, 1, 2]
    assert kept_column(joined, keys.META_CELL)[[5, 600]].tolist() == [5, -1]
    assert np.isnan(kept_column(joined, keys.ENTROPY)[600:]).all()
    assert not kept_column(joined, keys.NEW_CELL).any()
