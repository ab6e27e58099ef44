"""How a model is trained: what is asked for is possible, and stays as it is."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from napari_gest.tasks.training.train_config import TrainConfig


def test_a_state_of_before_the_hierarchy_could_be_left_out_is_the_same_training():
    assert "hierarchy" not in TrainConfig().model_dump(mode="json")
    assert TrainConfig(hierarchy=False).model_dump()["hierarchy"] is False


def test_the_usual_is_possible_and_frozen():
    config = TrainConfig()
    assert config == TrainConfig.model_validate(config.model_dump())
    with pytest.raises(ValidationError, match="frozen"):
        config.n_steps = 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_steps", 0), ("batch_windows", 1025), ("targets", 0), ("learning_rate", 0.0),
        ("weight_decay", -1e-9), ("ema_decay", 1.0), ("cell_dropout", 1.0), ("order", "spiral"),
        ("hole_radius", -1.0), ("expression_weight", float("nan")), ("validation_share", 0.5),
        ("validate_every", 0), ("patience", 0), ("unknown", 1),
    ],
)  # fmt: skip
def test_what_is_not_possible_is_named(field, value):
    with pytest.raises(ValidationError, match=field):
        TrainConfig(**{field: value})
