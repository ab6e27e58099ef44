"""The optimiser of all training: Adam with decoupled weight decay, without torch's compiler."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

_EPSILON = 1e-8


class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, Algorithm 2).

    Creating any optimiser of torch imports torch's compiler, which takes 2.7 s. With Triton it
    also causes a segmentation fault if OpenGL was already drawn in software, because both contain
    LLVM (decision 21).

    Parameters
    ----------
    parameters
        Parameters to optimise, by name.
    decay
        Weight decay.
    betas
        Decay rates of the running means of gradients and of their squares.
    decays
        Names of the parameters with weight decay; all by default.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        decay: float,
        betas: tuple[float, float] = (0.9, 0.999),
        decays: Iterable[bool] | None = None,
    ) -> None:
        self.parameters = list(parameters)
        self.betas = betas
        each = [True] * len(self.parameters) if decays is None else list(decays)
        self.decays = [decay if wanted else 0.0 for wanted in each]
        self.mean = [torch.zeros_like(p) for p in self.parameters]
        self.square = [torch.zeros_like(p) for p in self.parameters]
        self.n_steps = 0

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Follow the gradients at a learning rate, and clear them."""
        self.n_steps += 1
        first, second = self.betas
        to_mean, to_square = 1 - first**self.n_steps, 1 - second**self.n_steps
        state = zip(self.parameters, self.mean, self.square, self.decays, strict=True)
        for p, mean, square, decay in state:
            if p.grad is None:  # this loss does not depend on it
                continue
            mean.lerp_(p.grad, 1 - first)
            square.mul_(second).addcmul_(p.grad, p.grad, value=1 - second)
            p.mul_(1 - rate * decay)
            spread = square.sqrt().div_(math.sqrt(to_square)).add_(_EPSILON)
            p.addcdiv_(mean, spread, value=-rate / to_mean)
            p.grad = None

    def state(self) -> dict[str, Tensor]:
        """Return the running means, by name, for ``load``."""
        kept = {f"mean.{i}": value for i, value in enumerate(self.mean)}
        return kept | {f"square.{i}": value for i, value in enumerate(self.square)}

    def load(self, state: dict[str, Tensor], n_steps: int) -> None:
        """Resume from the state after ``n_steps`` steps.

        Raises
        ------
        KeyError
            If the state belongs to other parameters.
        """
        for i, (mean, square) in enumerate(zip(self.mean, self.square, strict=True)):
            mean.copy_(state[f"mean.{i}"])
            square.copy_(state[f"square.{i}"])
        self.n_steps = n_steps
