"""Kinds to write, and both ways of replacing folders."""

from __future__ import annotations

import pytest
from folders import THING

from napari_gest.files import TEXT, FileKind, FolderKind, swap


@pytest.fixture
def thing() -> FolderKind:
    """A kind of folder: ``thing.json`` and ``more.txt``."""
    return THING


@pytest.fixture
def text() -> FileKind:
    return TEXT


@pytest.fixture(params=["exchange", "two renames"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Replace folders in one step, as Linux can, and in two, as elsewhere."""
    if request.param == "two renames":
        monkeypatch.setattr(swap, "_exchange", lambda one, other: False)
    return request.param
