"""Results of the card that nobody had to measure."""

from __future__ import annotations

from benchmarks.card.rows import Row
from benchmarks.card.store import Result, Store

MODULES = ("napari_gest.model.loss", "benchmarks.common.metrics")


def result(store: Store, row: Row, seed: int, rmse_z: float = 1.3, **other: object) -> Result:
    scores = {
        name: rmse_z for name in ("rmse_z", "rmse_z_svg", "spearman_gene", "spearman_gene_svg")
    }
    given = {
        "row": row.id,
        "seed": seed,
        "settings": row.settings,
        "data": "",
        "code": store.remember(MODULES),
        "version": "1",
        "finished": "2026-01-01",
        "seconds": 60.0,
        "n_holes": 5,
        "n_cells": 100,
        "scores": {"GeST": scores},
    }
    return Result(**given | other)
