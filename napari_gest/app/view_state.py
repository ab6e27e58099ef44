"""What the user wants to see, as one frozen value, and the colours it gives each layer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_gest import keys
from napari_gest.app import colors
from napari_gest.app.colors import Categories, Scale
from napari_gest.app.opened import Normalization, Opened
from napari_gest.app.preview import Preview, Values

View = Literal[
    "measured",
    "generated",
    "expected",
    "difference",
    "uncertainty",
    "control",
    "perturbed",
    "delta",
]
EFFECT_VIEWS = ("control", "perturbed", "delta")
VIEWS_OF = {  # that show a kind of run
    "generation": ("generated", "expected", "difference", "uncertainty"),
    "perturbation": EFFECT_VIEWS,
}
CENTRED = ("difference", "delta")  # views whose limits are symmetric about zero
Limits = tuple[float, float]


@dataclass(frozen=True)
class ViewState:
    """What to colour by and which view of it.

    Attributes
    ----------
    gene, column
        Gene, or obs column, to colour by; at most one of them.
    view
        Measured; typical cells ("generated"), or what is expected of them; the difference of that
        from what was measured, or the uncertainty of it; or the surroundings of an edit without
        it, with it, and what it changes.
    entropy
        Show uncertainty of the meta cell (nats) rather than of the gene.
    value_limits, difference_limits, uncertainty_limits, delta_limits
        Colour limits; None chooses them from the data. Measured, generated, expected, control and
        perturbed share theirs.
    hidden
        Categories not shown.
    band
        Distances from an edited region, um, outside of which its surroundings are dimmed.
    of_run
        Id of a run to colour by instead of a gene or a column, and what of it: "niches", "label",
        "confidence" or "gain".
    """

    gene: str | None = None
    column: str | None = None
    view: View = "measured"
    entropy: bool = False
    value_limits: Limits | None = None
    difference_limits: Limits | None = None
    uncertainty_limits: Limits | None = None
    delta_limits: Limits | None = None
    hidden: frozenset[str] = frozenset()
    band: Limits | None = None
    of_run: tuple[str, str] | None = None

    @property
    def shows_nothing(self) -> bool:
        """Whether nothing was chosen to colour by."""
        return self.gene is None and self.column is None and self.of_run is None

    @property
    def of_run_what(self) -> str | None:
        """What of a run is shown, such as "niches"; None where none is."""
        return None if self.of_run is None else self.of_run[1]

    @property
    def limits_field(self) -> str:
        """Name of the field that holds the limits of the present view."""
        if self.view in ("measured", "generated", "expected", "control", "perturbed"):
            return "value_limits"
        return f"{self.view}_limits"

    @property
    def plain_view(self) -> View:
        """The nearest view that shows values as they are: of names there are no other views."""
        if self.view in ("measured", "expected"):
            return self.view
        return "generated"

    def without(self, kind: str) -> ViewState:
        """Return what is shown where no run of a kind is looked at any more."""
        return replace(self, view="measured") if self.view in VIEWS_OF.get(kind, ()) else self


@dataclass(frozen=True, eq=False)
class Legend:
    """What the colours mean: categories, or a scale with the range its limits may take."""

    title: str
    colors: Categories | Scale | None = None
    range: Limits = (0.0, 1.0)


def scene_legend(
    view_state: ViewState,
    active: Opened,
    sections: Iterable[Opened],
    space: Normalization,
    preview: Preview | None = None,
) -> Legend:
    """Return the legend of all open sections: that of the one in use, where it has what is shown.

    If it has not, that of the first one which has. ``preview`` is of the run that is shown.
    """

    def has(opened: Opened) -> bool:
        if view_state.of_run is not None:
            return preview is not None and opened.section in preview.sections
        if view_state.gene is not None:
            return view_state.gene in opened.section.genes
        return view_state.column is None or view_state.column in opened.adata.obs

    told = next((one for one in (active, *sections) if has(one)), active)
    legend = section_legend(view_state, told, space, preview)
    if told is active:
        return legend
    return replace(legend, title=f"{legend.title} · not in {active.label}")


def section_legend(
    view_state: ViewState, opened: Opened, space: Normalization, preview: Preview | None = None
) -> Legend:
    """Return the legend of a section's own colours; ``preview`` is of the run they are of."""
    if view_state.of_run is not None:
        if preview is None:
            return Legend("")
        values = preview.sections.get(opened.section)
        if values is None or isinstance(values, Categories):
            return Legend(preview.title, values)
        if preview.centred:
            return centred(preview.title, values, view_state.value_limits)
        low, high = view_state.value_limits or colors.limits(values)
        return Legend(preview.title, Scale(low, high), range_of(values, low, high))
    if view_state.gene is not None:
        values = opened.gene_values(view_state.gene, space.target_sum, panel_of(space, opened))
        low, high = view_state.value_limits or colors.limits(values)
        scaled = f"{opened.section.unit}s scaled to {space.target_sum:,.0f}"
        title = f"{view_state.gene} · log1p, {scaled}"
        if view_state.gene not in opened.section.genes:
            title = f"{view_state.gene} · not measured in this section"
        return Legend(title, Scale(low, high), range_of(values, low, high))
    if view_state.column is not None:
        if view_state.column not in opened.adata.obs:
            return Legend(f"{view_state.column} · not in this section")
        column = opened.obs_values(view_state.column)
        if colors.is_categorical(column):
            stored = opened.adata.uns.get(f"{view_state.column}_colors")
            whole = opened.adata.obs[view_state.column].astype(
                "category"
            )  # the same in all sections
            return Legend(
                view_state.column, colors.categories(whole.iloc[opened.section.rows], stored)
            )
        numbers = column.to_numpy(np.float64, na_value=np.nan)
        if view_state.column == keys.CHECK_GAIN:
            return centred(view_state.column, numbers, view_state.value_limits)
        low, high = view_state.value_limits or colors.limits(numbers)
        return Legend(view_state.column, Scale(low, high), range_of(numbers, low, high))
    return Legend("")


def section_rgba(
    view_state: ViewState,
    opened: Opened,
    legend: Legend,
    space: Normalization,
    preview: Preview | None = None,
) -> NDArray[np.float32]:
    """Return (n_obs, 4) colours of a section, its scale taken from ``legend``."""
    if view_state.of_run is not None:
        own = None if preview is None else preview.sections.get(opened.section)
        return preview_rgba(view_state, own, legend, opened.section.n_obs)
    if isinstance(legend.colors, Scale) and view_state.gene is not None:
        values = opened.gene_values(view_state.gene, space.target_sum, panel_of(space, opened))
        return legend.colors.rgba(values)
    if view_state.column is not None and view_state.column in opened.adata.obs:
        named = section_legend(view_state, opened, space).colors
        if isinstance(named, Categories):
            return named.rgba(view_state.hidden)
        if isinstance(legend.colors, Scale):
            numbers = opened.obs_values(view_state.column).to_numpy(np.float64, na_value=np.nan)
            return legend.colors.rgba(numbers)
    return np.tile(colors.MISSING, (opened.section.n_obs, 1))


def preview_rgba(
    view_state: ViewState, values: Values | None, legend: Legend, n: int
) -> NDArray[np.float32]:
    """Return (n, 4) colours of names or numbers; grey where there are none."""
    if isinstance(values, Categories):
        return values.rgba(view_state.hidden)
    if values is not None and isinstance(legend.colors, Scale):
        return legend.colors.rgba(values)
    return np.tile(colors.MISSING, (n, 1))


def panel_of(space: Normalization, opened: Opened) -> tuple[str, ...] | None:
    """Return the model's panel if this section can be put into its space."""
    if space.panel is None or space.panel == opened.section.genes:
        return None
    shared = len(set(space.panel).intersection(opened.section.genes))
    return space.panel if shared * 2 >= len(space.panel) else None


def centred(title: str, values: NDArray, chosen: Limits | None) -> Legend:
    """Return the legend of values above and below zero, which stays in the middle."""
    low, high = chosen or colors.limits(values, centred=True)
    reach = max(-low, high)
    most = range_of(values, -reach, reach)
    widest = max(-most[0], most[1])
    return Legend(title, Scale(-reach, reach, colors.DIVERGING), (-widest, widest))


def range_of(values: NDArray, low: float, high: float) -> Limits:
    """Return the range that limits of values may take."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return low, high
    return min(float(finite.min()), low), max(float(finite.max()), high)
