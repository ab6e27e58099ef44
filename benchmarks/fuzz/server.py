"""The fork server: loads everything once, then forks a process for each case and watches it.

Run as ``python -m benchmarks.fuzz.server`` with a plan on standard input; writes one line of JSON
for each case to standard output. It runs no thread and opens no HDF5 or zarr file itself, so that
forked processes are in a clean state.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.fuzz import tissue
from benchmarks.fuzz.base import Base, build
from benchmarks.fuzz.case import Outcome, Room, run_case
from benchmarks.fuzz.kinds import csv, geojson, model, scenario
from benchmarks.fuzz.probing import fork_probes
from benchmarks.fuzz.registry import KINDS
from napari_gest.errors import GestError
from napari_gest.tissue.io import read_tissue, write_tissue

# Limits of processor time and of idle time, so that cases do not fail on a busy machine.
SECONDS = 30.0
MEGABYTES = 4096.0
# Address space that a case may map beyond that of the server; torch and threads map much more than
# they use, so resident memory is measured as well.
_ADDRESSES = 6 << 30
_RESULT, _STDERR, _NOTES = "result.json", "stderr.txt", "notes.txt"
_MODULES = "modules.txt"
_PAGE = resource.getpagesize()
_TICKS = os.sysconf("SC_CLK_TCK")
_LOOK = 0.25  # seconds between two measurements of a process


@dataclass(frozen=True)
class Plan:
    """A plan for the server.

    Attributes
    ----------
    seed
        Seed of all cases.
    cases
        Kind and number of each case.
    jobs
        Processes at a time.
    keep
        Folder that receives the folders of failed cases.
    """

    seed: int
    cases: list[tuple[str, int]]
    jobs: int = 1
    keep: str | None = None


@dataclass
class _Running:
    kind: str
    case: int
    folder: Path
    started: float
    looked: float = 0.0
    used: float = 0.0
    idle: float = 0.0
    peak: float = 0.0
    killed: str = ""

    def look(self, pid: int) -> None:
        """Measure memory and activity of the process; except on Linux, only the time."""
        now = time.monotonic()
        if now - self.looked < _LOOK:
            return
        since, self.looked = now - max(self.looked, self.started), now
        try:
            parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            self.peak = max(self.peak, int(parts[21]) * _PAGE / (1 << 20))
            used = sum(map(int, parts[11:15])) / _TICKS
        except (OSError, IndexError):
            self.used = now - self.started
            return
        if parts[0] in "SDT" and used == self.used:
            self.idle += since
        self.used = used

    @property
    def over(self) -> str:
        if self.peak > MEGABYTES:
            return "memory"
        return "hang" if max(self.used, self.idle) > SECONDS else ""


def serve(plan: Plan) -> Iterator[Outcome]:
    """Run the cases of a plan; yields outcomes as they arrive."""
    with tempfile.TemporaryDirectory(prefix="gest-fuzz-") as name:
        work = Path(name)
        base = prepare(work / "base")
        waiting = list(reversed(plan.cases))
        running: dict[int, _Running] = {}
        try:
            while waiting or running:
                while waiting and len(running) < plan.jobs:
                    kind, case = waiting.pop()
                    folder = work / f"{kind}-{case}"
                    folder.mkdir()
                    room = Room(folder, base, kind, plan.seed, case)
                    started = time.monotonic()
                    running[_start(room)] = _Running(kind, case, folder, started, started)
                for pid, status, used in _ended(running):
                    yield _finished(plan, running.pop(pid), status, used)
        finally:
            for pid in running:
                _end(pid)
                os.waitpid(pid, 0)


def _finished(plan: Plan, one: _Running, status: int, used: resource.struct_rusage) -> Outcome:
    """Judge a case that has ended, and remove its folder."""
    outcome = _outcome(plan.seed, one, status)
    outcome.seconds = round(used.ru_utime + used.ru_stime, 3)
    outcome.megabytes = round(max(one.peak, used.ru_maxrss / _MAXRSS_UNITS), 1)
    if outcome.passed and outcome.megabytes > MEGABYTES:
        outcome.outcome = "memory"
    if plan.keep and not outcome.passed:
        _keep(one.folder, Path(plan.keep))
    _remove(one.folder)
    return outcome


def prepare(folder: Path) -> Base:
    """Write the valid inputs in a separate process, and load them."""
    from napari_gest.model import field

    field.N_STEPS = 20  # enough for a test without accuracy
    warnings.simplefilter("ignore")
    folder.mkdir()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            build(folder)
            _rehearse(Base(folder), folder.with_name("rehearsal"))
            names = "\n".join(sorted(sys.modules))
            folder.with_name(_MODULES).write_text(names, encoding="utf-8")
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("the valid inputs could not be made")
    fork_probes()
    for name in folder.with_name(_MODULES).read_text(encoding="utf-8").split():
        if name not in sys.modules:
            with contextlib.suppress(Exception):  # modules that cannot be imported are not needed
                importlib.import_module(name)
    base = Base(folder)
    base.load()
    gc.collect()
    gc.freeze()  # so that collection in a forked process does not copy every page
    return base


def _rehearse(base: Base, folder: Path) -> None:
    """Do all work once on valid inputs, to find all modules that it imports."""
    room = Room(folder, base, "", 0, 0)
    room.out.mkdir(parents=True)
    for task in tissue.TASKS:
        with contextlib.suppress(GestError):
            task(room, base.adata.copy(), base.sections[0], base.sections)
    for path in (base.folder / "rich.h5ad", base.folder / "rich.zarr"):
        adata = read_tissue(path)
        write_tissue(adata, room.out / path.name)
        tissue.compare(adata, read_tissue(room.out / path.name))
    for name, work in (
        ("region.geojson", geojson.work),
        ("edits.csv", csv.work),
        ("scenario", scenario.work),
        ("model", model.work),
    ):
        work(room, base.folder / name)
        _remove(room.out)
        room.out.mkdir()


# Kilobytes on Linux, bytes on macOS.
_MAXRSS_UNITS = 1024 if sys.platform != "darwin" else 1 << 20


def _start(room: Room) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.setsid()  # so that it can be ended together with its children
        errors = os.open(room.folder / _STDERR, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(errors, 1)
        os.dup2(errors, 2)
        faulthandler.enable(errors)
        _limit()
        os.environ["TMPDIR"] = tempfile.tempdir = str(room.temporary)
        notes = room.folder / _NOTES  # available even if the process is killed
        outcome = run_case(room, KINDS[room.kind], lambda: notes.write_text("\n".join(room.notes)))
        partial = room.folder / f"{_RESULT}.part"
        partial.write_text(json.dumps(asdict(outcome)), encoding="utf-8", errors="replace")
        partial.rename(room.folder / _RESULT)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE
        resource.setrlimit(resource.RLIMIT_AS, (mapped + _ADDRESSES,) * 2)
    except (OSError, ValueError):
        pass  # not on macOS, where only resident memory is measured


def _ended(running: dict[int, _Running]) -> Iterator[tuple[int, int, resource.struct_rusage]]:
    """Yield processes that have ended, after ending those over their limits."""
    time.sleep(0.002)
    for pid, one in list(running.items()):
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            _end(pid)
            yield pid, status, used
            continue
        one.look(pid)
        if one.over and not one.killed:
            one.killed = one.over
            os.kill(pid, signal.SIGABRT)  # faulthandler says where it is
            time.sleep(0.2)
            _end(pid)


def _end(group: int) -> None:
    """End a process and its children, if they still run."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _outcome(seed: int, one: _Running, status: int) -> Outcome:
    notes = _text(one.folder / _NOTES).splitlines()
    if (one.folder / _RESULT).exists() and not one.killed:
        return Outcome(**json.loads(_text(one.folder / _RESULT)))
    said = _text(one.folder / _STDERR).partition("Extension modules:")[0][:4000]
    if one.killed:
        return Outcome(one.kind, seed, one.case, one.killed, said, notes)
    ended = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {status}"
    outcome = "crash" if os.WIFSIGNALED(status) else "suite"
    return Outcome(one.kind, seed, one.case, outcome, f"{ended}\n{said}", notes)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _keep(folder: Path, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(into / folder.name, ignore_errors=True)
    shutil.copytree(folder, into / folder.name, symlinks=True, ignore_dangling_symlinks=True)


def _remove(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Serve the plan on standard input."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # runs the cleanup
    asked = json.load(sys.stdin)
    plan = Plan(**(asked | {"cases": [tuple(case) for case in asked["cases"]]}))
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # other prints do not mix with outcomes
    for outcome in serve(plan):
        out.write(json.dumps(asdict(outcome)) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
