"""What a tissue is coloured by when it is opened."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_gest.app import colors
from napari_gest.app.obs_columns import columns, likely_column
from napari_gest.app.opened import Normalization, Opened
from napari_gest.app.view_state import ViewState, section_legend, section_rgba


def first_view(opened: Opened) -> ViewState:
    """Return a view of the annotation that looks like cell types, or else of a telling gene."""
    named = [c for c in columns(opened) if colors.is_categorical(opened.adata.obs[c])]
    likely = likely_column(named)
    if likely is not None:
        return ViewState(column=likely)
    return ViewState(gene=opened.telling_gene)


def first_colors(opened: Opened) -> NDArray[np.float32]:
    """Return (n_obs, 4) colours of a section in its first view."""
    view, space = first_view(opened), Normalization()
    return section_rgba(view, opened, section_legend(view, opened, space), space)
