"""Rows of the transfer benchmark that nobody had to train for."""

from __future__ import annotations

from benchmarks.transfer.run import Key, Row


def row(key: Key, rmse_z: float = 1.2, spearman: float = 0.2) -> Row:
    scores = {"rmse_z_svg": rmse_z, "spearman_gene_svg": spearman, "rmse": 0.5}
    return Row(key, 100, 3, 10, 1.0, 2.0, scores, scores)
