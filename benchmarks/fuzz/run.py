"""Plans the cases, runs them in the fork server, and reports their outcomes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.fuzz.case import OUTCOMES, Outcome

# One core each; a worker of torch or BLAS would make forking unsafe.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# How often each kind occurs in a round of cases.
SHARES = {
    "h5ad": 4,
    "zarr": 4,
    "geojson": 2,
    "csv": 2,
    "scenario": 2,
    "model": 3,
    "state": 2,
    "session": 2,
    "options": 4,
}


def schedule(n_cases: int, kind: str | None = None) -> list[tuple[str, int]]:
    """Return kind and number of each case; a kind's cases count from 0."""
    if kind is not None:
        return [(kind, case) for case in range(n_cases)]
    most = max(SHARES.values())
    turn = [name for i in range(most) for name, share in SHARES.items() if i < share]
    counted: Counter[str] = Counter()
    cases = []
    for i in range(n_cases):
        name = turn[i % len(turn)]
        cases.append((name, counted[name]))
        counted[name] += 1
    return cases


def run(
    cases: Sequence[tuple[str, int]], seed: int, jobs: int = 1, keep: Path | None = None
) -> Iterator[Outcome]:
    """Run cases in separate processes; yields outcomes as they arrive."""
    plan = {"seed": seed, "cases": list(cases), "jobs": jobs, "keep": keep and str(keep)}
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.fuzz.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | _ONE_THREAD | {"PYTHONPATH": path},
        text=True,
        encoding="utf-8",
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        with server.stdin:
            server.stdin.write(json.dumps(plan))
        for line in server.stdout:
            yield Outcome(**json.loads(line))
        if server.wait():
            raise RuntimeError(f"the fork server ended with status {server.returncode}")
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


@dataclass(frozen=True)
class Report:
    """Outcomes, counted and judged."""

    outcomes: list[Outcome]

    @property
    def failures(self) -> list[Outcome]:
        return [one for one in self.outcomes if not one.passed]

    def rows(self) -> list[list[str]]:
        """Return a row of cells for each kind, and one for all."""
        kinds = list(dict.fromkeys(one.kind for one in self.outcomes))
        rows = [self._row(kind, [o for o in self.outcomes if o.kind == kind]) for kind in kinds]
        return [*sorted(rows), self._row("all", self.outcomes)]

    def _row(self, name: str, outcomes: list[Outcome]) -> list[str]:
        counted = Counter(one.outcome for one in outcomes)
        slowest = max((one.seconds for one in outcomes), default=0.0)
        largest = max((one.megabytes for one in outcomes), default=0.0)
        counts = [f"{counted[what]:,}" for what in OUTCOMES]
        return [name, f"{len(outcomes):,}", *counts, f"{slowest:.1f} s", f"{largest:,.0f} MB"]

    def told(self, most: int = 20) -> str:
        """Return the failures with their reproducers, each cause once."""
        alike: dict[str, list[Outcome]] = {}
        for one in self.failures:
            alike.setdefault(f"{one.outcome} {cause(one)}", []).append(one)
        parts = []
        for key, group in sorted(alike.items(), key=lambda item: -len(item[1]))[:most]:
            first = group[0]
            notes = "; ".join(first.notes)
            parts.append(f"{len(group)} x {key}\n    {first.reproducer}\n    did: {notes}")
        if len(alike) > most:
            parts.append(f"and {len(alike) - most} other causes")
        return "\n".join(parts)

    def write(self, path: Path) -> None:
        """Write every outcome as JSON."""
        path.write_text(json.dumps([asdict(o) for o in self.outcomes], indent=1) + "\n")


HEADINGS = ("kind", "cases", *OUTCOMES, "slowest", "most memory")


def cause(outcome: Outcome) -> str:
    """Return one line that identifies a cause: the last line of our code, and the error."""
    lines = outcome.detail.strip().splitlines()
    if not lines:
        return ""
    if outcome.outcome == "wrong":
        lines = [line for line in lines if "WrongError" in line] or lines[:1]
        return lines[-1][:160]
    frames = [line.strip() for line in lines if "napari_gest" in line and "line" in line]
    if outcome.outcome in ("crash", "hang", "memory") and frames:
        return f"{lines[0][:60]} at {_place(frames[0])}"
    error = next((line for line in reversed(lines) if line and not line.startswith(" ")), "")
    return f"{error[:140]} at {_place(frames[-1])}" if frames else error[:140]


def _place(frame: str) -> str:
    return frame[frame.find("napari_gest") :].replace('"', "")


def collect(
    cases: Sequence[tuple[str, int]],
    seed: int,
    jobs: int = 1,
    keep: Path | None = None,
    say: Callable[[Outcome], None] = lambda outcome: None,
) -> Report:
    """Run cases and return all outcomes; ``say`` is called with each one."""
    outcomes = []
    for outcome in run(cases, seed, jobs, keep):
        outcomes.append(outcome)
        say(outcome)
    return Report(outcomes)
