"""``python -m benchmarks fuzz``: run cases, tabulate them, and print how to repeat failures."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.fuzz.case import Outcome
from benchmarks.fuzz.run import HEADINGS, SHARES, Report, collect, schedule


@dataclass(frozen=True)
class Options:
    """Options of the command."""

    cases: int
    seed: int
    kind: str | None = None
    case: int | None = None
    in_process: bool = False
    jobs: int = 1
    keep: Path | None = None
    json_file: Path | None = None


def run_fuzz(options: Options, console: Console) -> bool:
    """Run the cases and print their outcomes; returns whether all passed.

    Raises
    ------
    KeyError
        If there is no such kind or case.
    """
    cases = _chosen(options)
    if options.in_process:
        report = Report([_here(*cases[0], options.seed)])
    else:
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("Fuzzing", total=len(cases))
            report = collect(
                cases, options.seed, options.jobs, options.keep, lambda _: bar.advance(task)
            )
    table = Table(title=f"Malformed input, seed {options.seed}", title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == "kind" else "right")
    for row in report.rows():
        table.add_row(*row)
    console.print(table)
    if options.case is not None:
        one = report.outcomes[0]
        console.print(f"did: {'; '.join(one.notes)}\n{one.outcome}: {one.detail}", markup=False)
    elif report.failures:
        console.print(report.told(), markup=False, highlight=False)
    if options.json_file:
        report.write(options.json_file)
    return not report.failures


def _chosen(options: Options) -> list[tuple[str, int]]:
    from benchmarks.fuzz.corpus import NAMES

    if options.kind not in (None, "corpus", *SHARES):
        known = ", ".join((*SHARES, "corpus"))
        raise KeyError(f"no kind '{options.kind}'; there are {known}")
    if options.case is not None:
        if options.kind is None:
            raise KeyError("--case belongs to one --kind")
        if options.kind == "corpus" and options.case >= len(NAMES):
            raise KeyError(f"the corpus has {len(NAMES)} cases")
        return [(options.kind, options.case)]
    if options.in_process:
        raise KeyError("--in-process runs one --case")
    n = min(options.cases, len(NAMES)) if options.kind == "corpus" else options.cases
    return schedule(n, options.kind)


def _here(kind: str, case: int, seed: int) -> Outcome:
    """Run one case in this process."""
    from benchmarks.fuzz.case import Room, run_case
    from benchmarks.fuzz.registry import KINDS
    from benchmarks.fuzz.server import prepare

    with tempfile.TemporaryDirectory(prefix="gest-fuzz-") as name:
        base = prepare(Path(name) / "base")
        folder = Path(name) / f"{kind}-{case}"
        folder.mkdir()
        return run_case(Room(folder, base, kind, seed, case), KINDS[kind])
