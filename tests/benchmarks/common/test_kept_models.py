from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from benchmarks.common import training
from benchmarks.common.datasets import Loaded, Source, Split
from napari_gest.model.gest import GeST
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate

SPLIT = Split("sim", (), Source("nowhere.h5ad"))
SMALL = {"n_layers": 1, "n_heads": 1, "d_model": 8, "n_meta_cells": 8, "n_pcs": 4}


@pytest.fixture(scope="module")
def loaded() -> Loaded:
    section = Section.from_anndata(simulate(400, 10, 1, seed=0))
    return Loaded([section], [section], section.genes, 200.0, 0, (80.0,), 0.0)


@pytest.fixture
def fits(monkeypatch) -> list:
    """Replace training by a fit of the vocabulary alone, and count the calls."""
    calls = []

    class Request:
        def __init__(self, **settings):
            self.settings = SimpleNamespace(**settings)

        def run(self):
            calls.append(self.settings)
            s = self.settings
            yield SimpleNamespace(stage="Training", done=1, total=2, eta_s=None, payload=None)
            tokenizer = MetaCellTokenizer.fit(
                s.sections[0].model_space(200.0),
                s.sections[0].genes,
                200.0,
                n_meta_cells=8,
                n_pcs=4,
                level_sizes=(3, 2, 2),
                seed=s.seed,
            )
            shape = s.model_config.model_copy(update={"window_um": 200.0})
            model = GeST.create(shape, tokenizer, seed=s.seed)
            return SimpleNamespace(model=model, curve=[{"step": 1, "loss": 2.0}])

    monkeypatch.setattr(training, "FitRequest", Request)
    return calls


def train(loaded, runs, seed=0, **settings):
    return training.trained(SPLIT, loaded, seed, model_settings=SMALL | settings, runs=runs)


def test_a_finished_model_is_reused_and_says_so(loaded, fits, tmp_path):
    first = train(loaded, tmp_path)
    again = train(loaded, tmp_path)
    assert len(fits) == 1
    assert first.note.startswith("trained now")
    assert again.note.endswith("reused")
    assert again.model.genes == first.model.genes
    folder = next((tmp_path / "sim").iterdir())
    assert json.loads((folder / "curve.json").read_text()) == [{"step": 1, "loss": 2.0}]


def test_other_settings_or_seeds_are_other_models(loaded, fits, tmp_path):
    train(loaded, tmp_path)
    train(loaded, tmp_path, seed=1)
    train(loaded, tmp_path, d_model=12)
    assert len(fits) == 3
    assert len({f.checkpoint_dir for f in fits}) == 3


def test_an_interrupted_run_is_taken_up_where_its_checkpoint_lies(loaded, fits, tmp_path):
    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.trained(SPLIT, loaded, 0, stop, model_settings=SMALL, runs=tmp_path)
    assert train(loaded, tmp_path).note.startswith("trained now")
    assert fits[0].checkpoint_dir == fits[1].checkpoint_dir
