"""What several tests of tasks start from."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData

from napari_gest.model.gest import GeST
from napari_gest.tasks.niches.embed import Embedded, embed_niches
from napari_gest.tasks.perturbation.perturb import Perturbed, PerturbRequest, perturb
from napari_gest.tasks.perturbation.respond import fit_response
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.section import Section


@pytest.fixture
def sections(tissue: AnnData) -> list[Section]:
    return [Section.from_anndata(tissue, name) for name in ("section_1", "section_2")]


@pytest.fixture
def unseen(section: Section) -> np.ndarray:
    centre = section.coords_um.mean(0)
    return np.linalg.norm(section.coords_um - centre, axis=1) < 120


@pytest.fixture
def embedded(sections: list[Section], tiny_model: GeST) -> list[Embedded]:
    return [embed_niches(s, tiny_model) for s in sections]


@pytest.fixture
def roi(section: Section) -> np.ndarray:
    centre = section.coords_um.mean(0)
    return np.linalg.norm(section.coords_um - centre, axis=1) < 80


@pytest.fixture(scope="session")
def responding(_simulated: AnnData, tiny_model: GeST) -> GeST:
    names = ("section_1", "section_2")
    return fit_response(tiny_model, [Section.from_anndata(_simulated, n) for n in names])


@pytest.fixture
def request_(section: Section, responding: GeST, roi: np.ndarray) -> PerturbRequest:
    edits = (Edit("gene_3", "set", 60.0), Edit("gene_7", "multiply", 3.0))
    return PerturbRequest(section, responding, roi, edits, reach_um=100.0)


@pytest.fixture(scope="session")
def effect(_simulated: AnnData, tiny_model: GeST) -> Perturbed:
    section = Section.from_anndata(_simulated, "section_1")
    roi = np.linalg.norm(section.coords_um - section.coords_um.mean(0), axis=1) < 70
    edit = Edit("gene_3", "set", 60.0)
    return perturb(section, tiny_model, roi, [edit], reach_um=60.0, bands_um=(0, 30, 60))
