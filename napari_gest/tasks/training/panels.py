"""The panels of a pretraining: sections that share genes, and their own vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_gest.model.base import coordinates
from napari_gest.model.config import ModelConfig
from napari_gest.model.decoder import Decoder
from napari_gest.model.gest import GeST
from napari_gest.model.tokenizer import MetaCellTokenizer
from napari_gest.tasks.training.start import vocabulary_of
from napari_gest.tasks.training.train_config import TrainConfig
from napari_gest.tasks.training.train_windows import (
    Batch,
    Score,
    Tissue,
    discs,
    draw_window,
    stack,
    tissue_of,
    validation_batches,
)
from napari_gest.tissue.fingerprint import fingerprints
from napari_gest.tissue.section import Section, name_order


@dataclass(frozen=True, eq=False)
class Panel:
    """Sections measured with the same genes, as pretraining reads them.

    Attributes
    ----------
    name
        Of its first section.
    config
        Shape of the network, with the window of this tissue.
    tokenizer
        The vocabulary of its training cells.
    coordinates
        (K, N_AXES) the vocabulary as the network reads it.
    score
        The genes in which the weighted read-out is scored.
    tissues
        Training cells of each section.
    validation
        Cells of the holes that choose the training step.
    levels
        (K, 3) coarse labels of the meta cells.
    scaled
        (K, S) expression of the meta cells in scored genes of unit variance.
    trained, selecting
        Fingerprints of the cells that train and that choose.
    """

    name: str
    config: ModelConfig
    tokenizer: MetaCellTokenizer
    coordinates: Tensor
    score: Score
    tissues: list[Tissue]
    validation: list[Batch]
    levels: Tensor
    scaled: Tensor
    trained: NDArray[np.uint32]
    selecting: NDArray[np.uint32]

    @property
    def n_cells(self) -> int:
        """Cells that train."""
        return sum(len(tissue.coords) for tissue in self.tissues)

    @classmethod
    def of(
        cls,
        sections: Sequence[Section],
        config: ModelConfig,
        training: TrainConfig,
        seed: int,
        network: Decoder,
    ) -> Panel:
        """Return the panel of sections with the same genes, holes set aside for validation."""
        sections = [sections[i].gathered() for i in name_order(sections)]
        hidden = [discs(s, training.validation_share, config, seed) >= 0 for s in sections]
        known = [s.subset(~h) for s, h in zip(sections, hidden, strict=True)]
        config, tokenizer = vocabulary_of(known, config, seed)
        score, model = Score.of(tokenizer), GeST(config, tokenizer, network)
        cells = [fingerprints(s.expression, s.genes) for s in sections]
        return cls(
            sections[0].name,
            config,
            tokenizer,
            coordinates(tokenizer),
            score,
            [
                tissue_of(s, ~h, tokenizer.target_sum, tokenizer, score)
                for s, h in zip(sections, hidden, strict=True)
            ],
            [
                batch
                for s, h in zip(sections, hidden, strict=True)
                for batch in validation_batches(s, h, h, model, score)
            ],
            torch.from_numpy(tokenizer.levels if training.hierarchy else tokenizer.levels[:, :0]),
            torch.from_numpy(score.scale(tokenizer.c_expr)),
            np.concatenate([c[~h] for c, h in zip(cells, hidden, strict=True)]),
            np.concatenate([c[h] for c, h in zip(cells, hidden, strict=True)]),
        )

    def batch(self, training: TrainConfig, rng: np.random.Generator) -> Batch:
        """Draw windows of the panel, from each section as often as it has cells."""
        sizes = np.array([len(tissue.coords) for tissue in self.tissues], float)
        windows = [
            draw_window(
                self.tissues[rng.choice(len(self.tissues), p=sizes / sizes.sum())],
                self.config,
                training,
                rng,
            )
            for _ in range(training.batch_windows)
        ]
        n_context = min(len(w.pool.mass) for w in windows)
        n_targets = min(len(w.targets) for w in windows)
        return stack([w.read(n_context, n_targets) for w in windows], training.order != "hole")


def by_panel(sections: Sequence[Section]) -> list[list[Section]]:
    """Return the sections grouped by their genes, in the order of their genes' names."""
    groups: dict[tuple[str, ...], list[Section]] = {}
    for section in sections:
        groups.setdefault(section.genes, []).append(section)
    return [groups[genes] for genes in sorted(groups)]
