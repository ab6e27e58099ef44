"""What a view shows of generated cells: values, names, colours, and what all of it is called."""

from __future__ import annotations

from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_gest import keys
from napari_gest.app import colors
from napari_gest.app.colors import Categories, Scale
from napari_gest.app.opened import Normalization, Opened
from napari_gest.app.preview import Preview
from napari_gest.app.runs.generated_cells import GeneratedCells
from napari_gest.app.view_state import (
    Legend,
    View,
    ViewState,
    centred,
    panel_of,
    preview_rgba,
    range_of,
    section_legend,
)

# Waiting cells hide the measured ones beneath them: the region looks empty until it is filled.
WAITING = np.array([0.09, 0.10, 0.12, 1.0], np.float32)
_AT_ONCE = 1_000_000  # names that are counted in one go
_AROUND: WeakKeyDictionary[
    GeneratedCells, tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
] = WeakKeyDictionary()
NICHE_NEIGHBOURS = 20  # generated cells around a place that say its niche
NO_DRAWS = "This run made means alone. Run with 'Typical cells and mean' (step 4)."
# What is seen of generated cells: something of each cell, names of places, or grey.
Kind = Literal["cells", "places", "nothing"]
_KINDS: dict[Kind, str] = {"places": "likeliest name", "nothing": "not known"}
NO_MEAN = "The mean of these cells was not kept with them."


def shown_view(view: View, made: GeneratedCells) -> View:
    """Return the view in which cells of a run are seen, which may lack drawn cells or means."""
    if view == "generated" and not (made.drawing or (made.draws and not made.filled.any())):
        return "expected"  # also while the cells are still to be drawn
    if view == "expected" and not made.has_expected:
        return "generated"
    return view


def described(view: View, made: GeneratedCells, kind: Kind = "cells") -> str:
    """Return what is seen of generated cells in a word or two, such as "typical (draw 2 of 3)"."""
    view = shown_view(view, made)
    if kind != "cells":
        return _KINDS[kind]
    if view == "generated":
        return "typical" if made.of == 1 else f"typical (draw {made.number} of {made.of})"
    return str(view)


def caption(view: View, made: GeneratedCells, kind: Kind = "cells") -> str:
    """Return the text beside a region on the canvas, which says that it was generated."""
    view = shown_view(view, made)
    if not made.filled.any():
        return "to be generated"
    if kind != "cells":
        return f"generated: {_KINDS[kind]}"
    if view == "generated":
        return f"generated: draw {made.number}"
    return f"generated: {view}"


def generated_values(
    view_state: ViewState, made: GeneratedCells, opened: Opened | None, space: Normalization
) -> NDArray[np.float32]:
    """Return (n,) what the present view shows of generated cells; missing where there is none."""
    view = shown_view(view_state.view, made)
    if view == "uncertainty" and view_state.entropy:
        return made.entropy
    if view_state.gene is None:
        return np.full(len(made.cells), np.nan, np.float32)
    if view == "uncertainty":
        return made.gene_sd(view_state.gene)
    if view == "difference":
        if opened is None:
            return np.full(len(made.cells), np.nan, np.float32)
        truth = opened.gene_values(view_state.gene, space.target_sum, panel_of(space, opened))
        return made.gene_expected(view_state.gene) - made.from_section(truth)
    if view == "expected":
        return made.gene_expected(view_state.gene)
    return made.gene(view_state.gene)


def generated_legend(view_state: ViewState, values: NDArray[np.float32]) -> Legend:
    """Return the legend of a difference or uncertainty view of ``values`` (n,)."""
    if view_state.view == "difference":
        title = f"{view_state.gene} · expected minus measured"
        return centred(title, values, view_state.difference_limits)
    low, high = view_state.uncertainty_limits or colors.limits(values)
    title = (
        "entropy of the meta cell · nats"
        if view_state.entropy
        else f"{view_state.gene} · sd, model space"
    )
    return Legend(title, Scale(low, high, colors.UNCERTAINTY), range_of(values, low, high))


def generated_names(
    view_state: ViewState,
    made: GeneratedCells,
    opened: Opened | None,
    space: Normalization,
    preview: Preview | None = None,
) -> tuple[Categories, NDArray[np.float32]] | None:
    """Return the names of generated cells in what the view colours by, and how sure they are.

    A typical cell has the name of the measured cell that it was drawn from. In the other views
    each place has the likeliest name. A niche or a region is of a place and not of a cell
    (``Opened.are_of_places``): it is the likeliest one among the generated cells nearby, in every
    view. How sure a name is, is its share among
    the donors that could have given a cell (``Generated.candidates``), of those that have a name:
    (n,), missing where that is not known. Niches that were compared with a run, and those that
    were written for its cells, have names of their own.

    None where the view is of numbers, or no donors are known.
    """
    if opened is None or (view_state.of_run is None and view_state.column is None):
        return None
    unknown = np.full(len(made.cells), np.nan, np.float32)
    if view_state.of_run is not None:
        if preview is None:
            return None
        own = None if made.result is None else preview.generated.get(made.result)
        if isinstance(own, Categories):
            return own, unknown
        of_cells: Any = preview.sections.get(opened.section)
    else:
        of_cells = section_legend(view_state, opened, space).colors
        if view_state.column == keys.NICHE and isinstance(of_cells, Categories):
            written = _written_niches(of_cells, made, opened)
            if written is not None:
                return written, unknown
    if not isinstance(of_cells, Categories):
        return None
    typical = None if made.donor is None else of_cells.codes[made.donor]
    of_places = _of_places(view_state, of_cells, opened)
    donors = made.candidates
    if donors is None:
        if made.donor is None or typical is None:
            return None
        if not of_places:
            return Categories(of_cells.names, of_cells.colors, typical), unknown
        donors = made.donor
    if of_places:
        named = _counted_around(made, of_cells.codes, donors, len(of_cells.names))
    else:
        named = _counted(of_cells.codes[donors], len(of_cells.names))
    total = named.sum(1)
    likeliest = of_places or typical is None or shown_view(view_state.view, made) != "generated"
    codes = typical
    if (likeliest and named.size) or codes is None:
        codes = np.where(total > 0, named.argmax(1), -1) if named.size else np.full(len(total), -1)
    share = unknown.copy()
    there = (codes >= 0) & (total > 0)
    share[there] = named[there, codes[there]] / total[there]
    return Categories(of_cells.names, of_cells.colors, codes), share


def shown_kind(
    view_state: ViewState,
    made: GeneratedCells,
    opened: Opened | None,
    space: Normalization,
    preview: Preview | None = None,
) -> Kind:
    """Return what colours of generated cells are: of cells, of places, or of nothing known."""
    if opened is None or (view_state.of_run is None and view_state.column is None):
        return "cells"
    if view_state.of_run is None:
        values: Any = section_legend(view_state, opened, space).colors
    elif preview is None or opened.section not in preview.sections:
        return "cells"
    else:
        values = preview.sections[opened.section]
    if isinstance(values, Categories):
        return "places" if _of_places(view_state, values, opened) else "cells"
    own = None if preview is None or made.result is None else preview.generated.get(made.result)
    return "cells" if own is not None else "nothing"


def _of_places(view_state: ViewState, names: Categories, opened: Opened) -> bool:
    niches = view_state.column == keys.NICHE or view_state.of_run_what == "niches"
    return niches or opened.are_of_places(names.codes)


def _counted(codes: NDArray[np.int64], n_names: int) -> NDArray[np.int64]:
    """Return (n, n_names) how often each name is in the rows of ``codes`` (n, k), -1 for none."""
    n, width = len(codes), n_names + 1
    place = np.arange(n)[:, None] * width + codes % width  # -1 is the last one
    return np.bincount(place.ravel(), minlength=n * width).reshape(n, width)[:, :-1]


def _counted_around(
    made: GeneratedCells, codes: NDArray[np.int64], donors: NDArray[np.int64], n_names: int
) -> NDArray[np.int64]:
    """Return (n, n_names) how often donors (n, k) or (n,) of the cells around each have each name.

    What was counted last of a run's cells is kept: they are painted anew with each action.
    """
    if made in _AROUND:
        of_codes, of_donors, found = _AROUND[made]
        same = of_donors is donors and found.shape[1] == n_names
        if same and np.array_equal(of_codes, codes):
            return found
    named = codes[donors if donors.ndim == 2 else donors[:, None]]
    near = _near(made.coords_um) if len(named) else np.zeros((0, 1), np.int64)
    found = np.zeros((len(named), n_names), np.int64)
    step = max(_AT_ONCE // max(named.shape[1] * near.shape[1], 1), 1)
    for start in range(0, len(named), step):
        rows = slice(start, start + step)
        around = named[near[rows]]
        found[rows] = _counted(around.reshape(len(around), -1), n_names)
    _AROUND[made] = codes, donors, found
    return found


def _near(coords_um: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (n, k) the cells around each of (n, 2), itself among them."""
    k = min(NICHE_NEIGHBOURS, len(coords_um))
    near = cKDTree(coords_um).query(coords_um, k=[*range(1, k + 1)])[1]
    return np.asarray(near, np.int64)


def generated_rgba(
    view_state: ViewState,
    made: GeneratedCells,
    opened: Opened | None,
    legend: Legend,
    space: Normalization,
    preview: Preview | None = None,
) -> NDArray[np.float32]:
    """Return (n, 4) colours of generated cells in the present view, waiting ones dark."""
    names = generated_names(view_state, made, opened, space, preview)
    if names is not None:
        rgba = names[0].rgba(view_state.hidden)
    elif view_state.of_run is not None:
        generated = {} if preview is None else preview.generated
        own = None if made.result is None else generated.get(made.result)
        rgba = preview_rgba(view_state, own, legend, len(made.cells))
    elif isinstance(legend.colors, Scale):
        rgba = legend.colors.rgba(generated_values(view_state, made, opened, space))
    else:
        rgba = np.tile(colors.MISSING, (len(made.cells), 1))
    rgba[~made.filled] = WAITING
    return rgba


def _written_niches(niches: Categories, made: GeneratedCells, opened: Opened) -> Categories | None:
    """Return the niches that measured cells have as they were generated, where they were kept."""
    if keys.GENERATED_NICHE not in opened.adata.obs:
        return None
    held = opened.obs_values(keys.GENERATED_NICHE).astype(object).to_numpy()
    place = {name: code for code, name in enumerate(niches.names)}
    codes = np.array([place.get(str(name), -1) for name in held], np.int64)
    own = np.full(len(made.cells), -1, np.int64)
    old = made.cells >= 0
    own[old] = codes[made.cells[old]]
    return Categories(niches.names, niches.colors, own) if (own >= 0).any() else None
