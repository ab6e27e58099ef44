from __future__ import annotations

import torch

from napari_gest.model.sampling import read_out

P = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]])
MEAN = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 0.0]])
VARIANCE = torch.full((3, 2), 0.04)


def test_pick_takes_the_most_probable() -> None:
    chosen = P.argmax(-1)
    assert chosen.tolist() == [1, 0]
    out = read_out(P, chosen, "pick", MEAN, VARIANCE)
    assert torch.equal(out.expression, MEAN[[1, 0]])
    assert torch.equal(out.meta_cell, chosen)


def test_weighted_is_the_mean_over_p_and_sd_that_of_the_mixture() -> None:
    out = read_out(P, P.argmax(-1), "weighted", MEAN, VARIANCE)
    torch.testing.assert_close(out.expression, P @ MEAN)
    second = P @ (VARIANCE + MEAN**2)
    torch.testing.assert_close(out.sd, (second - (P @ MEAN) ** 2).sqrt())
    torch.testing.assert_close(out.entropy, -(P * P.log()).sum(-1))


def test_a_certain_prediction_has_no_entropy() -> None:
    out = read_out(torch.eye(3), torch.arange(3), "weighted", MEAN, VARIANCE)
    assert (out.entropy == 0).all()
    torch.testing.assert_close(out.sd, VARIANCE.sqrt())
