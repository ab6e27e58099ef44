"""Output of the command line: progress and fields."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

if TYPE_CHECKING:
    from napari_gest.tasks.progress import Progress

R = TypeVar("R")


def run(work: Generator[Progress, None, R]) -> R:
    """Run a task to its end with its progress on stderr."""
    from napari_gest.tasks.progress import finish
    from napari_gest.tasks.threads import share_processors

    share_processors()
    with progress() as show:
        return finish(work, show)


@contextmanager
def progress() -> Generator[Callable[[Progress], None]]:
    """Yield a function that shows progress: a bar on a terminal, otherwise a line per tenth."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, TextColumn("{task.fields[eta]}"), console=console) as bar:
        tasks: dict[str, Any] = {}

        def show(tick: Progress) -> None:
            if tick.stage not in tasks:
                tasks[tick.stage] = bar.add_task(tick.stage, total=tick.total, eta="")
            bar.update(tasks[tick.stage], completed=tick.done, total=tick.total, eta=_eta(tick))

        yield show


class Lines:
    """Progress for a log file."""

    def __init__(self) -> None:
        self.shown: tuple[str, int] | None = None

    def __call__(self, tick: Progress) -> None:
        now = (tick.stage, 10 * tick.done // max(tick.total, 1))
        if now != self.shown:
            self.shown = now
            say(f"{tick.stage} {tick.done}/{tick.total} {_eta(tick)}".rstrip())


def _eta(tick: Progress) -> str:
    if tick.eta_s is None or tick.done >= tick.total:
        return ""
    minutes, seconds = divmod(round(tick.eta_s), 60)
    return f"{minutes}:{seconds:02d} left"


def tolerate_encodings() -> None:
    """Let both streams show what their encoding lacks as escapes, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Print a message on stderr; where nobody reads it any more, it is lost and nothing else is."""
    _tell(text, sys.stderr)


def tell(text: str = "") -> None:
    """Print what was found on stdout, as ``say``: results are in files."""
    _tell(text, sys.stdout)


def _tell(text: str, stream: TextIO | None) -> None:
    if stream is None:  # a program without a terminal
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = text.encode(encoding, "backslashreplace").decode(encoding)
    try:
        print(text, file=stream, flush=True)
    except (OSError, ValueError):  # a closed pipe, a full disk, a closed file
        # What is left in the buffer would raise again when Python ends.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def print_fields(title: str, fields: dict[str, Any]) -> None:
    """Print fields that fit on one line; lists and tables are in the whole card."""
    print(title)
    for key, value in fields.items():
        if key != "name" and isinstance(value, str | int | float):
            print(f"  {key:14}{value}")
