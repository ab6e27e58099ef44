"""GeST, a generative transformer for spatial transcriptomics, in napari.

Public names load on first use, so importing the package loads neither torch nor napari.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "AnnotateRequest": "tasks.annotate",
    "Annotated": "tasks.annotate",
    "CellTypes": "tasks.cell_types",
    "Check": "tasks.check_report",
    "CheckRequest": "tasks.check",
    "CheckpointError": "errors",
    "ClusterRequest": "tasks.cluster",
    "Clustered": "tasks.niches",
    "Edit": "tissue.edits",
    "EmbedRequest": "tasks.embed",
    "Embedded": "tasks.embed",
    "EmissionConfig": "model.config",
    "GeST": "model.gest",
    "GenerateRequest": "tasks.generate",
    "Generated": "tasks.generate",
    "GeneratedNicheRequest": "tasks.generated_niches",
    "GeneratedNiches": "tasks.generated_niches",
    "HeadConfig": "tasks.annotate",
    "HeadRequest": "tasks.annotate",
    "InputError": "errors",
    "NicheTree": "tasks.niche_tree",
    "NicheTreeRequest": "tasks.niche_tree",
    "PerturbRequest": "tasks.perturb",
    "Perturbed": "tasks.perturb",
    "Roi": "tissue.roi",
    "Scenario": "tasks.scenario",
    "Section": "tissue.section",
    "annotate": "tasks.annotate",
    "bundled_models": "model.gest",
    "check_generation": "tasks.check",
    "cluster_niches": "tasks.cluster",
    "dose_response": "tasks.dose",
    "embed_niches": "tasks.embed",
    "fine_tune": "tasks.train",
    "fit": "tasks.train",
    "fit_response": "tasks.respond",
    "generate": "tasks.generate",
    "generated_niches": "tasks.generated_niches",
    "influence": "tasks.influence",
    "labels_from_obs": "tasks.annotate",
    "mask_from_obs": "tissue.roi",
    "niche_tree": "tasks.niche_tree",
    "perturb": "tasks.perturb",
    "place_cells": "tissue.placement",
    "read_edits": "tissue.edits",
    "read_tissue": "tissue.io",
    "section_names": "tissue.section",
    "significance": "tasks.significance",
    "simulate": "tissue.simulate",
    "simulate_programme": "tissue.programme",
    "train_head": "tasks.annotate",
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
