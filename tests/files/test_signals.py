"""Signals wait while something is written, then act; a program that is ended says so."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from folders import fill

from napari_gest.files import (
    FolderKind,
    Terminated,
    as_usual,
    held,
    recorded,
    replacing,
    terminating,
)
from napari_gest.files.writing import swap

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals"),
    pytest.mark.usefixtures("signals"),
]


def test_ctrl_c_waits(tmp_path: Path) -> None:
    done = []

    def work() -> None:
        with held():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            done.append("to the end")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["to the end"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_matters_more_than_an_error() -> None:
    def work() -> None:
        with held():
            os.kill(os.getpid(), signal.SIGINT)
            raise RuntimeError("because of it")

    with pytest.raises(KeyboardInterrupt):
        work()


def test_within_another_it_waits_for_the_outer() -> None:
    done = []

    def work() -> None:
        with held():
            with held():
                os.kill(os.getpid(), signal.SIGINT)
            done.append("to the end")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done


def test_other_threads_hold_nothing() -> None:
    def work() -> None:
        with held(), terminating(), as_usual():
            handlers.append(signal.getsignal(signal.SIGINT))

    handlers: list[object] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_end_that_was_asked_for_is_an_exception(number: signal.Signals) -> None:
    def work() -> None:
        with terminating():
            os.kill(os.getpid(), number)

    with pytest.raises(Terminated) as caught:
        work()
    assert caught.value.number == number
    assert signal.getsignal(number) is signal.SIG_DFL


def test_what_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with terminating():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_window_is_ended_as_usual() -> None:
    with terminating():
        ours = signal.getsignal(signal.SIGTERM)
        with as_usual():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is ours


def test_ctrl_c_during_the_exchange_comes_after_it(
    tmp_path: Path, thing: FolderKind, either_way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = swap.take_name

    def interrupted(*args: Path, overwrite: bool) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        take(*args, overwrite=overwrite)
        os.kill(os.getpid(), signal.SIGINT)

    def write(content: str) -> None:
        with replacing(tmp_path / "x", thing, overwrite=True) as folder:
            fill(folder, content)

    write("old")
    monkeypatch.setattr(swap, "take_name", interrupted)
    with recorded() as outputs, pytest.raises(KeyboardInterrupt):
        write("new")
    assert (tmp_path / "x" / "more.txt").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    assert list(outputs) == [tmp_path / "x"]  # so nobody is told that nothing was written
