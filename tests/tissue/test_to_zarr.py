"""What is written some cells at a time is what anndata writes."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata import AnnData
from scipy import sparse

from napari_gest.tissue import to_zarr as module
from napari_gest.tissue.to_zarr import to_zarr

_N = 25


@pytest.fixture
def adata() -> AnnData:
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "text": ["a", "b\u00e4", "c", "d", "e"] * 5,
            "own": [f"own {i}" for i in range(_N)],
            "number": rng.random(_N).astype(np.float32),
            "truth": rng.random(_N) > 0.5,
            "missing": pd.array([1, None, 3, 4, 5] * 5, dtype="Int64"),
        },
        index=[f"cell {i}" for i in range(_N)],
    )
    return AnnData(
        sparse.random(_N, 4, 0.5, "csr", np.float32, rng),
        obs=obs,
        obsm={"spatial": rng.random((_N, 2)), "framed": obs[["number"]]},
        layers={"dense": rng.random((_N, 4))},
        uns={"long": np.arange(40), "empty": np.zeros(0), "text": np.array(["x"] * 30)},
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_it_is_read_as_what_anndata_writes(
    adata: AnnData, tmp_path: Path, zarr_format: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 7)
    to_zarr(adata, tmp_path / "ours.zarr", zarr_format=zarr_format)
    with anndata.settings.override(zarr_write_format=zarr_format):
        adata.write_zarr(tmp_path / "theirs.zarr")
    ours, theirs = (anndata.read_zarr(tmp_path / f"{name}.zarr") for name in ("ours", "theirs"))
    pd.testing.assert_frame_equal(ours.obs, theirs.obs)
    pd.testing.assert_frame_equal(ours.obsm["framed"], theirs.obsm["framed"])
    np.testing.assert_array_equal(ours.obsm["spatial"], adata.obsm["spatial"])
    np.testing.assert_array_equal(ours.layers["dense"], adata.layers["dense"])
    np.testing.assert_array_equal(ours.X.toarray(), adata.X.toarray())
    for key, value in theirs.uns.items():
        np.testing.assert_array_equal(ours.uns[key], value)
    opened = [zarr.open_group(tmp_path / f"{name}.zarr") for name in ("ours", "theirs")]
    assert opened[0].metadata.zarr_format == zarr_format
    assert dict(opened[0].attrs) == dict(opened[1].attrs)
    assert opened[0]["obs/_index"].chunks == (7,)
    members = [
        {name: (dict(one.attrs), getattr(one, "dtype", None)) for name, one in g.members(None)}
        for g in opened
    ]
    assert members[0] == members[1]
