"""The temperature of p(meta cell): found where it is known, and worth its log loss."""

from __future__ import annotations

import pytest
import torch

from napari_gest.model.temperature import best_temperature, log_loss


def overconfident(factor: float, n: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits (1, n, 8) that are ``factor`` times those that the targets come from."""
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(n, 8, generator=random) * 1.5
    target = torch.multinomial(logits.softmax(-1), 1, generator=random)[:, 0]
    return factor * logits[None], target


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.6, 2.5])
def test_the_temperature_is_found(factor: float) -> None:
    logits, target = overconfident(factor)
    halves = [logits[:, :1000], logits[:, 1000:]], [target[:1000], target[1000:]]
    found = best_temperature(*halves)
    assert found == pytest.approx(factor, rel=0.08)
    assert log_loss(logits, target, found) <= log_loss(logits, target, 1.0)


def test_it_stays_within_its_bounds() -> None:
    logits, target = overconfident(50.0)
    assert best_temperature([logits], [target]) == pytest.approx(3.0, abs=0.01)


def test_a_few_cells_teach_nothing() -> None:
    logits, target = overconfident(2.0, 49)
    assert best_temperature([logits], [target]) == 1.0


def test_symmetries_are_averaged_as_probabilities() -> None:
    logits = torch.tensor([[[2.0, 0.0]], [[0.0, 2.0]]])
    assert log_loss(logits, torch.tensor([0]), 1.0) == pytest.approx(0.6931, abs=1e-4)
