"""Settings of a model: refused where they cannot be, and stored as they are."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import bundled_models


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"d_model": 30}, "multiple of 4"),
        ({"d_model": 64, "n_heads": 5}, "of n_heads"),
        ({"n_layers": 0}, "n_layers"),
        ({"dropout": 1.0}, "dropout"),
        ({"profiles": "raw"}, "profiles"),
        ({"depth": 3}, "depth"),
    ],
)
def test_impossible_shapes_are_refused(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        ModelConfig(**settings)


def test_json_and_back_is_the_same() -> None:
    config = ModelConfig(n_layers=5, n_heads=5, d_model=160, profiles="paper", window_um=380.5)
    assert ModelConfig.model_validate(json.loads(json.dumps(config.model_dump()))) == config


@pytest.mark.parametrize("name", bundled_models())
def test_bundled_models_say_all_their_settings(name: str) -> None:
    """Or a changed default would change them."""
    about = json.loads((bundled_models()[name] / "config.json").read_text())
    assert set(about["config"]) == set(ModelConfig.model_fields)
    json.dumps(about, allow_nan=False)  # strict readers refuse NaN
