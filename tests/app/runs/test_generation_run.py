"""Generation as it was asked for: what is refused, what comes of it, the same as a script."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import shapely

from napari_gest import keys
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.runs.generation import Begun, Plan, Prepared
from napari_gest.app.session import Snapshot, open_sections
from napari_gest.errors import InputError
from napari_gest.tasks.progress import finish
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.roi import Roi

pytestmark = pytest.mark.usefixtures("short_field")


@pytest.fixture
def generation(tissue, tiny_model, tmp_path):
    """Makes a plan for a region of the first section of a file."""
    info = ModelInfo.read(tiny_model.save(tmp_path / "tiny"))
    tissue.obs["hole"] = np.arange(tissue.n_obs) % 20 == 0
    path = tmp_path / "two.h5ad"
    write_tissue(tissue, path)
    opened = open_sections(read_tissue(path), path)[0]
    snapshot = Snapshot(opened.label, opened.section)

    def make(roi: Roi | None, **options) -> Plan:
        section = opened.section
        unseen = np.zeros(section.n_obs, bool)
        if roi is not None:
            unseen = roi.contains(section.coords_um)
        elif options.get("mask_key"):
            unseen = opened.obs_values(options["mask_key"]).to_numpy(bool)
        return Plan(snapshot, unseen, info, roi=roi, path=path, **options)

    return make


@pytest.fixture
def ring(section) -> Roi:
    """A region with a hole in the middle of the tissue."""
    middle = shapely.Point(*section.coords_um.mean(axis=0))
    return Roi(middle.buffer(90).difference(middle.buffer(45)))


@pytest.fixture
def outside(section) -> Roi:
    """A region beside the tissue, without cells."""
    x, y = section.coords_um.max(axis=0)
    return Roi(shapely.box(x + 1, y - 120, x + 60, y))


def test_a_region_that_leaves_nothing_is_refused(generation, section):
    generation(Roi(shapely.Point(*section.coords_um.mean(axis=0)).buffer(50))).check()
    x, y = section.coords_um.mean(axis=0)
    with pytest.raises(InputError, match="every cell"):
        generation(Roi(shapely.box(x - 1e5, y - 1e5, x + 1e5, y + 1e5))).check()
    with pytest.raises(InputError, match="No cell is marked"):
        generation(None).check()


@pytest.mark.parametrize("how", ["a region with a hole", "a column", "a region without cells"])
def test_the_script_generates_the_same(
    generation, ring, outside, tiny_model, how, tmp_path, monkeypatch
):
    plan = {
        "a region with a hole": lambda: generation(ring, seed=3),
        "a column": lambda: generation(None, mask_key="hole", mode="sample"),
        "a region without cells": lambda: generation(outside, seed=1),
    }[how]()
    plan.check()
    payloads = []
    done = finish(plan.work(lambda name: tiny_model), lambda tick: payloads.append(tick.payload))
    (prepared,) = (p for p in payloads if isinstance(p, Prepared))
    (begun,) = (p for p in payloads if isinstance(p, Begun))
    assert len(begun.so_far().rows) == len(done.result.rows)
    assert (prepared.new_coords_um is None) == bool(plan.unseen.any())
    assert (done.agreement is None) != bool(plan.unseen.any())
    monkeypatch.chdir(tmp_path)
    exec(compile(plan.script(), "copied", "exec"), {})
    saved = ad.read_h5ad("generated.h5ad")
    expected = done.result.to_anndata(plan_adata(plan))
    assert saved.obs[keys.GENERATED].tolist() == expected.obs[keys.GENERATED].tolist()
    one, two = (a.layers[keys.EXPRESSION] for a in (saved, expected))
    assert abs(one - two).max() == 0


def plan_adata(plan: Plan) -> ad.AnnData:
    return read_tissue(plan.path)


def test_another_seed_is_the_same_run_otherwise(generation, ring):
    plan = generation(ring, seed=1)
    again = plan.restarted(7)
    assert (again.seed, again.roi, again.model) == (7, plan.roi, plan.model)
    assert again.unseen is plan.unseen
