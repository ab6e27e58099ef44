from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from napari_gest.memory import give_back, one_heap


def test_it_asks_glibc_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Library:
        def __init__(self, name: str | None) -> None:
            assert name is None

        def malloc_trim(self, kept: int) -> int:
            asked.append(kept)
            return 1

        def mallopt(self, option: int, value: int) -> int:
            asked.append((option, value))
            return 1

    monkeypatch.setattr(ctypes, "CDLL", Library)
    assert give_back()
    assert one_heap()
    assert asked == [0, (-8, 1)]


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_another_library_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def library(name: str | None) -> None:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", library)
    assert not give_back()
    assert not one_heap()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has heaps of threads")
def test_threads_share_a_heap() -> None:
    program = """
import ctypes, sys, threading
from napari_gest.memory import one_heap
if sys.argv[1] == "one":
    assert one_heap()
ready = threading.Barrier(5)
def work():
    kept = [bytearray(4000) for _ in range(1000)]
    ready.wait()
threads = [threading.Thread(target=work) for _ in range(4)]
for one in threads: one.start()
ready.wait()
for one in threads: one.join()
print(ctypes.CDLL(None).malloc_stats())
"""
    heaps = {}
    for which in ("one", "many"):
        done = subprocess.run(
            [sys.executable, "-c", program, which], capture_output=True, text=True, check=True
        )
        heaps[which] = done.stderr.count("Arena ")
    assert heaps["one"] == 1
    assert heaps["many"] > 1
