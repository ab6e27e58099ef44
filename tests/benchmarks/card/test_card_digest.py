"""What a result depends on: code that was called, and nothing that changes no number."""

from __future__ import annotations

import pytest

from benchmarks.card.digest import code_digest, counts, module_digests, recorded, used

CODE = '''"""A module."""

import os  # for paths

LIMIT = 3


def double(x):
    """Return twice x."""
    text = "# not a comment"
    return 2 * x  # doubled
'''


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("# doubled", "# twice", True),
        ('"""A module."""', '"""Another\n\ntext."""', True),
        ('    """Return twice x."""\n', "", True),
        ("LIMIT = 3\n", "LIMIT = 3\n\n\n", True),
        ("2 * x", "3 * x", False),
        ("LIMIT = 3", "LIMIT = 4", False),
        ("# not a comment", "# no comment", False),
        ("    return", "    if x:\n        return", False),
    ],
)
def test_a_digest_is_of_code_alone(old: str, new: str, same: bool) -> None:
    assert old in CODE
    assert (code_digest(CODE) == code_digest(CODE.replace(old, new))) == same


def test_what_is_called_is_recorded_and_what_is_imported_is_not() -> None:
    import torch

    import benchmarks.generation.realism  # noqa: F401
    from benchmarks.common.metrics import rmse
    from napari_gest.model.loss import hierarchical_loss

    with recorded() as modules:
        rmse(torch.ones(2, 2).numpy(), torch.ones(2, 2).numpy())
    assert "benchmarks.common.metrics" in modules
    assert "napari_gest.model.loss" not in modules
    assert "benchmarks.generation.realism" not in modules
    with recorded() as modules:
        hierarchical_loss(torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), torch.zeros(2, 0))
    assert "napari_gest.model.loss" in modules


def test_who_gives_a_constant_or_a_class_is_used_too() -> None:
    found = used(["napari_gest.tasks.training.train_loop"])
    assert "napari_gest.tasks.training.train_config" in found  # its defaults
    assert "napari_gest.model.config" in found
    assert not any(name.startswith("napari_gest.files") for name in found)


def test_the_card_itself_does_not_count_but_what_measures_does() -> None:
    assert not counts("benchmarks.card.render")
    assert counts("benchmarks.card.measure")
    assert counts("napari_gest.model.decoder")
    assert not counts("napari_gest.files.writing")


def test_a_module_that_is_gone_has_no_digest() -> None:
    assert module_digests(["napari_gest.nothing"]) == {"napari_gest.nothing": ""}
