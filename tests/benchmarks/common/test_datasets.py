from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from benchmarks.common import datasets
from benchmarks.common.datasets import SPLITS, Loaded, Source, Split, leave_one_out, load
from napari_gest.errors import InputError


def write(path, sections=("one", "two"), genes=("a", "b", "c", "d"), n=800, seed=0):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(4.0, (n * len(sections), len(genes))).astype(np.float32)
    obs = pd.DataFrame({"section": np.repeat(list(sections), n)})
    obs.index = [f"cell{i}" for i in range(len(obs))]
    adata = ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=list(genes)))
    adata.obsm["spatial"] = rng.uniform(0, 1000, (len(obs), 2))
    adata.write_h5ad(path)
    return str(path)


def read(split: Split) -> Loaded:
    return load(split, radii_um=(100.0, 150.0))


def test_leave_one_out_holds_each_section_out_in_turn(tmp_path):
    source = Source(write(tmp_path / "t.h5ad"))
    splits = leave_one_out(source)
    assert [s.test.sections for s in splits] == [("one",), ("two",)]
    assert [s.train[0].sections for s in splits] == [("two",), ("one",)]
    assert [s.name for s in leave_one_out(source, ["two"])] == ["t-two"]
    with pytest.raises(InputError, match="no section three"):
        leave_one_out(source, ["three"])


def test_two_files_are_put_on_their_common_panel(tmp_path):
    train = Source(write(tmp_path / "a.h5ad", ("s",), ("a", "b", "c", "d")))
    test = Source(write(tmp_path / "b.h5ad", ("t",), ("d", "e", "b", "c"), seed=1))
    loaded = read(Split("x", (train,), test))
    assert loaded.genes == ("b", "c", "d")
    assert [s.genes for s in loaded.train + loaded.test] == [("b", "c", "d")] * 2
    totals = np.asarray(loaded.train[0].expression.sum(axis=1)).ravel()
    assert loaded.target_sum == np.median(totals)


def test_no_gene_in_common_is_refused(tmp_path):
    train = Source(write(tmp_path / "a.h5ad", genes=("a", "b")))
    test = Source(write(tmp_path / "b.h5ad", genes=("c", "d")))
    with pytest.raises(InputError, match="share 0 genes"):
        read(Split("x", (train,), test))


def test_validation_holes_lie_in_training_sections_only(tmp_path):
    loaded = read(leave_one_out(Source(write(tmp_path / "t.h5ad")), ["one"])[0])
    assert {c.section for c in loaded.validation_cases()} == {"two"}
    assert {c.section for c in loaded.test_cases(loaded.test[0])} == {"one"}


def test_a_single_section_trains_outside_its_test_holes(tmp_path):
    split = leave_one_out(Source(write(tmp_path / "t.h5ad", ("only",), n=3000)))[0]
    loaded = read(split)
    unseen = np.logical_or.reduce([c.hole.mask for c in loaded.test_cases(loaded.test[0])])
    hidden = loaded.test[0].obs_names[unseen]
    assert not np.isin(hidden, loaded.train[0].obs_names).any()
    assert loaded.train[0].n_obs == 3000 - unseen.sum()
    for case in loaded.validation_cases():
        distance = np.hypot(*(case.known_coords - case.hole.center).T)
        assert distance.min() > case.hole.radius_um


def test_missing_files_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("GEST_DATA", str(tmp_path / "nowhere"))
    assert all(s.missing for s in datasets.SPLITS.values())
    with pytest.raises(InputError, match="nowhere"):
        load(datasets.SPLITS["xenium"])


@pytest.mark.data
@pytest.mark.parametrize("name", list(datasets.SPLITS))
def test_real_splits_hold_their_test_section_out(name):
    split = datasets.SPLITS[name]
    if split.missing:
        pytest.skip(f"{name}: {', '.join(split.missing)} absent")
    for source in split.train:
        if source.path == split.test.path:
            assert not set(source.names()) & set(split.test.names())


def test_animals_are_read_where_a_column_names_them(tmp_path):
    path = write(tmp_path / "t.h5ad")
    assert Source(path).animals() == {}
    adata = ad.read_h5ad(path)
    adata.obs["animal"] = np.where(adata.obs["section"] == "one", "m1", "m2")
    adata.write_h5ad(path)
    assert Source(path).animals() == {"one": "m1", "two": "m2"}
    assert read(leave_one_out(Source(path), ["two"])[0]).animals["two"] == "m2"


def test_splits_of_one_animal_are_one_data_set():
    named = {name: split.dataset or name for name, split in SPLITS.items()}
    assert named["mpoa+0.26"] == named["mpoa-0.09"]
    assert len(set(named.values())) == 3
