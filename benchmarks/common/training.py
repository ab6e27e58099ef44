"""Models of the benchmark: trained once per split and settings, stored, and resumed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import napari_gest
from benchmarks.common.datasets import Loaded, Split
from napari_gest.files import JSON, make_folder, write_text
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.tasks.progress import Progress, finish
from napari_gest.tasks.training.train import FitRequest, TrainConfig, configs_for

RUNS = Path(__file__).parents[2] / "runs"


@dataclass(frozen=True)
class Trained:
    """A model and where it comes from.

    Attributes
    ----------
    model
        The model.
    note
        When and how long it was trained, for the table.
    """

    model: GeST
    note: str


def trained(
    split: Split,
    loaded: Loaded,
    seed: int,
    on_progress: Callable[[Progress], None] | None = None,
    *,
    model_settings: dict[str, Any] | None = None,
    train_settings: dict[str, Any] | None = None,
    start: str | None = None,
    runs: Path = RUNS,
) -> Trained:
    """Train on a split's training sections, or load the model of an earlier run.

    A finished run writes ``model/``, ``curve.json`` and ``run.json`` to ``runs/<split>/<key>/``,
    where the key is a hash of everything that determines the weights. An interrupted run leaves a
    checkpoint there, from which it is resumed.

    Parameters
    ----------
    split, loaded
        The split and its sections.
    seed
        Seed of the vocabulary, the weights and the windows.
    on_progress
        Called with each tick of training.
    model_settings, train_settings
        Fields of `ModelConfig` and `TrainConfig` that replace the defaults for this cell number.
    start
        Name or folder of a model from which training continues; by default it is from scratch.
    runs
        Folder of all runs.
    """
    begin = None if start is None else GeST.load(start)
    shape, training = configs_for(loaded.train, begin)
    model_config = ModelConfig(**shape.model_dump() | (model_settings or {}))
    train_config = TrainConfig(**training.model_dump() | (train_settings or {}))
    settings = {
        "split": split.name,
        "version": napari_gest.__version__,
        "sections": {s.name: [s.n_obs, float(s.expression.sum())] for s in loaded.train},
        "genes": hashlib.sha256("\n".join(loaded.genes).encode()).hexdigest(),
        "model_config": model_config.model_dump(mode="json"),
        "train_config": train_config.model_dump(mode="json"),
        "seed": seed,
    }
    if start is not None:
        settings["start"] = start
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    folder = runs / split.name / key
    record = folder / "run.json"
    if record.exists():
        kept = json.loads(record.read_text())
        return Trained(
            GeST.load(folder / "model"),
            f"trained {kept['finished'][:10]} in {kept['minutes']:.1f} min, reused",
        )
    make_folder(folder)
    started = time.monotonic()
    request = FitRequest(
        sections=tuple(loaded.train),
        model_config=model_config,
        train_config=train_config,
        seed=seed,
        checkpoint_dir=folder / "checkpoint",
        start=begin,
        name=split.name,
    )
    fitted = finish(request.run(), on_progress)
    minutes = (time.monotonic() - started) / 60
    fitted.model.save(folder / "model", overwrite=True)
    curve = json.dumps(fitted.curve, indent=1, default=float)
    write_text(folder / "curve.json", curve, JSON, overwrite=True)
    # Written last, so only a finished run has it.
    about = settings | {"minutes": minutes, "finished": datetime.now(UTC).isoformat()}
    write_text(record, json.dumps(about, indent=1), JSON)
    return Trained(fitted.model, f"trained now in {minutes:.1f} min")
