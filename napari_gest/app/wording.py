"""Results in words and numbers, as panels show them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_gest.tasks.perturbation.influence import Influence
    from napari_gest.tissue.section import Section

_PLAIN = 1e-3  # smaller p-values are written with an exponent
_LEAST = 1e-300
_TOLD = 3  # neighbours, and types of them


def counted(n: int, section: Section) -> str:
    """Return how many cells of a section, or spots: "1 cell", "2,898 spots"."""
    return f"{n:,} {section.unit}{'' if n == 1 else 's'}"


def p_text(p: float) -> str:
    """Return a p-value in few characters: "0.041", "6.2e-5"; never "0", and "–" for none."""
    if not math.isfinite(p):
        return "–"
    if p < _LEAST:
        return f"< {_LEAST:.0e}"
    if p >= _PLAIN:
        return f"{p:.3f}"
    digits, exponent = f"{p:.1e}".split("e")
    return f"{digits}e{int(exponent)}"


def influence_text(
    drove: Influence, names: NDArray[np.str_], types: Mapping[int, str | None] | None = None
) -> str:
    """Return in words what drove a cell, and whether removing the top cells confirms it.

    Parameters
    ----------
    drove
        Influence of n neighbours.
    names
        (n_obs,) names of the section's cells.
    types
        Cell type of each neighbour and of the cell, by index, None where it has none. Without it
        cells are told by name.
    """

    def told(cell: int) -> str:
        return str(names[cell]) if types is None else types[cell] or "no type"

    ordered = np.sort(drove.influence)[::-1]
    half = min(int(np.searchsorted(np.cumsum(ordered), ordered.sum() / 2)) + 1, len(ordered))
    times = drove.top_k / max(float(drove.random_k.mean()), 1e-12)
    top = np.argsort(-drove.influence, kind="stable")[:_TOLD]
    listed = ", ".join(f"{told(drove.neighbours[i])} ({drove.distance_um[i]:.0f} µm)" for i in top)
    cell = names[drove.cell] if types is None else f"{told(drove.cell)} ({names[drove.cell]})"
    text = (
        f"{cell}: {half} of {len(drove.neighbours)} neighbours hold half of the influence; most"
        f" have {listed}."
    )
    if types is not None:
        of_type = pd.Series(drove.influence).groupby([told(i) for i in drove.neighbours]).sum()
        share = (of_type / max(float(of_type.sum()), 1e-12)).sort_values(
            ascending=False, kind="stable"
        )
        text += " By type: " + ", ".join(f"{t} {s:.0%}" for t, s in share[:_TOLD].items()) + "."
    return (
        f"{text} Without its top neighbours the prediction moves {times:.1f} × as far as without"
        f" random ones (p = {p_text(drove.fidelity_p)})."
    )
