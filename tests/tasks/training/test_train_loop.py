"""The loop of training: it can be left, and goes on to the same numbers."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from anndata import AnnData
from training import MODEL, SHORT, same

from napari_gest.errors import InputError, ResultError
from napari_gest.model.gest import GeST
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.tasks.progress import finish
from napari_gest.tasks.training.train import (
    FitRequest,
    fine_tune,
    fit,
)
from napari_gest.tasks.training.train_loop import TrainLoop, temperature_on
from napari_gest.tissue import in_order
from napari_gest.tissue.io import read_tissue, write_tissue
from napari_gest.tissue.section import Section, section_names


def test_an_interrupted_run_goes_on_to_the_same_weights(
    sections: list[Section], tmp_path: Path
) -> None:
    config = SHORT.model_copy(update={"patience": 100})
    whole = fit(sections, MODEL, config)
    request = FitRequest(sections, MODEL, config, 0, checkpoint_dir=tmp_path / "state")
    work = request.run()
    for tick in work:
        if tick.stage == "Training" and tick.done == 7:  # one step past the checkpoint
            break
    work.close()
    resumed = finish(request.run())
    assert same(whole, resumed.model)
    assert [e["step"] for e in resumed.curve] == [e["step"] for e in whole.card["curve"]]


def test_only_a_state_is_taken_for_one(sections: list[Section], tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    (tmp_path / "tissue.h5ad").write_text("tissue")
    for name in ("photos", "tissue.h5ad"):
        with pytest.raises(InputError, match="a training state does not replace it"):
            FitRequest(sections, MODEL, SHORT, 0, checkpoint_dir=tmp_path / name).check()
    (tmp_path / "empty").mkdir()
    for name in ("empty", "absent"):
        FitRequest(sections, MODEL, SHORT, 0, checkpoint_dir=tmp_path / name).check()
    assert (tmp_path / "photos" / "cat.jpg").exists()
    assert (tmp_path / "tissue.h5ad").read_text() == "tissue"


def test_other_files_beside_a_state_are_not_lost(sections: list[Section], tmp_path: Path) -> None:
    request = FitRequest(sections, MODEL, SHORT, 0, checkpoint_dir=tmp_path / "state")
    finish(request.run())
    (tmp_path / "state" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        request.check()
    assert (tmp_path / "state" / "notes.txt").read_text() == "mine"


def test_a_state_of_another_vocabulary_is_refused(
    sections: list[Section], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another version of a library may make it of the same cells; weights belong to one."""
    fit(sections, MODEL, SHORT, checkpoint_dir=tmp_path / "state")
    made = MetaCellTokenizer.fit

    def other(*args: Any, seed: int, **settings: Any) -> MetaCellTokenizer:
        return made(*args, seed=seed + 1, **settings)

    monkeypatch.setattr(MetaCellTokenizer, "fit", other)
    with pytest.raises(InputError, match="another vocabulary"):
        fit(sections, MODEL, SHORT, checkpoint_dir=tmp_path / "state")


def test_training_can_be_left_at_any_step(sections: list[Section]) -> None:
    work = FitRequest(sections, MODEL, SHORT, 0).run()
    ticks = [next(work) for _ in range(4)]
    work.close()
    assert [t.stage for t in ticks] == ["Building the vocabulary", *["Training"] * 3]


def test_the_state_is_json_and_safetensors(sections: list[Section], tmp_path: Path) -> None:
    finish(FitRequest(sections, MODEL, SHORT, 0, checkpoint_dir=tmp_path / "state").run())
    assert sorted(p.name for p in (tmp_path / "state").iterdir()) == [
        "state.json",
        "state.safetensors",
    ]
    assert json.loads((tmp_path / "state" / "state.json").read_text())["step"] == 12


def test_a_loss_that_is_not_finite_ends_the_run(
    sections: list[Section], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = TrainLoop.step

    def diverging(self: TrainLoop, number: int) -> float:
        return float("nan") if number == 8 else step(self, number)

    monkeypatch.setattr(TrainLoop, "step", diverging)
    request = FitRequest(sections, MODEL, SHORT, 0, checkpoint_dir=tmp_path / "state")
    with pytest.raises(ResultError, match="in step 9") as caught:
        finish(request.run())
    assert "smaller learning_rate than 0.001" in caught.value.remedy
    assert "weight_decay than 0.05 or expression_weight than 20" in caught.value.remedy
    assert "step 6 is kept" in caught.value.remedy
    monkeypatch.setattr(TrainLoop, "step", step)
    assert finish(request.run()).curve[-1]["step"] == 12


def test_a_network_that_predicts_no_numbers_is_not_trained_on(
    sections: list[Section], tiny_model: GeST
) -> None:
    start = replace(
        tiny_model, network=GeST.create(tiny_model.config, tiny_model.tokenizer, seed=0).network
    )
    with torch.no_grad():
        start.network.to_genes.bias.fill_(float("nan"))
    with pytest.raises(ResultError, match="validation after 0 steps") as caught:
        fine_tune(start, sections, SHORT)
    assert "learning_rate" in caught.value.remedy


def test_validation_cells_that_do_not_vary_are_named(
    sections: list[Section], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else no validation is the best, and there are no weights to return."""
    from napari_gest.tasks.training import train_loop

    monkeypatch.setattr(train_loop, "rmse_z_over_cells", lambda *_: float("nan"))
    with pytest.raises(ResultError, match="no gene varies") as caught:
        fit(sections, MODEL, SHORT)
    assert "validation_share" in caught.value.remedy


def test_the_temperature_is_learned_on_validation_cells_and_kept(
    sections: list[Section], tmp_path: Path
) -> None:
    config = SHORT.model_copy(update={"validation_share": 0.2})
    loop = TrainLoop(FitRequest(sections, MODEL, config, 0))
    model, _ = finish(loop.steps())
    own = temperature_on(loop.average, loop.validation)
    assert model.emission.temperature == own != 1.0
    model.save(tmp_path / "model")
    assert GeST.load(tmp_path / "model").emission.temperature == own
    again = fit(sections, MODEL, config)
    assert again.emission == model.emission


def test_gradients_in_parts_are_those_of_the_whole_batch(
    sections: list[Section], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory runs out on the first try: the batch is halved, and said to be."""
    config = SHORT.model_copy(update={"batch_windows": 5, "n_steps": 3, "validate_every": 3})
    shape = MODEL.model_copy(update={"dropout": 0.0})
    loops = [TrainLoop(FitRequest(sections, shape, config, 0)) for _ in range(2)]
    whole = [loops[0].step(step) for step in range(3)]
    loss, sizes = TrainLoop.loss, []

    def short_of_memory(self: TrainLoop, batch: Any) -> torch.Tensor:
        sizes.append(batch.n_windows)
        if batch.n_windows > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return loss(self, batch)

    monkeypatch.setattr(TrainLoop, "loss", short_of_memory)
    parts = [loops[1].step(step) for step in range(3)]
    assert sizes == [5, 2, 2, 1, 2, 2, 1, 2, 2, 1]
    assert parts == pytest.approx(whole, abs=1e-5)
    one, two = (dict(loop.network.named_parameters()) for loop in loops)
    for name, weight in one.items():
        if not name.endswith("qkv.bias"):  # keys' have no gradient but rounding
            torch.testing.assert_close(two[name], weight, atol=1e-4, rtol=0)
    assert loops[1].at_once.news() == "Memory ran out: going on with 2 windows at once"


def test_memory_that_runs_out_is_told_in_the_progress(
    sections: list[Section], monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = TrainLoop.loss

    def short_of_memory(self: TrainLoop, batch: Any) -> torch.Tensor:
        if batch.n_windows > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return loss(self, batch)

    monkeypatch.setattr(TrainLoop, "loss", short_of_memory)
    config = SHORT.model_copy(update={"n_steps": 2, "validate_every": 2})
    said = [tick.stage for tick in FitRequest(sections, MODEL, config, 0).run()]
    assert said.count("Memory ran out: going on with 1 window at once") == 1


def test_windows_depend_on_seed_step_and_index_alone(sections: list[Section]) -> None:
    """So that a batch can be drawn by several processes, each its own windows of it."""
    config = SHORT.model_copy(update={"batch_windows": 3})
    loop = TrainLoop(FitRequest(sections, MODEL, config, 0))
    longer = config.model_copy(update={"batch_windows": 5})
    more = TrainLoop(FitRequest(sections, MODEL, longer, 0))
    one, two = loop.batch(4), more.batch(4).windows(slice(0, 3))
    n = min(one.query_xy.shape[1], two.query_xy.shape[1])
    assert torch.equal(one.query_xy[:, :n], two.query_xy[:, :n])
    assert not torch.equal(one.query_xy[0], one.query_xy[1])
    assert not torch.equal(one.query_xy, loop.batch(5).query_xy)


@pytest.mark.parametrize("name", ["t.zarr", "t.h5ad"])
def test_tissue_on_disk_gives_the_model_that_tissue_in_memory_gives(
    tissue: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setattr(in_order, "FEW_VALUES", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(copies))
    mixed = tissue[np.random.default_rng(0).permutation(tissue.n_obs)].copy()
    write_tissue(mixed, tmp_path / name)
    lazily = read_tissue(tmp_path / name, lazy=True)
    names = section_names(mixed)
    here = [Section.from_anndata(mixed, one) for one in names]
    there = [Section.from_anndata(lazily, one, lazy=True) for one in names]
    loop = TrainLoop(FitRequest(there, MODEL, SHORT, 0))
    assert not loop.tissues[0].values.flags.writeable
    assert len(list(copies.rglob("0-*.npy"))) == 4
    assert list(copies.rglob("validation-*.npy"))
    assert all("in_memory" not in vars(s.expression) for s in loop.request.sections)
    loop.close()
    assert not list(copies.iterdir())
    made = [
        finish(
            FitRequest(
                some[:1], MODEL, SHORT, 0, validation=some[1], checkpoint_dir=tmp_path / "state"
            ).run()
        ).model
        for some in (here, there)  # the second goes on from the state of the first, at its end
    ]
    assert made[0].digest == made[1].digest
    alone = fit(there, MODEL, SHORT)
    assert alone.digest == fit(here, MODEL, SHORT).digest
    assert not list(copies.iterdir())
