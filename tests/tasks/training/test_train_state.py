"""A training state that is damaged, mixed or of another run is named, and never restarted from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save
from training import MODEL, SHORT

from napari_gest.errors import CheckpointError, InputError
from napari_gest.model.gest import GeST
from napari_gest.tasks.progress import finish
from napari_gest.tasks.training.train import FitRequest
from napari_gest.tasks.training.train_state import STATE_SETTINGS, STATE_TENSORS, digest_of
from napari_gest.tissue.section import Section

CONFIG = SHORT.model_copy(update={"n_steps": 2, "validate_every": 1})
NAN = float("nan")


@pytest.fixture(scope="module")
def finished(_simulated: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[FitRequest, Path]:
    """A short run and the state that it left."""
    folder = tmp_path_factory.mktemp("run") / "state"
    section = Section.from_anndata(_simulated, "section_1")
    request = FitRequest([section], MODEL, CONFIG, 0, checkpoint_dir=folder)
    finish(request.run())
    return request, folder


@pytest.fixture
def request_of(finished: tuple[FitRequest, Path], tmp_path: Path) -> FitRequest:
    """The same run, with a copy of the state to spoil."""
    request, folder = finished
    return replace(request, checkpoint_dir=Path(shutil.copytree(folder, tmp_path / "state")))


def told(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Change what state.json says."""

    def spoil(folder: Path) -> None:
        about = json.loads((folder / STATE_SETTINGS).read_text())
        change(about)
        (folder / STATE_SETTINGS).write_text(json.dumps(about))

    return spoil


def held(change: Callable[[dict[str, np.ndarray]], Any]) -> Callable[[Path], None]:
    """Change the tensors and the hash by which they are known."""

    def spoil(folder: Path) -> None:
        tensors = load_file(folder / STATE_TENSORS)
        change(tensors)
        packed = save(tensors)
        (folder / STATE_TENSORS).write_bytes(packed)
        told(lambda about: about.update(tensors=digest_of(packed)))(folder)

    return spoil


def written(file: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_bytes(content) and None


def cut(folder: Path) -> None:
    file = folder / STATE_TENSORS
    file.write_bytes(file.read_bytes()[:-1000])


def set_nan(name: str) -> Callable[[dict[str, np.ndarray]], Any]:
    return lambda tensors: tensors[name].ravel().__setitem__(-1, NAN)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no settings": (lambda f: (f / STATE_SETTINGS).unlink(), f"{STATE_SETTINGS} is missing"),
    "no tensors": (lambda f: (f / STATE_TENSORS).unlink(), f"{STATE_TENSORS} is missing"),
    "cut": (cut, f"{STATE_TENSORS} is not the one"),
    "noise": (written(STATE_TENSORS, b"no"), f"{STATE_TENSORS} is not the one"),
    "mixed": (told(lambda a: a.update(tensors="0" * 32)), "another state"),
    "not JSON": (written(STATE_SETTINGS, b"{"), STATE_SETTINGS),
    "empty": (written(STATE_SETTINGS, b""), STATE_SETTINGS),
    "a list": (written(STATE_SETTINGS, b"[]"), STATE_SETTINGS),
    "deep": (written(STATE_SETTINGS, b'{"settings":' + b"[" * 100_000), STATE_SETTINGS),
    "step missing": (told(lambda a: a.pop("step")), "no 'step'"),
    "step text": (told(lambda a: a.update(step="2")), "'step'"),
    "step of a fraction": (told(lambda a: a.update(step=1.5)), "'step'"),
    "step -1": (told(lambda a: a.update(step=-1)), "'step'"),
    "step of another time": (told(lambda a: a.update(step=1)), "'step' is 1"),
    "curve empty": (told(lambda a: a.update(curve=[])), "'curve'"),
    "curve a dictionary": (told(lambda a: a.update(curve={})), "'curve'"),
    "curve without scores": (told(lambda a: a["curve"][0].pop("rmse_z")), "'rmse_z'"),
    "curve NaN": (told(lambda a: a["curve"][-1].update(rmse_z=NAN)), "'curve"),
    "curve text": (told(lambda a: a["curve"][-1].update(nll="low")), "'curve"),
    "losses text": (told(lambda a: a.update(losses=["low"])), "'losses"),
    "losses NaN": (told(lambda a: a.update(losses=[NAN])), "'losses"),
    "spent null": (told(lambda a: a.update(spent=None)), "'spent'"),
    "settings a list": (told(lambda a: a.update(settings=[])), "'settings'"),
    "settings missing": (told(lambda a: a.pop("settings")), "no 'settings'"),
    "tensors NaN": (held(set_nan("now.embed.weight")), "'now.embed.weight'"),
    "means NaN": (held(set_nan("optimizer.mean.0")), "'optimizer.mean.0'"),
    "tensors missing": (held(lambda t: t.pop("best.norm.bias")), "no 'best.norm.bias'"),
    "tensors more": (held(lambda t: t.update(more=np.zeros(1))), "unknown tensor 'more'"),
    "tensors short": (
        held(lambda t: t.update({"average.norm.bias": t["average.norm.bias"][:-1]})),
        "'average.norm.bias'",
    ),
    "tensors of other type": (
        held(lambda t: t.update({"now.norm.bias": t["now.norm.bias"].astype(np.int32)})),
        "'now.norm.bias'",
    ),
}


@pytest.mark.parametrize(
    ("spoil", "named"), [pytest.param(*case, id=name) for name, case in DAMAGES.items()]
)
def test_a_damaged_state_is_named(
    request_of: FitRequest, spoil: Callable[[Path], None], named: str
) -> None:
    folder = request_of.checkpoint_dir
    assert folder is not None
    spoil(folder)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(CheckpointError, match=f"damaged.*{named}") as caught:
        finish(request_of.run())
    assert str(folder) in caught.value.cause
    assert "Remove the folder" in caught.value.remedy
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


@pytest.mark.parametrize("change", [lambda a: a.pop("format"), lambda a: a.update(format=99)])
def test_a_state_of_another_version_is_named(
    request_of: FitRequest, change: Callable[[dict[str, Any]], Any]
) -> None:
    assert request_of.checkpoint_dir is not None
    told(change)(request_of.checkpoint_dir)
    with pytest.raises(CheckpointError, match="was written by another version") as caught:
        finish(request_of.run())
    assert "damaged" not in caught.value.cause


def test_a_state_of_other_settings_is_refused(
    request_of: FitRequest, section: Section, tiny_model: GeST
) -> None:
    counts = section.expression.copy()
    counts.data[0] += 1
    other = replace(section, expression=counts)
    for change in (
        {"seed": 1},
        {"sections": [other]},
        {"validation": other},
        {"train_config": CONFIG.model_copy(update={"n_steps": 3})},
    ):
        with pytest.raises(InputError, match="other data or settings"):
            finish(replace(request_of, **change).run())


def test_the_whole_state_is_gone_on_from(request_of: FitRequest) -> None:
    stages = [tick.stage for tick in request_of.run()]
    assert stages == ["Building the vocabulary"]  # and no step, since all were taken


def test_a_folder_without_a_state_is_a_new_run(request_of: FitRequest, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    fitted = finish(replace(request_of, checkpoint_dir=tmp_path / "new").run())
    assert [entry["step"] for entry in fitted.curve] == [0, 1, 2]
