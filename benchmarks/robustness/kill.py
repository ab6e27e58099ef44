"""Kills during writing: the old or the new output must be complete afterwards.

Each round forks this process, with everything imported. The fork writes one output over another
again and again, and is ended with SIGKILL. Another fork then reads the result. Only kills can be
tested here; against power cuts, ``fsync`` flushes files before they are renamed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.robustness import sessions
from napari_gest.files import remove_folder, swap
from napari_gest.files.leftovers import is_temporary
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.tasks.perturbation.scenario import (
    Scenario,
    Settings,
    read_scenarios,
    write_scenarios,
)
from napari_gest.tasks.progress import finish
from napari_gest.tasks.training.train import STATE, FitRequest, TrainConfig
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.io import in_memory, read_tissue, write_tissue
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate

_LIMIT_S = 120.0  # for one fork that is not killed
OLD, NEW = "old", "new"


@dataclass(frozen=True)
class Case:
    """One kind of output.

    Attributes
    ----------
    name
        Name in the table.
    write
        Writes the old or the new version into a folder, over an existing version if there is one.
    read
        Returns which of the two versions is in the folder, or raises.
    two_steps
        Replace folders as on systems that cannot exchange them.
    """

    name: str
    write: Callable[[Path, str], None]
    read: Callable[[Path], str]
    two_steps: bool = False


@dataclass
class Count:
    """Results of the rounds of one case: their number, and the versions found after kills."""

    name: str
    rounds: int = 0
    old: int = 0
    new: int = 0
    swept: int = 0
    restored: int = 0
    damage: list[str] = field(default_factory=list)


def run(
    rounds: int,
    seed: int,
    say: Callable[[str], None] = lambda _: None,
    only: str | None = None,
) -> list[Count]:
    """Kill ``rounds`` processes, the cases in turn, and return the counts.

    Raises
    ------
    KeyError
        If there is no case of the name ``only``.
    """
    torch.set_num_threads(1)  # threads of a pool do not survive a fork
    rng = random.Random(seed)
    every = [case for case in cases() if only in (None, case.name)]
    if not every:
        raise KeyError(f"nothing is written that is called '{only}'")
    counts = [Count(case.name) for case in every]
    with tempfile.TemporaryDirectory() as parent:
        spans = {}
        for number in range(rounds):
            case, count = every[number % len(every)], counts[number % len(every)]
            folder = Path(parent, str(number))
            folder.mkdir()
            if case.name not in spans:
                spans[case.name] = _span(case, folder)
            else:
                _forked(lambda: case.write(folder, OLD))  # noqa: B023 - it runs at once
            stood = _round(case, count, folder, rng.uniform(0, spans[case.name]))
            say(f"{number + 1}/{rounds} {case.name}: {stood}")
    return counts


def cases() -> list[Case]:
    """Return all cases: tissue, models, scenarios, training, sessions."""
    tissues = {OLD: simulate(400, 20, 1, seed=1), NEW: simulate(500, 20, 1, seed=2)}
    sections = {which: Section.from_anndata(adata) for which, adata in tissues.items()}
    models = {which: _model(section) for which, section in sections.items()}
    ring = 100 * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    scenarios = {
        which: [
            (Scenario(Settings(name=f"{which} {i}", model="m", section="s"), Roi.from_vertices(
                [ring]), (Edit("gene_1", "set", float(i)),)), None)
            for i in range(3)
        ]
        for which in (OLD, NEW)
    }  # fmt: skip

    def tissue_of(name: str) -> tuple[Callable[[Path, str], None], Callable[[Path], str]]:
        def write(folder: Path, which: str) -> None:
            write_tissue(tissues[which], folder / name, overwrite=True)

        def read(folder: Path) -> str:
            found = in_memory(read_tissue(folder / name))
            return _which({w: _same(found, adata) for w, adata in tissues.items()})

        return write, read

    def convert(source: str, target: str) -> tuple[Any, Any]:
        write_source, _ = tissue_of(source)
        _, read_target = tissue_of(target)

        def write(folder: Path, which: str) -> None:
            for one in (OLD, NEW):
                if not (folder / one).exists():
                    (folder / one).mkdir()
                    write_source(folder / one, one)
            adata = read_tissue(folder / which / source)
            write_tissue(adata, folder / target, overwrite=True)

        def read(folder: Path) -> str:
            for one in (OLD, NEW):
                found = in_memory(read_tissue(folder / one / source))
                if not _same(found, tissues[one]):
                    raise ValueError(f"the source {one} has changed")
            return read_target(folder)

        return write, read

    def write_model(folder: Path, which: str) -> None:
        models[which].save(folder / "model", overwrite=True)

    def read_model(folder: Path) -> str:
        digest = GeST.load(folder / "model").digest
        return _which({which: digest == model.digest for which, model in models.items()})

    def write_scenario(folder: Path, which: str) -> None:
        write_scenarios(scenarios[which], folder / "all", overwrite=True)

    def read_scenario(folder: Path) -> str:
        found = sorted(read_scenarios(folder / "all"), key=lambda s: s.settings.name)
        return _which({w: found == [s for s, _ in kept] for w, kept in scenarios.items()})

    return [
        Case("save .h5ad", *tissue_of("t.h5ad")),
        Case("save .zarr", *tissue_of("t.zarr")),
        Case("save model", write_model, read_model),
        Case("save scenarios", write_scenario, read_scenario),
        Case("convert .h5ad to .zarr", *convert("in.h5ad", "t.zarr")),
        Case("convert .zarr to .h5ad", *convert("in.zarr", "t.h5ad")),
        _fitting(sections),
        Case("save .zarr, two renames", *tissue_of("t.zarr"), two_steps=True),
        Case("save model, two renames", write_model, read_model, two_steps=True),
        Case("save scenarios, two renames", write_scenario, read_scenario, two_steps=True),
        Case("session", sessions.write, sessions.read),
    ]


def _fitting(sections: dict[str, Section]) -> Case:
    """Return ``fit`` with a state that is written at every step, and its model."""
    shape = ModelConfig(
        n_layers=1, n_heads=2, d_model=16, n_meta_cells=16, n_pcs=8, level_sizes=(4, 3, 2),
        window_cells=32,
    )  # fmt: skip
    training = TrainConfig(n_steps=6, batch_windows=1, targets=8, validate_every=1)
    known = {
        which: finish(FitRequest([section], shape, training, 0).run()).model.digest
        for which, section in sections.items()
    }

    def request(folder: Path, which: str) -> FitRequest:
        state = folder / f"state-{which}"
        return FitRequest([sections[which]], shape, training, 0, checkpoint_dir=state)

    def write(folder: Path, which: str) -> None:
        asked = request(folder, which)
        finish(asked.run()).model.save(folder / "model", overwrite=True)
        remove_folder(asked.checkpoint_dir, STATE)

    def read(folder: Path) -> str:
        # A run resumed from the state must give the same weights as an uninterrupted run.
        for which in (OLD, NEW):
            if finish(request(folder, which).run()).model.digest != known[which]:
                raise ValueError(f"the state {which} went on to other weights")
        found = GeST.load(folder / "model").digest
        return _which({which: found == digest for which, digest in known.items()})

    return Case("fit --resume", write, read)


def _round(case: Case, count: Count, folder: Path, wait_s: float) -> str:
    """Kill a fork that writes, count the result, and return it in words."""

    def again_and_again() -> None:
        while True:
            for which in (NEW, OLD):
                case.write(folder, which)

    child = _fork(again_and_again, case.two_steps)
    time.sleep(wait_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    count.rounds += 1
    if not os.WIFSIGNALED(status):
        count.damage.append(f"the writer ended by itself ({status})")
        return count.damage[-1]
    names = [path.name for path in folder.iterdir()]
    aside = any(is_temporary(name) and ".old" in name for name in names)
    stood, error = _forked(lambda: case.read(folder))
    count.restored += aside and not error
    count.old += stood == OLD
    count.new += stood == NEW
    if error:
        count.damage.append(error)
        return error
    # The next write in this folder removes the temporary files of the killed process.
    _, error = _forked(lambda: case.write(folder, NEW))
    rest = [path.name for path in folder.iterdir() if is_temporary(path.name)]
    count.swept += any(map(is_temporary, names)) and not rest
    if error or rest:
        count.damage.append(error or f"not swept: {', '.join(rest)}")
        return count.damage[-1]
    return f"{stood} stood{', restored' if aside else ''}"


def _span(case: Case, folder: Path) -> float:
    """Write both versions once, and return the seconds needed."""
    _forked(lambda: case.write(folder, OLD))
    started = time.monotonic()
    _, error = _forked(lambda: [case.write(folder, which) for which in (NEW, OLD)])
    if error:
        raise RuntimeError(f"{case.name}: {error}")
    return time.monotonic() - started


def _forked(work: Callable[[], Any]) -> tuple[str, str]:
    """Run ``work`` in a fork; return its result as text, and its error, if any."""
    reading, writing = os.pipe()

    def told() -> None:
        try:
            answer = {"done": str(work()), "error": ""}
        except BaseException as error:
            answer = {"done": "", "error": f"{type(error).__name__}: {error}"}
        os.write(writing, json.dumps(answer).encode()[:60_000])

    child = _fork(told)
    os.close(writing)
    alarm = time.monotonic() + _LIMIT_S
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > alarm:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            break
        time.sleep(0.002)
    with os.fdopen(reading, "rb") as pipe:
        answer = json.loads(pipe.read() or b'{"done": "", "error": "it ended or hung"}')
    return answer["done"], answer["error"]


def _fork(work: Callable[[], Any], two_steps: bool = False) -> int:
    """Run ``work`` in a fork and return its PID."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        if two_steps:
            swap._exchange = lambda one, other: False  # type: ignore[assignment]
        work()
        code = 0
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(code)


def _model(section: Section) -> GeST:
    config = ModelConfig(
        n_layers=1, n_heads=2, d_model=16, n_meta_cells=16, n_pcs=8, level_sizes=(4, 3, 2),
        window_cells=32, window_um=100.0,
    )  # fmt: skip
    tokenizer = MetaCellTokenizer.fit(
        section.model_space(250.0),
        section.genes,
        250.0,
        n_meta_cells=config.n_meta_cells,
        n_pcs=config.n_pcs,
        level_sizes=config.level_sizes,
        seed=0,
    )
    return GeST.create(config, tokenizer, seed=0)


def _same(found: Any, wanted: Any) -> bool:
    return (
        found.shape == wanted.shape
        and list(found.obs_names) == list(wanted.obs_names)
        and (found.X != wanted.X).nnz == 0
        and np.array_equal(found.obsm["spatial"], wanted.obsm["spatial"])
    )


def _which(found: dict[str, bool]) -> str:
    """Return the version that was found."""
    if not any(found.values()):
        raise ValueError("neither the old one nor the new one stands")
    return next(which for which, there in found.items() if there)
