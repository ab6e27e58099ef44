"""Several processes that train one model: the same numbers, and one end for all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from napari_gest.errors import GestError, InputError, ProcessError
from napari_gest.tasks.progress import finish
from napari_gest.tasks.training import ranks
from napari_gest.tasks.training.ranks import FabricRanks, Ranks, Scale, join
from napari_gest.tasks.training.train import FitRequest, TrainConfig
from napari_gest.tasks.training.train_loop import TrainLoop
from napari_gest.tissue.section import Section

CPU = torch.device("cpu")
# Run as a program, since Fabric starts the other process by running it once more.
PROGRAM = """
import json, os, signal, sys
from pathlib import Path
from napari_gest.model.config import ModelConfig
from napari_gest.tasks.progress import finish
from napari_gest.tasks.training.train import FitRequest, TrainConfig
from napari_gest.tasks.training.train_loop import TrainLoop
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate

def request(devices, state):
    tissue = simulate(n_cells=1200, n_genes=30, n_sections=2, seed=1)
    sections = [Section.from_anndata(tissue, name) for name in ("section_1", "section_2")]
    size = dict(n_layers=2, n_heads=2, d_model=16, n_meta_cells=24, n_pcs=10, window_cells=48)
    shape = ModelConfig(**size, level_sizes=(6, 4, 2), dropout=0.0)
    config = TrainConfig(
        n_steps=20, batch_windows=3, targets=16, validate_every=10, expression_weight=1.0
    )
    return FitRequest(
        sections, shape, config, 0, checkpoint_dir=state, device="cpu", devices=devices
    )

if __name__ == "__main__":
    out, state, killed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    asked, losses, step = request(2, state), {}, TrainLoop.step

    def noted(self, number):
        if number == killed and self.ranks.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        losses[number] = step(self, number)
        return losses[number]

    TrainLoop.step = noted
    try:
        fitted = finish(asked.run())
        if asked.scale.is_first:
            told = {"losses": losses, "curve": fitted.curve, "card": fitted.model.card}
            out.write_text(json.dumps(told))
    finally:
        if asked.scale.is_first and killed >= 0:
            out.write_text(json.dumps({"losses": losses}))
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("lightning_fabric", reason="the extra 'scale' is not installed")
    folder = tmp_path_factory.mktemp("two")
    (folder / "tmp").mkdir()
    (folder / "program.py").write_text(PROGRAM)
    return folder / "program.py"


@pytest.fixture(scope="module")
def of_one(program: Path) -> list[float]:
    """The losses of one process."""
    found: dict[str, Any] = {"__name__": "program"}
    exec(compile(PROGRAM, str(program), "exec"), found)
    loop = TrainLoop(found["request"](1, None))
    finish(loop.steps())
    return loop.losses


def run_two(program: Path, state: Path, killed: int = -1) -> tuple[Any, dict[str, Any]]:
    out = state.with_suffix(".json")
    root = str(Path(ranks.__file__).parents[3])
    scratch = str(program.parent / "tmp")
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "TMPDIR": scratch}
    for name in ("LOCAL_RANK", "NODE_RANK", "RANK", "WORLD_SIZE"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, str(program), str(out), str(state), str(killed)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done, json.loads(out.read_text()) if out.exists() else {}


def test_two_processes_have_the_losses_of_one(
    program: Path, of_one: list[float], tmp_path: Path
) -> None:
    done, told = run_two(program, tmp_path / "state")
    assert done.returncode == 0, done.stderr
    assert list(told["losses"].values()) == pytest.approx(of_one, abs=1e-5)
    assert told["card"]["processes"] == 2
    assert not list((program.parent / "tmp").iterdir())  # the tissue that both had read


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL on Windows")
def test_after_a_process_was_killed_training_goes_on_from_the_state(
    program: Path, of_one: list[float], tmp_path: Path
) -> None:
    done, told = run_two(program, tmp_path / "state", killed=13)
    assert done.returncode != 0
    assert "Another process of the training ended." in done.stderr
    assert list(map(int, told["losses"])) == list(range(13))
    assert json.loads((tmp_path / "state" / "state.json").read_text())["step"] == 10
    done, told = run_two(program, tmp_path / "state")
    assert done.returncode == 0, done.stderr
    assert list(map(int, told["losses"])) == list(range(10, 20))
    assert list(told["losses"].values()) == pytest.approx(of_one[10:], abs=1e-5)


class Together:
    """What Fabric does, between threads."""

    def __init__(self, n: int) -> None:
        self.barrier, self.sent = threading.Barrier(n, timeout=20), [None] * n

    def of(self, rank: int) -> Any:
        n = len(self.sent)

        def exchange(value: Any) -> list[Any]:
            self.sent[rank] = value
            self.barrier.wait()
            everything = list(self.sent)
            self.barrier.wait()
            return everything

        def all_reduce(tensor: torch.Tensor, reduce_op: str) -> torch.Tensor:
            stacked = torch.stack(exchange(tensor))
            return stacked.amin(0) if reduce_op == "min" else stacked.sum(0)

        return SimpleNamespace(
            device=CPU,
            global_rank=rank,
            local_rank=rank,
            world_size=n,
            all_reduce=all_reduce,
            broadcast=lambda value, src=0: exchange(value)[src],
        )


def in_each(n: int, work: Callable[[Ranks], Any]) -> list[Any]:
    """Return what ``work`` returns or raises in each of ``n`` processes."""
    together = Together(n)

    def one(rank: int) -> Any:
        try:
            return work(FabricRanks(together.of(rank)))
        except (GestError, RuntimeError) as error:
            return error

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(one, range(n)))


def test_what_is_done_once_is_known_to_all() -> None:
    asked: list[int] = []

    def work(one: Ranks) -> list[str]:
        return one.once(lambda: [asked.append(one.rank), "made"][1:])  # type: ignore[func-returns-value]

    assert in_each(3, work) == [["made"]] * 3
    assert asked == [0]


def test_the_least_and_the_sum_are_over_all() -> None:
    def work(one: Ranks) -> tuple[Any, list[list[float]]]:
        least = one.least(lambda: (one.rank, (5 + one.rank, 9 - one.rank)))
        ones = [torch.full((2,), float(one.rank)), torch.ones(1, 2)]
        return least, [part.tolist() for part in one.sum(lambda: ones)]

    for rank, (least, sums) in enumerate(in_each(3, work)):
        assert least == (rank, [5, 7])
        assert sums == [[3.0, 3.0], [[3.0, 3.0]]]


@pytest.mark.parametrize("what", ["once", "least", "sum"])
def test_what_fails_in_one_process_ends_all_with_its_message(what: str) -> None:
    wrong = InputError("A file is gone.", "Put it back.")
    who = 0 if what == "once" else 1

    def work(one: Ranks) -> Any:
        def part() -> Any:
            if one.rank == who:
                raise wrong
            return ("made", (1,)) if what == "least" else [torch.ones(2)]

        return getattr(one, what)(part)

    found = in_each(3, work)
    assert found[who] is wrong
    for error in found[:who] + found[who + 1 :]:
        assert isinstance(error, ProcessError)
        assert error.cause == f"Process {who} of the training failed: A file is gone."
        assert error.remedy == "Put it back."


def test_a_lost_process_is_told_as_one() -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise RuntimeError("[gloo] Connection closed by peer")

    fabric = Together(1).of(0)
    fabric.all_reduce = gone
    with pytest.raises(ProcessError, match="Another process of the training ended"):
        FabricRanks(fabric).sum(lambda: [torch.ones(1)])


def test_one_process_asks_nobody() -> None:
    alone = join(Scale(), "cpu")
    assert type(alone) is Ranks
    assert alone.once(lambda: 3) == 3
    assert alone.least(lambda: ("made", (4, 5))) == ("made", [4, 5])
    assert alone.sum(lambda: [torch.ones(2)])[0].tolist() == [1.0, 1.0]


def test_who_is_first_is_told_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert Scale(devices=2).is_first
    monkeypatch.setenv("LOCAL_RANK", "1")  # as Fabric says
    assert not Scale(devices=2).is_first
    assert Scale().is_first
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "6"), ("LOCAL_WORLD_SIZE", "3")):
        monkeypatch.setenv(name, value)  # as torchrun says
    assert Scale().asked == Scale(3, 2)
    assert Scale().is_first
    monkeypatch.setenv("RANK", "4")
    assert not Scale().is_first


def test_more_processes_than_can_share_are_refused(
    sections: list[Section], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainConfig(batch_windows=2)
    shape = FitRequest(sections, None, config, 0)  # type: ignore[arg-type]
    for settings, cause in (
        ({"devices": 3}, "3 processes cannot share a batch of 2 windows"),
        ({"devices": 0}, "devices is 0"),
        ({"nodes": 0}, "nodes is 0"),
        ({"devices": 2, "strategy": "fsdp"}, "no strategy 'fsdp'"),
    ):
        scale = Scale(**settings)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=cause):
            scale.check("cpu", shape.train_config.batch_windows)
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(InputError, match="not installed") as caught:
        Scale(devices=2).check("cpu", 8)
    assert "napari-gest[scale]" in caught.value.remedy
    Scale().check("cpu", 8)


def test_large_tissue_is_read_from_files_and_gives_the_same(
    program: Path, of_one: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_gest.tasks.training import train_loop

    monkeypatch.setattr(train_loop, "MOST_IN_MEMORY", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found: dict[str, Any] = {"__name__": "program"}
    exec(compile(PROGRAM, str(program), "exec"), found)
    request = found["request"](1, None)
    loop = TrainLoop(request)
    assert len(list(tmp_path.rglob("*.npy"))) == 8
    assert not loop.tissues[0].values.flags.writeable
    assert [loop.step(step) for step in range(4)] == of_one[:4]
    loop.close()
    assert not list(tmp_path.iterdir())
    work = request.run()
    next(work), next(work)
    assert list(tmp_path.iterdir())
    work.close()  # as on Ctrl-C
    assert not list(tmp_path.iterdir())
