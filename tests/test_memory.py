from __future__ import annotations

import ctypes

import pytest

from napari_gest.memory import give_back


def test_it_asks_glibc_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Library:
        def __init__(self, name: str | None) -> None:
            assert name is None

        def malloc_trim(self, kept: int) -> int:
            asked.append(kept)
            return 1

    monkeypatch.setattr(ctypes, "CDLL", Library)
    assert give_back()
    assert asked == [0]


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_another_library_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def library(name: str | None) -> None:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", library)
    assert not give_back()
