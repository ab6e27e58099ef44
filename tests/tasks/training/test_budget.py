"""A training that ends in time, by a clock that the test turns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from training import MODEL, SHORT, same

from napari_gest.errors import InputError
from napari_gest.tasks.progress import Progress, finish
from napari_gest.tasks.training.budget import Budget, of_length, planned_before, process_began
from napari_gest.tasks.training.train import FitRequest, TrainConfig, fit
from napari_gest.tissue.section import Section


class Clock:
    """Goes on by so much each time it is read."""

    def __init__(self, tick: float) -> None:
        self.now, self.tick = 0.0, tick

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


def test_what_is_planned_fits_into_what_is_left() -> None:
    budget = Budget(60, 0.0, lambda: 10.0)
    long = TrainConfig(n_steps=100_000)
    plan = budget.plan(long, step_s=0.2, validation_s=0.5)
    spent = plan.n_steps * 0.2 + 0.5 * -(-plan.n_steps // plan.validate_every)
    assert 0.85 * 50 < spent + 1 + 4 * 0.5 < 50
    assert budget.plan(TrainConfig(n_steps=30), 0.2, 0.5) == of_length(TrainConfig(), 30)
    assert Budget(60, 0.0, lambda: 59.9).plan(long, 0.2, 0.5).n_steps == 1


def test_a_length_alone_decides_how_a_training_goes() -> None:
    config = TrainConfig()
    assert of_length(config, 400) == config
    assert of_length(config, 4000) == config.model_copy(update={"n_steps": 4000})
    short = of_length(config, 40)
    assert (short.n_steps, short.validate_every, short.warmup) == (40, 10, 10)
    assert of_length(config, 1).validate_every == 1


def test_the_steps_that_were_planned_give_the_same_model_again(sections: list[Section]) -> None:
    config = SHORT.model_copy(update={"n_steps": 1000, "validate_every": 50, "patience": 100})
    request = FitRequest(sections, MODEL, config, 1, budget=Budget(10, 0.0, Clock(0.05)))
    timed = finish(request.run()).model
    n_steps = timed.card["training"]["n_steps"]
    assert 1 < n_steps < 1000
    assert timed.card["curve"][-1]["step"] == n_steps
    assert timed.card["budget_s"] == 10
    again = fit(sections, MODEL, of_length(config, n_steps), seed=1)
    assert same(timed, again)
    assert again.card["budget_s"] is None


def test_a_machine_that_slows_down_ends_it_before_its_plan(sections: list[Section]) -> None:
    clock = Clock(0.05)
    config = SHORT.model_copy(update={"n_steps": 1000, "patience": 100})
    taken = []

    def slow_down(tick: Progress) -> None:
        taken.append(tick.done)
        if tick.done == 3:
            clock.tick = 3.0

    request = FitRequest(sections, MODEL, config, 0, budget=Budget(10, 0.0, clock))
    fitted = finish(request.run(), slow_down)
    assert fitted.curve[-1]["step"] == taken[-1] < 10
    assert fitted.model.card["training"]["n_steps"] > 20


def test_a_training_that_was_cut_off_keeps_its_plan(
    sections: list[Section], tmp_path: Path
) -> None:
    config = SHORT.model_copy(update={"n_steps": 1000, "patience": 100})
    request = FitRequest(
        sections, MODEL, config, 0, checkpoint_dir=tmp_path / "state", budget=Budget(
            10, 0.0, Clock(0.05)
        )
    )  # fmt: skip
    work = request.run()
    for tick in work:
        if tick.payload and tick.done:  # the first validation, which leaves a state
            break
    work.close()
    planned = tick.total
    resumed = finish(replace(request, budget=Budget(1000)).run())
    assert resumed.curve[-1]["step"] == planned
    assert planned_before(config, {"training": {"n_steps": planned}}).n_steps == planned
    assert planned_before(config, {}) == config


@pytest.mark.parametrize("seconds", [0, 5, float("nan"), -60])
def test_a_budget_that_nothing_fits_into_is_refused(
    sections: list[Section], seconds: float
) -> None:
    with pytest.raises(InputError, match="budget is"):
        fit(sections, MODEL, SHORT, budget=seconds)


def test_imports_count() -> None:
    assert Budget(100, process_began()).left < 100
