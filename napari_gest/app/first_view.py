"""What a tissue is coloured by when it is opened."""

from __future__ import annotations

import numpy as np

from napari_gest.app import colors
from napari_gest.app.obs_columns import columns, likely_column
from napari_gest.app.opened import Opened
from napari_gest.app.view_state import ViewState

_CELLS_RANKED = 5000


def first_view(opened: Opened) -> ViewState:
    """Return a view of the annotation that looks like cell types, or else of a telling gene."""
    named = [c for c in columns(opened) if colors.is_categorical(opened.obs_values(c))]
    likely = likely_column(named)
    if likely is not None:
        return ViewState(column=likely)
    return ViewState(gene=telling_gene(opened))


def telling_gene(opened: Opened) -> str:
    """Return the gene that varies most between cells, on a log scale."""
    section = opened.section
    expression = section.expression[:: max(section.n_obs // _CELLS_RANKED, 1)].copy()
    expression.data = np.log1p(expression.data)
    mean = np.asarray(expression.mean(axis=0)).ravel()
    variance = np.asarray(expression.multiply(expression).mean(axis=0)).ravel() - mean**2
    return section.genes[int(variance.argmax())]
