"""Tissue with a planted programme, its ground truth, and models trained on its control."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

import napari_gest
from benchmarks.common.training import RUNS
from napari_gest.model.config import ModelConfig
from napari_gest.model.gest import GeST
from napari_gest.tasks.progress import Progress
from napari_gest.tasks.training.train import TrainConfig, fit
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.expression import log_normalize
from napari_gest.tissue.programme import Programme, simulate_programme
from napari_gest.tissue.section import Section, section_names

# The ligand is set to this quantile of the cells that express it, which a user can look up.
_HIGH = 0.95


@dataclass(frozen=True)
class Setting:
    """Size of the simulated tissue and length of training; the benchmark's by default."""

    n_cells: int = 18_000
    n_genes: int = 80
    n_sections: int = 6
    n_steps: int = 300
    reach_um: float = 60.0
    programme: Programme = field(default_factory=Programme)

    @classmethod
    def quick(cls) -> Setting:
        """Return a setting that takes a minute."""
        return cls(n_cells=6000, n_genes=40, n_sections=2, n_steps=60)

    def silent(self) -> Setting:
        """Return the setting without a response."""
        return replace(self, programme=self.programme.silent())


@dataclass(frozen=True, eq=False)
class Planted:
    """One tissue: control sections, the edited regions, and the true effect of the edit."""

    adata: AnnData
    setting: Setting

    @classmethod
    def make(cls, setting: Setting, seed: int, draw: int = 0) -> Planted:
        """Simulate the tissue."""
        return cls(
            simulate_programme(
                setting.n_cells,
                setting.n_genes,
                setting.n_sections,
                seed,
                setting.programme,
                draw,
            ),
            setting,
        )

    @cached_property
    def sections(self) -> list[Section]:
        """Control sections."""
        return [Section.from_anndata(self.adata, name) for name in section_names(self.adata)]

    def roi(self, section: Section) -> NDArray[np.bool_]:
        """(n_obs,) cells that are edited."""
        return self.adata.obs["roi"].to_numpy()[section.rows]

    @property
    def ligand(self) -> str:
        """Name of the gene that is edited."""
        return str(self.adata.var_names[self.adata.var["role"] == "ligand"][0])

    @property
    def sign(self) -> NDArray[np.int64]:
        """(G,) 1 for targets that rise, -1 for those that fall, 0 for others."""
        role = self.adata.var["role"].to_numpy()
        return (role == "up").astype(int) - (role == "down").astype(int)

    @property
    def others(self) -> NDArray[np.bool_]:
        """(G,) all genes but the edited one."""
        return self.adata.var["role"].to_numpy() != "ligand"

    @cached_property
    def edits(self) -> tuple[Edit, ...]:
        """The edit of the ligand."""
        return (self._high(self.ligand),)

    def other_edits(self, n: int, seed: int) -> list[Edit]:
        """Return n edits of the same kind, of genes that drive nothing and are not targets."""
        genes = self.adata.var_names[self.adata.var["role"] == "other"]
        chosen = np.random.default_rng(seed).permutation(np.asarray(genes))[:n]
        return [self._high(str(gene)) for gene in chosen]

    def _high(self, gene: str) -> Edit:
        level = self.adata[:, gene].X.toarray().ravel()
        return Edit(gene, "set", float(np.quantile(level[level > 0], _HIGH)))

    def values(self, layer: str | None, rows: NDArray, target_sum: float) -> NDArray[np.float32]:
        """(n, G) model space of a layer."""
        values = self.adata.X if layer is None else self.adata.layers[layer]
        return log_normalize(sparse.csr_matrix(values[rows]), target_sum)

    def true_effect(self, rows: NDArray, target_sum: float) -> NDArray[np.float32]:
        """(n, G) expected expression after the edit minus before, model space, without noise."""
        return self.values("expected_perturbed", rows, target_sum) - self.values(
            "expected_control", rows, target_sum
        )


def trained_on(
    planted: Planted, seed: int, on_progress: Callable[[Progress], None] | None = None
) -> GeST:
    """Return GeST trained on the control sections, without a response.

    It is cached in ``runs/perturbation`` by its settings; remove it after a change of code.
    """
    setting = planted.setting
    settings = {
        "version": napari_gest.__version__,
        "setting": asdict(setting),
        "seed": seed,
        "total": float(planted.adata.X.sum()),
    }
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    folder = RUNS / "perturbation" / f"seed{seed}-{key}"
    if folder.exists():
        return GeST.load(folder)
    model = fit(
        planted.sections,
        ModelConfig(),
        TrainConfig(n_steps=setting.n_steps),
        seed=seed,
        on_progress=on_progress,
        name=f"planted {seed}",
    )
    model.save(folder)
    return model
