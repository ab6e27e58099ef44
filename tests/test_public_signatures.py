"""Public functions spell out what they take."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields
from typing import Any

import pytest

import napari_gest
from napari_gest.tasks.perturbation.dose import DoseRequest
from napari_gest.tasks.perturbation.influence import InfluenceRequest
from napari_gest.tasks.perturbation.respond import ResponseRequest
from napari_gest.tasks.perturbation.significance import SignificanceRequest
from napari_gest.tasks.training.pretrain import PretrainRequest
from napari_gest.tasks.training.train import FitRequest

PUBLIC = {
    name: made
    for name in napari_gest.__all__
    if inspect.isfunction(made := getattr(napari_gest, name))
}
REQUESTS = {
    "annotate": napari_gest.AnnotateRequest,
    "check_generation": napari_gest.CheckRequest,
    "check_map": napari_gest.CheckMapRequest,
    "cluster_niches": napari_gest.ClusterRequest,
    "dose_response": DoseRequest,
    "embed_niches": napari_gest.EmbedRequest,
    "fine_tune": FitRequest,
    "fit": FitRequest,
    "fit_response": ResponseRequest,
    "generate": napari_gest.GenerateRequest,
    "generated_niches": napari_gest.GeneratedNicheRequest,
    "influence": InfluenceRequest,
    "niche_tree": napari_gest.NicheTreeRequest,
    "perturb": napari_gest.PerturbRequest,
    "pretrain": PretrainRequest,
    "significance": SignificanceRequest,
    "train_head": napari_gest.HeadRequest,
}
# Made by the function itself.
OWN = {
    ("fine_tune", "budget"),  # that is fit, which starts from a model too
    ("fine_tune", "model_config"),  # the model's
    ("fine_tune", "start"),  # its parameter model
}
# The request takes what the function finds out where it is not given.
FOUND = {
    ("fit", "model_config"),
    ("fit", "train_config"),
    ("fit", "seed"),
    ("fine_tune", "train_config"),
    ("fine_tune", "seed"),
    ("pretrain", "model_config"),
    ("pretrain", "train_config"),
    ("train_head", "config"),
}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_parameter_is_spelled_out_and_named_in_the_docstring(name: str) -> None:
    function = PUBLIC[name]
    parameters = inspect.signature(function).parameters.values()
    assert not [p for p in parameters if p.kind is p.VAR_KEYWORD]
    assert not [
        p.name for p in parameters if not re.search(rf"\b{p.name}\b", function.__doc__ or "")
    ]


def test_every_function_that_runs_a_request_is_compared_with_it() -> None:
    runs = {
        name for name, made in PUBLIC.items() if "on_progress" in inspect.signature(made).parameters
    }
    assert runs == set(REQUESTS)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_function_takes_what_its_request_does_with_the_same_defaults(name: str) -> None:
    given = inspect.signature(PUBLIC[name]).parameters
    wanted: dict[str, Any] = {field.name: field.default for field in fields(REQUESTS[name])}
    assert set(wanted) - set(given) == {one for function, one in OWN if function == name}
    for field, default in wanted.items():
        if field in given and (name, field) not in FOUND:
            nothing = default is MISSING
            assert given[field].default == (inspect.Parameter.empty if nothing else default), field
