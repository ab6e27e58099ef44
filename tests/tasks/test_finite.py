"""What is not finite leaves no task: each is given a model that computes no numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from napari_gest.errors import ResultError
from napari_gest.model.gest import GeST
from napari_gest.tasks.finite import require_finite
from napari_gest.tasks.generation.generate import GenerateRequest, generate
from napari_gest.tasks.labels.annotate import annotate, train_head
from napari_gest.tasks.niches import cluster
from napari_gest.tasks.niches.cluster import cluster_niches
from napari_gest.tasks.niches.embed import Embedded, embed_niches
from napari_gest.tasks.niches.generated_niches import generated_niches
from napari_gest.tasks.niches.niche_tree import niche_tree
from napari_gest.tasks.perturbation import significance
from napari_gest.tasks.perturbation.dose import dose_response
from napari_gest.tasks.perturbation.influence import influence
from napari_gest.tasks.perturbation.perturb import Perturbed, PerturbRequest, perturb
from napari_gest.tasks.perturbation.respond import fit_response
from napari_gest.tasks.perturbation.significance import SignificanceRequest
from napari_gest.tasks.progress import finish
from napari_gest.tissue.section import Section

NAN = float("nan")


@pytest.fixture
def spoiled(tiny_model: GeST) -> GeST:
    """The tiny model with a NaN in its network."""
    network = copy.deepcopy(tiny_model.network)
    with torch.no_grad():
        network.to_genes.bias[3] = NAN
    return replace(tiny_model, network=network)


@pytest.fixture
def overflowing(tiny_model: GeST) -> GeST:
    """The tiny model with weights that are finite, and too large to compute with."""
    network = copy.deepcopy(tiny_model.network)
    with torch.no_grad():
        network.embed.weight.fill_(3e38)
    return replace(tiny_model, network=network)


def with_components(model: GeST, value: float) -> GeST:
    components = np.full_like(model.tokenizer.components, value)
    return replace(model, tokenizer=replace(model.tokenizer, components=components))


def test_the_first_value_that_is_not_finite_is_named() -> None:
    require_finite("It", one=np.ones(3), two=None, three=1.5, four=np.empty(0), five=[1, 2])
    values = np.array([[1.0, NAN], [np.inf, 2.0]])
    with pytest.raises(ResultError, match="2 of 4 numbers of 'sd'") as caught:
        require_finite("The cells", expression=np.ones(3), sd=values)
    assert caught.value.cause.startswith("The cells cannot be used")
    assert "Nothing was written" in caught.value.remedy
    for value in (NAN, np.inf, -np.inf, torch.tensor([1.0, NAN])):
        with pytest.raises(ResultError):
            require_finite("It", value=value)


@pytest.mark.parametrize("mode", ["weighted", "pick", "sample"])
@pytest.mark.parametrize("which", ["spoiled", "overflowing"])
def test_generation(
    section: Section, unseen: np.ndarray, mode: str, which: str, request: pytest.FixtureRequest
) -> None:
    painted = []
    asked = GenerateRequest(section, request.getfixturevalue(which), unseen, mode=mode, field=0.0)
    with pytest.raises(ResultError, match="generated cells"):
        finish(asked.run(), lambda tick: painted.append(tick.payload))
    assert not painted  # nor is anything shown


def test_the_sections_field(
    section: Section, tiny_model: GeST, unseen: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_gest.model import field

    monkeypatch.setattr(field, "N_STEPS", 1)
    predict = field.SectionField.predict
    monkeypatch.setattr(field.SectionField, "predict", lambda *a: predict(*a) + np.float32(NAN))
    with pytest.raises(ResultError, match="section's field"):
        generate(section, tiny_model, unseen)


@pytest.mark.parametrize("read", ["hidden", "expression"])
def test_embedding_by_the_decoder(section: Section, overflowing: GeST, read: str) -> None:
    with pytest.raises(ResultError, match="niche embedding"):
        embed_niches(section, overflowing, read=read, form="shared")


def test_embedding_of_the_content(section: Section, tiny_model: GeST) -> None:
    with pytest.raises(ResultError, match="niche embedding"):
        embed_niches(section, with_components(tiny_model, NAN))


@pytest.mark.parametrize("make", [cluster_niches, niche_tree])
@pytest.mark.parametrize("value", [NAN, np.inf])
def test_niches(embedded: list[Embedded], make: Callable[..., Any], value: float) -> None:
    wrong = embedded[0].embedding.copy()
    wrong[5, 0] = value
    with pytest.raises(ResultError, match="niche embedding"):
        make([replace(embedded[0], embedding=wrong)])


@pytest.mark.parametrize("make", [cluster_niches, niche_tree])
def test_cells_that_are_all_alike_have_no_niches(
    embedded: list[Embedded], make: Callable[..., Any]
) -> None:
    from napari_gest.errors import InputError

    alike = replace(embedded[0], embedding=np.ones_like(embedded[0].embedding))
    with pytest.raises(InputError, match="same niche embedding"):
        make([alike])


def test_repeated_niches(embedded: list[Embedded], monkeypatch: pytest.MonkeyPatch) -> None:
    kmeans = cluster.kmeans_probability

    def once(features: np.ndarray, k: int, seed: int) -> np.ndarray:
        return kmeans(features, k, seed) * np.float32(1 if seed == 0 else NAN)

    monkeypatch.setattr(cluster, "kmeans_probability", once)
    with pytest.raises(ResultError, match="repeated niches"):
        cluster_niches(embedded[:1], 3, method="kmeans", smoothing=0.0, repeats=1)


def test_labels(section: Section, tiny_model: GeST) -> None:
    labels = np.where(section.coords_um[:, 0] < 200, "left", "right").astype(object)
    model = train_head(tiny_model, [section], [labels])
    assert model.head is not None
    wrong = replace(model.head, weight=np.full_like(model.head.weight, NAN))
    with pytest.raises(ResultError, match="labels"):
        annotate(section, replace(model, head=wrong))
    with pytest.raises(ResultError, match="embedding"):
        train_head(with_components(tiny_model, NAN), [section], [labels])


def test_the_response(section: Section, spoiled: GeST) -> None:
    with pytest.raises(ResultError, match="predictions"):
        fit_response(spoiled, [section])


@pytest.mark.parametrize("readout", ["response", "generation"])
def test_perturbation(
    section: Section, spoiled: GeST, request_: PerturbRequest, readout: str
) -> None:
    with pytest.raises(ResultError):
        perturb(section, spoiled, request_.roi, request_.edits, readout=readout, reach_um=60.0)


def test_a_response_with_slopes_of_no_numbers(request_: PerturbRequest) -> None:
    head = request_.model.response
    assert head is not None
    wrong = replace(head, cross=head.cross * np.float32(NAN))
    with pytest.raises(ResultError, match="The effect"):
        finish(replace(request_, response=wrong).run())


def _answering(effect: Perturbed, value: float) -> Perturbed:
    """The effect, with what answered for it gone wrong since."""

    class Wrong(type(effect.predictor)):  # type: ignore[misc]
        def expression(self, edited: Any, stage: str) -> Any:
            made = yield from super().expression(edited, stage)
            return made * np.float32(value)

    return replace(effect, predictor=Wrong(**vars_of(effect.predictor)))


def vars_of(predictor: Any) -> dict[str, Any]:
    return {name: getattr(predictor, name) for name in predictor.__dataclass_fields__}


def test_doses_and_tests(effect: Perturbed) -> None:
    wrong = _answering(effect, NAN)
    with pytest.raises(ResultError, match=r"at strength 0\.5"):
        dose_response(wrong, (0.5, 1.0))
    with pytest.raises(ResultError, match="The test"):
        finish(SignificanceRequest(wrong, n_permutations=19).run())


def test_a_statistic_that_is_not_finite_is_no_small_p(
    effect: Perturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = significance.exchange

    def wrong(*arguments: Any) -> Any:
        found, drawn = yield from exchange(*arguments)
        return found * NAN, drawn

    monkeypatch.setattr(significance, "exchange", wrong)
    with pytest.raises(ResultError, match="'statistic'"):
        finish(SignificanceRequest(effect, n_permutations=19).run())


def test_influence(section: Section, spoiled: GeST) -> None:
    with pytest.raises(ResultError, match="influence"):
        influence(section, spoiled, 40)


def test_niches_of_generated_cells(section: Section, tiny_model: GeST, unseen: np.ndarray) -> None:
    made = generate(section, tiny_model, unseen, field=0.0)
    model = with_components(tiny_model, NAN)
    embedded = replace(
        embed_niches(section, tiny_model),
        settings={"model": model.name, "model_digest": model.digest},
    )
    with pytest.raises(ResultError, match="niche embedding"):
        generated_niches(made, model, embedded)
