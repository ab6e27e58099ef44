"""A perturbation on the canvas: the cells around an edit, and those that were edited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_gest.app import colors
from napari_gest.app.colors import Scale
from napari_gest.app.session import Snapshot
from napari_gest.app.view_state import Legend, Limits, ViewState

if TYPE_CHECKING:
    from pandas import DataFrame

    from napari_gest.app.runs.perturbation import Experiment
    from napari_gest.tasks.perturbation.perturb import Perturbed
    from napari_gest.tasks.perturbation.scenario import Scenario
    from napari_gest.tasks.perturbation.significance import Significance

EFFECT_VIEWS = ("control", "perturbed", "delta")


class Effect:
    """What one edit does, with the name it is kept under. Knows no layers.

    Attributes
    ----------
    name
        Given by the user, or by the plan.
    plan
        What was asked for.
    result
        Control and perturbed surroundings.
    tested
        The result tested against chance, once that is done.
    doses
        Table of gene, strength and effect, once that was asked for.
    cells
        (n,) index into the section: the surroundings first, then the edited cells.
    n_around
        How many of them are surroundings.
    """

    def __init__(self, name: str, plan: Experiment, result: Perturbed) -> None:
        self.name = name
        self.plan = plan
        self.result = result
        self.tested: Significance | None = None
        self.doses: DataFrame | None = None
        edited = result.edited
        self.cells = np.concatenate([result.index, edited.cells, edited.removed])
        self.n_around = len(result.index)
        self._means: DataFrame | None = None

    @property
    def snapshot(self) -> Snapshot:
        """What the run started from."""
        return self.plan.snapshot

    @property
    def coords_um(self) -> NDArray[np.float64]:
        """(n, 2) um x y."""
        return self.snapshot.section.coords_um[self.cells]

    @property
    def table(self) -> DataFrame:
        """One row a band of distance and gene; with p-values once they are known."""
        if self.tested is not None:
            return self.tested.table
        if self._means is None:
            self._means = self.result.effects()
        return self._means

    @property
    def scenario(self) -> tuple[Scenario, DataFrame]:
        """What runs it again, and its table; p-values are missing until they are known."""
        n_permutations, table = 0, self.table
        if self.tested is not None:
            n_permutations = self.tested.settings["n_permutations"]
        else:
            table = table.assign(pvalue=np.nan, fdr=np.nan)
        return self.plan.scenario(self.name, n_permutations), table

    @property
    def strongest(self) -> str:
        """The gene that responds most: of the lowest p-value where that is known."""
        table = self.table
        table = table[table["band"] == table["band"].iloc[0]]
        edited = {e.gene for e in self.plan.edits}
        others = table[~table["gene"].isin(edited)]
        table = others if len(others) else table
        strength = table["effect"].abs()
        if "pvalue" in table:
            strength = strength / strength.max() - 10 * table["pvalue"].fillna(1.0)
        return str(table["gene"].loc[strength.idxmax()])

    def values(self, view: str, gene: str | None) -> NDArray[np.float32]:
        """Return (n,) what a view shows of a gene; missing for cells taken out."""
        out = np.full(len(self.cells), np.nan, np.float32)
        if gene not in self.result.genes:
            return out
        column = self.result.genes.index(gene)
        edited = self.result.edited
        known = slice(0, self.n_around + len(edited.cells))
        control = np.concatenate([self.result.control[:, column], edited.before[:, column]])
        perturbed = np.concatenate([self.result.perturbed[:, column], edited.after[:, column]])
        out[known] = {"control": control, "perturbed": perturbed, "delta": perturbed - control}[
            view
        ]
        return out

    def within(self, band: Limits | None) -> NDArray[np.bool_]:
        """Return (n,) which cells lie in a band of distance, um; the edited ones always do."""
        inside = np.ones(len(self.cells), bool)
        if band is not None:
            far = self.result.distance_um
            inside[: self.n_around] = (far > band[0]) & (far <= band[1])
        return inside


def delta_legend(view_state: ViewState, effects: list[Effect]) -> Legend:
    """Return the legend of a delta view, one for all effects that are shown."""
    # Of the surroundings: the edit itself would outshine what it causes.
    around = np.concatenate([e.values("delta", view_state.gene)[: e.n_around] for e in effects])
    low, high = view_state.delta_limits or colors.limits(around, centred=True)
    reach = max(-low, high)
    finite = np.abs(around[np.isfinite(around)])
    widest = max(reach, float(finite.max()) if len(finite) else 0.0)
    title = f"{view_state.gene} · perturbed minus control"
    return Legend(title, Scale(-reach, reach, colors.DIVERGING), (-widest, widest))


def effect_rgba(effect: Effect, view_state: ViewState, scale: Any) -> NDArray[np.float32]:
    """Return (n, 4) colours of an effect's cells."""
    values = effect.values(view_state.view, view_state.gene)
    if not isinstance(scale, Scale):
        return np.tile(colors.MISSING, (len(values), 1))
    rgba = scale.rgba(values)
    rgba[~effect.within(view_state.band), 3] = 0.12
    return rgba
