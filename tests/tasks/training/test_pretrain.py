"""Pretraining over several panels: what it takes, and what comes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from training import MODEL, SHORT

from napari_gest.errors import InputError
from napari_gest.model.gest import Base, GeST
from napari_gest.tasks.progress import finish
from napari_gest.tasks.training.pretrain import PretrainRequest, pretrain
from napari_gest.tasks.training.train import fit
from napari_gest.tissue.fingerprint import fingerprints
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate


@pytest.fixture
def panels(tissue: AnnData, sections: list[Section]) -> list[Section]:
    """Two panels: all genes of one section, some of the other's."""
    return [sections[0], Section.from_anndata(tissue[:, 5:25].copy(), "section_2")]


def test_a_base_learns_from_panels_that_share_no_vocabulary(
    panels: list[Section], tmp_path: Path
) -> None:
    ticks = []
    base = pretrain(panels, MODEL, SHORT, seed=2, name="b", on_progress=ticks.append)
    assert isinstance(base, Base)
    assert [t.stage for t in ticks[:2]] == ["Building the vocabularies", "Pretraining"]
    curve = base.card["curve"]
    assert [entry["step"] for entry in curve] == [0, 6, 12]
    names = [panel["name"] for panel in base.card["panels"]]
    assert sorted(names) == ["section_1", "section_2"]
    each = [curve[-1][f"rmse_z {name}"] for name in names]
    assert curve[-1]["rmse_z"] == pytest.approx(np.mean(each))
    assert base.training_cells is not None
    cells = fingerprints(panels[0].expression, panels[0].genes)
    assert base.training_cells.seen(cells).all(), "cells train or choose"
    base.save(tmp_path / "b")
    model = fit(panels[:1], None, SHORT, start=tmp_path / "b")
    assert model.card["start"] == "b"
    assert GeST.load(tmp_path / "b").digest == base.digest


def test_it_learns_what_holds_on_another_panel() -> None:
    """Its zero-shot prediction of a panel it has not seen is better than an untrained network's."""
    tissue = simulate(n_cells=6000, n_genes=60, n_sections=2, seed=0)
    seen = Section.from_anndata(tissue[:, :30].copy(), "section_1")
    new = Section.from_anndata(tissue[:, 30:].copy(), "section_2")
    config = SHORT.model_copy(
        update={"n_steps": 120, "validate_every": 120, "learning_rate": 3e-3, "batch_windows": 4}
    )
    base = pretrain([seen], MODEL, config)
    untrained = pretrain([seen], MODEL, config.model_copy(update={"learning_rate": 1e-12}))
    first = []
    for start in (base, untrained):
        made = fit([new], None, SHORT.model_copy(update={"n_steps": 1}), start=start)
        first.append(made.card["curve"][0])
    assert first[0]["nll"] < first[1]["nll"] - 0.01


def test_bad_requests_are_refused_before_work(panels: list[Section]) -> None:
    with pytest.raises(InputError, match="'sampling' is 2"):
        PretrainRequest(panels, sampling=2.0).check()
    with pytest.raises(InputError, match="no section"):
        PretrainRequest([]).check()
    few = panels[1].subset(np.arange(panels[1].n_obs) < 20)
    with pytest.raises(InputError, match="20 cells"):
        PretrainRequest([panels[0], few]).check()
    with pytest.raises(InputError, match="cannot be named"):
        PretrainRequest(panels, name="").check()
    paper = MODEL.model_copy(update={"profiles": "paper"})
    with pytest.raises(InputError, match="profiles"):
        PretrainRequest(panels, paper).check()


def test_the_order_of_sections_does_not_matter(panels: list[Section]) -> None:
    short = SHORT.model_copy(update={"n_steps": 2, "validate_every": 2})
    one, two = (
        finish(PretrainRequest(given, MODEL, short).run()).base for given in (panels, panels[::-1])
    )
    assert one.digest == two.digest
    other = finish(PretrainRequest(panels, MODEL, short, seed=1).run()).base
    assert one.digest != other.digest
