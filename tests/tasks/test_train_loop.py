"""The loop of training: it can be left, and goes on to the same numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from training import MODEL, SHORT, same

from napari_gest.errors import CheckpointError, InputError
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.tasks.progress import finish
from napari_gest.tasks.train import (
    FitRequest,
    fit,
)
from napari_gest.tissue.section import Section


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


def test_a_state_of_other_settings_is_refused(sections: list[Section], tmp_path: Path) -> None:
    request = FitRequest(sections, MODEL, SHORT, 0, checkpoint_dir=tmp_path / "state")
    finish(request.run())
    with pytest.raises(InputError, match="other data or settings"):
        finish(replace(request, seed=1).run())


def test_a_damaged_state_is_named(sections: list[Section], tmp_path: Path) -> None:
    request = FitRequest(sections, MODEL, SHORT, 0, checkpoint_dir=tmp_path / "state")
    finish(request.run())
    (tmp_path / "state" / "state.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="damaged"):
        finish(request.run())


def test_a_state_of_another_version_is_named(sections: list[Section], tmp_path: Path) -> None:
    request = FitRequest(sections, MODEL, SHORT, 0, checkpoint_dir=tmp_path / "state")
    finish(request.run())
    path = tmp_path / "state" / "state.safetensors"
    kept = {k: v for k, v in load_file(path).items() if not k.startswith("optimizer.mean")}
    save_file(kept, path)
    with pytest.raises(CheckpointError, match="another version"):
        finish(request.run())


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
