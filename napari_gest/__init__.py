"""GeST, a generative transformer for spatial transcriptomics, in napari.

Public names load on first use, so importing the package loads neither torch nor napari.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "AnnotateRequest": "tasks.labels.annotate",
    "Annotated": "tasks.labels.annotate",
    "Base": "model.gest",
    "CellTypes": "tasks.generation.cell_types",
    "Check": "tasks.generation.check_report",
    "CheckMap": "tasks.generation.check_map_report",
    "CheckMapRequest": "tasks.generation.check_map",
    "CheckRequest": "tasks.generation.check",
    "CheckpointError": "errors",
    "ClusterRequest": "tasks.niches.cluster",
    "Clustered": "tasks.niches.niches",
    "Edit": "tissue.edits",
    "EmbedRequest": "tasks.niches.embed",
    "Embedded": "tasks.niches.embed",
    "EmissionConfig": "model.config",
    "GeST": "model.gest",
    "GenerateRequest": "tasks.generation.generate",
    "Generated": "tasks.generation.generate",
    "GeneratedNicheRequest": "tasks.niches.generated_niches",
    "GeneratedNiches": "tasks.niches.generated_niches",
    "HeadConfig": "tasks.labels.annotate",
    "HeadRequest": "tasks.labels.annotate",
    "InputError": "errors",
    "NicheTree": "tasks.niches.niche_tree",
    "NicheTreeRequest": "tasks.niches.niche_tree",
    "PerturbRequest": "tasks.perturbation.perturb",
    "Perturbed": "tasks.perturbation.perturb",
    "Roi": "tissue.roi",
    "Scenario": "tasks.perturbation.scenario",
    "Section": "tissue.section",
    "annotate": "tasks.labels.annotate",
    "bundled_bases": "model.gest",
    "bundled_models": "model.gest",
    "check_generation": "tasks.generation.check",
    "check_map": "tasks.generation.check_map",
    "cluster_niches": "tasks.niches.cluster",
    "dose_response": "tasks.perturbation.dose",
    "embed_niches": "tasks.niches.embed",
    "fine_tune": "tasks.training.train",
    "fit": "tasks.training.train",
    "fit_response": "tasks.perturbation.respond",
    "generate": "tasks.generation.generate",
    "generated_niches": "tasks.niches.generated_niches",
    "influence": "tasks.perturbation.influence",
    "labels_from_obs": "tasks.labels.annotate",
    "mask_from_obs": "tissue.roi",
    "niche_tree": "tasks.niches.niche_tree",
    "perturb": "tasks.perturbation.perturb",
    "place_cells": "tissue.placement",
    "pretrain": "tasks.training.pretrain",
    "read_edits": "tissue.edits",
    "read_tissue": "tissue.io",
    "section_names": "tissue.section",
    "significance": "tasks.perturbation.significance",
    "simulate": "tissue.simulate",
    "simulate_programme": "tissue.programme",
    "train_head": "tasks.labels.annotate",
    "workers": "tasks.workers",
    "write_edits": "tissue.edits",
    "write_tissue": "tissue.io",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
