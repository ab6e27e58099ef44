"""A training that ends in time: how many steps fit into what is left of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from napari_gest.tasks.training.train_config import TrainConfig

_USED = 0.94  # of what is left: a machine slows down more often than it speeds up
_OVERRUN = 0.05  # of the budget: a plan is left before its end only where it misses by more
_TEMPERATURE = 4.5  # validations that learning the temperature takes: it looks at four turns
_SAVING = 1.0  # seconds that writing the model takes, and whatever comes with it
LEAST, MOST = 10.0, 7 * 24 * 3600.0  # seconds that can be asked for


@dataclass(frozen=True)
class Budget:
    """Wall time for a training, from reading its tissue to the model on disk.

    Attributes
    ----------
    seconds
        How long it may take.
    began
        When its clock started, as ``clock`` has it; by default when this is made.
    clock
        Tells the time in seconds.
    """

    seconds: float
    began: float | None = None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        if self.began is None:
            object.__setattr__(self, "began", self.clock())

    @property
    def left(self) -> float:
        """Seconds that are left now."""
        assert self.began is not None
        return self.began + self.seconds - self.clock()

    def plan(self, config: TrainConfig, step_s: float, validation_s: float) -> TrainConfig:
        """Return the training whose steps fit into what is left.

        Parameters
        ----------
        config
            The training that was asked for; one of fewer steps stays as it is.
        step_s, validation_s
            What a step and a validation take here.
        """
        left = _USED * (self.left - _SAVING - _TEMPERATURE * validation_s)
        # Every plan has at least four validations, and long ones have more.
        per_step = step_s + validation_s / config.validate_every
        n_steps = min((left - 4 * validation_s) / step_s, left / per_step)
        return of_length(config, max(1, min(config.n_steps, int(n_steps))))

    def over(self, validation_s: float) -> bool:
        """Whether what must still be done would take much longer than what is left."""
        return self.left + _OVERRUN * self.seconds < _SAVING + (1 + _TEMPERATURE) * validation_s


def of_length(config: TrainConfig, n_steps: int) -> TrainConfig:
    """Return the same training with another number of steps.

    A short one is validated more often and warms up sooner, as its length alone decides: the same
    number of steps is the same training.
    """
    quarter = max(1, n_steps // 4)
    return config.model_copy(
        update={
            "n_steps": n_steps,
            "validate_every": min(config.validate_every, quarter),
            "warmup": min(config.warmup, quarter),
        }
    )


def planned_before(config: TrainConfig, settings: Mapping[str, Any]) -> TrainConfig:
    """Return a training with the length that the settings of a state say, where they do.

    A plan is kept: a training that was cut off goes on with the steps it was to have.
    """
    training = settings.get("training")
    said = training.get("n_steps") if isinstance(training, Mapping) else None
    return of_length(config, said) if isinstance(said, int) and said > 0 else config


def process_began() -> float:
    """Return when this process began, as ``time.monotonic`` has it, so that imports count."""
    return time.monotonic() - max(0.0, time.time() - psutil.Process().create_time())
