"""Settings of a model: refused where they cannot be, and stored as they are."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST, bundled_bases, bundled_models


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"d_model": 30}, "multiple of 4"),
        ({"d_model": 64, "n_heads": 5}, "of n_heads"),
        ({"n_layers": 0}, "n_layers"),
        ({"dropout": 1.0}, "dropout"),
        ({"profiles": "raw"}, "profiles"),
        ({"position_code": "none"}, "position_code"),
        ({"depth": 3}, "depth"),
    ],
)
def test_impossible_shapes_are_refused(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        ModelConfig(**settings)


def test_json_and_back_is_the_same() -> None:
    config = ModelConfig(n_layers=5, n_heads=5, d_model=160, profiles="paper", window_um=380.5)
    assert ModelConfig.model_validate(json.loads(json.dumps(config.model_dump()))) == config


def test_what_came_later_is_told_only_where_it_differs() -> None:
    usual, other = ModelConfig(), ModelConfig(position_code="ones", pooled_context=False)
    assert not ModelConfig.later & set(usual.model_dump())
    assert ModelConfig.later <= set(other.model_dump())
    for config in (usual, other):
        assert ModelConfig.model_validate_json(config.model_dump_json()) == config


# Made before any field came later: such a field must not change what is known of a model.
DIGESTS = {
    "gest-base": "d386fa62b246240c02369d4af9afb78a",
    "human-breast-xenium": "986b338c6f6730d1af21e6da03f4d53a",
    "mouse-preoptic-merfish": "1962af455f5a0ce22893e44710c25257",
}


@pytest.mark.parametrize("name", bundled_models() | bundled_bases())
def test_bundled_models_keep_their_digest(name: str) -> None:
    """It is stored with what a model has made, and tells whether that is stale."""
    assert GeST.load(name).digest == DIGESTS[name]


@pytest.mark.parametrize("name", bundled_models())
def test_bundled_models_say_all_their_settings(name: str) -> None:
    """Or a changed default would change them."""
    about = json.loads((bundled_models()[name] / "config.json").read_text())
    assert set(about["config"]) == set(ModelConfig.model_fields) - ModelConfig.later
    json.dumps(about, allow_nan=False)  # strict readers refuse NaN
