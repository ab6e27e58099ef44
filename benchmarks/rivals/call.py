"""Run a rival's script in its environment, and measure it from outside."""

from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

# Interval at which memory is measured. A shorter peak is missed.
POLL_S = 0.1
ERROR_LENGTH = 300


@dataclass
class Outcome:
    """Result and cost of a call.

    Attributes
    ----------
    labels
        (n_obs,) labels by name of clustering or read-out; empty where the call failed.
    draws
        (n_draws, m, n_genes) counts of generated cells; None where there are none.
    work_s
        Wall time of the method alone, as the script measured it; nan where the call failed.
    wall_s
        Wall time of the process: interpreter, imports and reading included.
    cpu_s
        Processor time of the process, user and system. Unlike wall time it hardly depends on
        other work on the machine.
    peak_mb
        Largest resident memory of the process and its children, in MiB.
    error
        The exact last line of the error; empty if there was none.
    """

    labels: dict[str, NDArray] = field(default_factory=dict)
    draws: NDArray[np.float32] | None = None
    work_s: float = float("nan")
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0
    error: str = ""


def call(
    python: Path,
    script: Path,
    arguments: Sequence[str],
    out: Path,
    timeout_s: float,
    threads: int,
    memory_gb: float = 0.0,
    processor_s: float = math.inf,
) -> Outcome:
    """Run a script and wait for it.

    Parameters
    ----------
    python
        Interpreter of the rival's environment.
    script
        Script that speaks `methods/door.py`.
    arguments
        Its arguments, except ``--out``.
    out
        ``.npz`` that it writes; its output goes to the ``.log`` beside it.
    timeout_s
        Seconds after which it is ended.
    threads
        Threads that its numerical libraries may use.
    memory_gb
        Address space of the process at most; 0 sets no limit.
    processor_s
        Seconds of the processor after which it is ended.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)
    log = out.with_suffix(".log")
    started = time.perf_counter()
    with log.open("wb") as written:
        process = subprocess.Popen(
            [str(python), str(script), *arguments, "--out", str(out)],
            stdout=written,
            stderr=subprocess.STDOUT,
            env=_environment(threads),
            start_new_session=True,
        )
        if memory_gb:
            limit = round(memory_gb * 1e9)
            resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))
        outcome = _watch(process, started, timeout_s, processor_s)
    if not outcome.error and process.returncode:
        outcome.error = _last_line(log) or f"exit status {process.returncode}"
    if not outcome.error:
        read_result(out, outcome)
    return outcome


def _environment(threads: int) -> dict[str, str]:
    counted = ("OMP", "OPENBLAS", "MKL", "NUMBA", "NUMEXPR")
    offline = {"HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg", "PYTHONWARNINGS": "ignore"}
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    return inherited | offline | {f"{name}_NUM_THREADS": str(threads) for name in counted}


def _watch(
    process: subprocess.Popen[bytes], started: float, timeout_s: float, processor_s: float
) -> Outcome:
    """Poll a process until it ends, or end it, and return what it cost."""
    outcome = Outcome()
    watched = psutil.Process(process.pid)
    while True:
        outcome.peak_mb = max(outcome.peak_mb, _resident(watched) / 2**20)
        done, status, usage = os.wait4(process.pid, os.WNOHANG)
        outcome.wall_s = time.perf_counter() - started
        if not done and (late := _late(watched, outcome.wall_s, timeout_s, processor_s)):
            os.killpg(process.pid, signal.SIGKILL)
            outcome.error = late
            _, status, usage = os.wait4(process.pid, 0)
            done = process.pid
        if done:
            process.returncode = os.waitstatus_to_exitcode(status)
            outcome.cpu_s = usage.ru_utime + usage.ru_stime
            return outcome
        time.sleep(POLL_S)


def _late(process: psutil.Process, wall_s: float, timeout_s: float, processor_s: float) -> str:
    """Return why a process is to be ended; empty if it may go on."""
    if wall_s > timeout_s:
        return f"not done after {timeout_s:g} s"
    try:
        used = process.cpu_times()
    except psutil.Error:
        return ""
    if used.user + used.system > processor_s:
        return f"not done after {processor_s:g} s of the processor"
    return ""


def _resident(process: psutil.Process) -> int:
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.Error:
            continue
    return total


def read_result(out: Path, outcome: Outcome) -> None:
    """Fill in what a script wrote; what is wrong with it is the outcome's error."""
    try:
        with np.load(out) as found:
            outcome.work_s = float(found["seconds"])
            outcome.labels = {
                name.removeprefix("labels/"): found[name]
                for name in found.files
                if name.startswith("labels/")
            }
            outcome.draws = found["draws"] if "draws" in found.files else None
    except (OSError, KeyError, ValueError) as error:
        outcome.error = f"{type(error).__name__}: {error}"[:ERROR_LENGTH]


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [i for i, line in enumerate(lines) if "Error" in line.split(":")[0]]
    last = lines[errors[-1] :] if errors else lines[-1:]
    # A line that ends in a colon announces the next ones.
    told = last if last and last[0].endswith(":") else last[:1]
    return " ".join(told)[:ERROR_LENGTH]
