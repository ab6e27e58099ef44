from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_gest import cli
from napari_gest.errors import InputError
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.seeds import MAX_SEED, check_seed
from napari_gest.tasks.generation.generate import GenerateRequest
from napari_gest.tasks.niches.cluster import ClusterRequest, cluster_niches
from napari_gest.tasks.niches.embed import embed_niches
from napari_gest.tasks.niches.niche_tree import NicheTreeRequest
from napari_gest.tasks.perturbation.influence import InfluenceRequest
from napari_gest.tasks.perturbation.perturb import PerturbRequest
from napari_gest.tasks.perturbation.scenario import Settings
from napari_gest.tasks.training.pretrain import PretrainRequest
from napari_gest.tasks.training.train import FitRequest, TrainConfig
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.programme import simulate_programme
from napari_gest.tissue.section import Section
from napari_gest.tissue.simulate import simulate

BAD = [-1, 2**32, 2**64, 1.0, "1", None, True]


@pytest.mark.parametrize("seed", BAD)
def test_a_seed_is_a_whole_number_of_32_bits(seed: Any) -> None:
    with pytest.raises(InputError, match="seed is"):
        check_seed(seed)


def test_the_ends_of_the_range_are_seeds() -> None:
    for seed in (0, np.int64(5), MAX_SEED):
        check_seed(seed)


@pytest.mark.parametrize("seed", [2**32, -1])
def test_every_request_checks_its_seed(section: Section, tiny_model: GeST, seed: int) -> None:
    some = np.arange(section.n_obs) < 20
    embedded = [embed_niches(section, tiny_model)]
    requests = [
        GenerateRequest(section, tiny_model, some, seed=seed),
        PerturbRequest(section, tiny_model, some, (Edit("gene_3", "set", 9.0),), seed=seed),
        ClusterRequest(embedded, 4, seed=seed),
        NicheTreeRequest(embedded, seed=seed),
        InfluenceRequest(section, tiny_model, 0, seed=seed),
        FitRequest([section], ModelConfig(), TrainConfig(), seed),
        PretrainRequest([section], seed=seed),
    ]
    for request in requests:
        with pytest.raises(InputError, match=f"The seed is {seed}"):
            request.check()
        replace(request, seed=0).check()
    with pytest.raises(ValueError, match="seed"):
        Settings(model="m", section="s", seed=seed)
    for make in (simulate, simulate_programme):
        with pytest.raises(InputError, match=f"The seed is {seed}"):
            make(100, 80, 1, seed)


def test_seeds_after_the_first_stay_in_the_range(section: Section, tiny_model: GeST) -> None:
    embedded = [embed_niches(section, tiny_model)]
    with pytest.raises(InputError, match="3 more after it"):
        ClusterRequest(embedded, 4, seed=MAX_SEED, repeats=3).check()
    assert cluster_niches(embedded, 4, method="kmeans", seed=MAX_SEED).n_niches == 4


def test_the_command_line_names_the_range() -> None:
    result = CliRunner().invoke(cli.app, ["simulate", "out.h5ad", "--seed", str(2**32)])
    assert result.exit_code == 2
    assert str(MAX_SEED) in result.output
