"""The loop of pretraining: it can be left, goes on to the same numbers, and stops where it must."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from anndata import AnnData
from torch import Tensor
from training import MODEL, SHORT

from napari_gest.errors import InputError, ResultError
from napari_gest.model.decoder import Decoder
from napari_gest.model.devices import devices_here
from napari_gest.tasks.progress import Progress, finish
from napari_gest.tasks.training import train_loop
from napari_gest.tasks.training.pretrain import PretrainRequest
from napari_gest.tasks.training.pretrain_loop import PretrainLoop
from napari_gest.tasks.training.train_loop import predict
from napari_gest.tasks.training.train_windows import Batch
from napari_gest.tissue.section import Section


@pytest.fixture
def request_(tissue: AnnData, sections: list[Section], tmp_path: Path) -> PretrainRequest:
    panels = [sections[0], Section.from_anndata(tissue[:, 5:25].copy(), "section_2")]
    return PretrainRequest(panels, MODEL, SHORT, 0, tmp_path / "state")


def test_an_interrupted_run_goes_on_to_the_same_weights(request_: PretrainRequest) -> None:
    whole = finish(replace(request_, checkpoint_dir=None).run())
    work = request_.run()
    for tick in work:
        if tick.stage == "Pretraining" and tick.done == 7:  # one step past the checkpoint
            break
    work.close()
    resumed = finish(request_.run())
    assert resumed.base.digest == whole.base.digest
    assert [e["step"] for e in resumed.curve] == [e["step"] for e in whole.curve]


def test_a_state_of_other_settings_is_refused(request_: PretrainRequest) -> None:
    finish(request_.run())
    with pytest.raises(InputError, match="seed"):
        finish(replace(request_, seed=1).run())


def test_panels_are_drawn_by_the_root_of_their_cells(request_: PretrainRequest) -> None:
    second = request_.sections[1]
    few = second.subset(np.arange(second.n_obs) < 150)
    loop = PretrainLoop(replace(request_, sections=[request_.sections[0], few]))
    cells = [panel.n_cells for panel in loop.panels]
    assert loop.share[0] / loop.share[1] == pytest.approx((cells[0] / cells[1]) ** 0.5)
    alike = PretrainLoop(replace(request_, sections=[request_.sections[0], few], sampling=0.0))
    assert alike.share.tolist() == [0.5, 0.5]


def test_a_loss_that_is_not_finite_ends_the_run(
    request_: PretrainRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PretrainLoop, "step", lambda self, step: float("nan"))
    with pytest.raises(ResultError, match="in step 1 "):
        finish(request_.run())


def test_where_memory_runs_out_windows_go_one_by_one(
    request_: PretrainRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is trained is the same but for dropout, which is drawn for each part."""
    still = request_.model_config.model_copy(update={"dropout": 0.0})
    given = replace(request_, model_config=still, checkpoint_dir=None)
    whole = finish(given.run())

    def narrow(network: Decoder, batch: Batch) -> tuple[Tensor, Tensor | float]:
        if batch.n_windows > 1:
            raise MemoryError
        return predict(network, batch)

    monkeypatch.setattr(train_loop, "predict", narrow)
    ticks: list[Progress] = []
    halved = finish(given.run(), ticks.append)
    assert any("Memory ran out" in tick.stage for tick in ticks)
    ours, theirs = (made.base.network.state_dict() for made in (halved, whole))
    for name, value in theirs.items():
        assert torch.allclose(ours[name], value, atol=1e-3), name


def test_a_device_that_is_not_there_is_refused(request_: PretrainRequest) -> None:
    absent = next(name for name in ("mps", "cuda") if name not in devices_here())
    with pytest.raises(InputError, match="that torch can use"):
        replace(request_, device=absent).check()
