"""How far an agreement with measured cells can be trusted: were they known to the model?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from napari_gest.cli.console import tell
from napari_gest.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_gest.model.gest import GeST
    from napari_gest.tissue.section import Section


def trained_cells(
    section: Section, cells: NDArray[np.int64] | NDArray[np.bool_], model: GeST
) -> int:
    """Return how many cells of a section, by index or mask, a model has seen in training."""
    from napari_gest.tasks.generation.check import untrained_cells

    return int((~untrained_cells(section.subset(cells), model)).sum())


def trained_labels(section: Section, cells: NDArray[np.bool_], model: GeST) -> int:
    """Return how many cells ``cells`` (n_obs,) a model or its label layer was trained on.

    The label layer knows the names and sizes of its sections alone.
    """
    about = [] if model.head is None else model.head.settings.get("sections") or []
    if {"name": section.name, "cells": section.n_obs} in about:
        return int(cells.sum())
    return trained_cells(section, cells, model)


def tell_trained(n: int, n_cells: int) -> None:
    """Say of how many compared cells an agreement is too good to be expected elsewhere."""
    if n:
        some = "these cells" if n == n_cells else f"{n} of these {n_cells} cells"
        tell(f"  (the model was trained on {some}: expect less on others)")


def check_common(key: str, known: Iterable[NDArray[np.object_]], model: GeST) -> None:
    """Raise InputError if none of the ``known`` names (n,) of sections is a label of the model."""
    from napari_gest.tissue.obs import few, natural_order

    names = {str(name) for part in known for name in part if name is not None}
    classes = () if model.head is None else model.head.classes
    if not names & {*classes}:
        raise InputError(
            f"obs column '{key}' and the labels of '{model.name}' have no name in common.",
            f"Name the column that holds such labels (--compare-with): {few(classes)}. The names in"
            f" '{key}' are: {few(natural_order(names))}.",
        )
