"""What a model folder says of itself: read without torch, each fault named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from napari_gest.errors import CheckpointError
from napari_gest.model.about import CONFIG, read_about, shortened
from napari_gest.model.gest import GeST


@pytest.fixture
def folder(tiny_model: GeST, tmp_path: Path) -> Path:
    return tiny_model.save(tmp_path / "model")


def test_it_is_what_was_saved(folder: Path, tiny_model: GeST) -> None:
    about = read_about(folder)
    assert about.genes == tiny_model.genes
    assert about.config == tiny_model.config
    assert about.emission == tiny_model.emission


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("genes", ["a", "a"], "'a' is there twice"),
        ("target_sum", 0, "target_sum"),
        ("name", "two\nlines", "name"),
        ("emission", {"tilt": -1}, "emission.tilt"),
        ("emission", {"unknown": 1}, "emission.unknown"),
        ("card", [], "card"),
        ("format", 99, "newer version"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, field: str, value: Any, named: str) -> None:
    told = json.loads((folder / CONFIG).read_text())
    told[field] = value
    (folder / CONFIG).write_text(json.dumps(told))
    with pytest.raises(CheckpointError, match=named):
        read_about(folder)


def test_a_model_of_before_draws_as_by_default(folder: Path) -> None:
    told = json.loads((folder / CONFIG).read_text())
    del told["emission"]
    (folder / CONFIG).write_text(json.dumps(told))
    assert read_about(folder).emission.tilt == 1.0


def test_values_are_shown_short_and_on_one_line() -> None:
    assert shortened("a\nb" * 100).startswith("a?ba?b")
    assert len(shortened("x" * 1000)) == 60
    assert shortened(list(range(1000))) == "a list of 1000"
