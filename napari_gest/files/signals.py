"""Signals: delayed while a block must not be interrupted, and turned into exceptions."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# Windows has no SIGHUP, other systems no SIGBREAK.
_ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class Terminated(KeyboardInterrupt):
    """The process was asked to end, by SIGTERM or because its terminal was closed.

    Parameters
    ----------
    number
        Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def held() -> Iterator[None]:
    """Delay Ctrl-C, SIGTERM and SIGHUP until the block has ended, then handle the first one.

    An exception raised while HDF5 or zarr writes can crash the interpreter, and one between two
    renames would leave a folder without its name. Only the main thread gets signals, so in other
    threads this does nothing. Signals whose handlers are not Python's are not delayed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    before: dict[signal.Signals, Callable[[int, FrameType | None], Any]] = {}
    try:
        for number in _numbers(_ENDING):
            handler = signal.getsignal(number)
            if callable(handler):
                before[number] = handler
                signal.signal(number, lambda number, _: caught.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if caught:
            before[signal.Signals(caught[0])](caught[0], None)


@contextmanager
def terminating() -> Iterator[None]:
    """Raise ``Terminated`` on SIGTERM and SIGHUP inside the block, so that files are cleaned up.

    A signal that is ignored stays ignored, as SIGHUP under nohup. Outside the main thread this
    does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        raise Terminated(number)

    changed = [n for n in _numbers(_ENDING[1:]) if signal.getsignal(n) is signal.SIG_DFL]
    try:
        for number in changed:
            signal.signal(number, stop)
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def as_usual() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the process at once again, inside ``terminating``."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _numbers(_ENDING[1:])}
    before = {number: handler for number, handler in before.items() if callable(handler)}
    try:
        for number in before:
            signal.signal(number, signal.SIG_DFL)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _numbers(names: tuple[str, ...]) -> list[signal.Signals]:
    return [getattr(signal, name) for name in names if hasattr(signal, name)]
