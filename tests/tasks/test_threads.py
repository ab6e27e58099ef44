from __future__ import annotations

import os

import pytest
import torch

from napari_gest.tasks.threads import share_processors


@pytest.mark.parametrize(("processors", "expected"), [(1, 1), (2, 1), (8, 4), (None, 1)])
def test_torch_takes_half(
    monkeypatch: pytest.MonkeyPatch, processors: int | None, expected: int
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    try:
        share_processors()
        assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)
