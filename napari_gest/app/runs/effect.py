"""A perturbation on the canvas: the cells around an edit, and those that were edited."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_gest.app import colors
from napari_gest.app.colors import Scale
from napari_gest.app.opened import Opened, Result, Snapshot
from napari_gest.app.view_state import EFFECT_VIEWS, Legend, Limits, ViewState
from napari_gest.tasks.progress import Progress

if TYPE_CHECKING:
    from pandas import DataFrame

    from napari_gest.app.runs.perturbation import PerturbationRun
    from napari_gest.app.script import Script
    from napari_gest.app.state import State
    from napari_gest.tasks.perturbation.perturb import Perturbed
    from napari_gest.tasks.perturbation.scenario import Scenario
    from napari_gest.tasks.perturbation.significance import Significance

FDR = 0.05  # of the permutation test, the strict rule
WRONG_SIGNS = "expected share of wrong signs at most 5 %"


def has_signs(table: DataFrame) -> bool:
    """Tell whether the table says how likely signs are wrong; generated effects have none."""
    return "lfsr" in table and bool(table["lfsr"].notna().any())


def responding(table: DataFrame) -> NDArray[np.bool_]:
    """Return (n,) which rows of a tested effect respond: by their sign, or else by the FDR."""
    if has_signs(table):
        return table["reported"].isin(["up", "down"]).to_numpy(bool)
    return table["fdr"].to_numpy(float) <= FDR


def response_text(table: DataFrame) -> str:
    """Return how many genes of one band of a tested effect respond, and by which rule."""
    n_tested, strict = int(table["fdr"].notna().sum()), int((table["fdr"] <= FDR).sum())
    if not has_signs(table):
        return f"{strict} of {n_tested} genes respond at FDR {FDR:g}"
    n = int(responding(table).sum())
    text = f"{n} of {n_tested} genes respond ({WRONG_SIGNS})"
    return f"{text}, {strict} of them at FDR {FDR:g} in the stricter test" if n else text


class NotKept:
    """Stands for what predicted an effect that was read from a saved session."""

    index = np.empty(0, np.int64)

    def expression(self, edited: Any, stage: str) -> Any:
        """Refuse to predict."""
        raise NotImplementedError("call Effect.ready first")

    def evidence(self, edited: Any, effect: Any, inside: Any) -> Any:
        """Refuse to predict."""
        raise NotImplementedError("call Effect.ready first")


@dataclass(frozen=True, eq=False)
class Effect:
    """What one edit does. Knows no layers.

    Attributes
    ----------
    run
        What was asked for.
    result
        Control and perturbed surroundings.
    tested
        The result tested against chance, once that is done.
    doses
        Table of gene, strength and effect, once that was asked for.
    """

    run: PerturbationRun
    result: Perturbed
    tested: Significance | None = None
    doses: DataFrame | None = None

    @cached_property
    def cells(self) -> NDArray[np.int64]:
        """(n,) index into the section: the surroundings first, then the edited cells."""
        edited = self.result.edited
        return np.concatenate([self.result.index, edited.cells, edited.removed])

    @property
    def n_around(self) -> int:
        """How many of the cells are surroundings."""
        return len(self.result.index)

    def ready(self) -> Generator[Progress, None, Effect]:
        """Return the effect with what predicted it, for a test or a dose response.

        A saved session does not keep that; it is made again here, for a worker thread.
        """
        if not isinstance(self.result.predictor, NotKept):
            return self
        predictor = yield from self.result.request.predictor()
        return replace(self, result=replace(self.result, predictor=predictor))

    @property
    def agreement_text(self) -> str:
        """How many genes respond, once that was tested."""
        if self.tested is None:
            return ""
        first = self.table[self.table["band"] == self.table["band"].iloc[0]]
        return f"{int(responding(first).sum())} genes respond"

    @property
    def model_digest(self) -> str:
        """Fingerprint of the model's weights."""
        return self.result.request.model.digest

    def add_to(self, script: Script) -> None:
        """Add the lines that give the effect to a script."""
        self.run.add_to(script, self.result)
        if self.tested is not None:
            settings = self.tested.settings
            script.use("significance")
            script.add(
                f"tested = significance({script.variable_of(self.result)},"
                f" n_permutations={settings['n_permutations']}, seed={settings['seed']})",
                "responding = tested.table[tested.table['reported'] != 'none']",
            )

    def results(self, state: State) -> list[tuple[tuple[Opened, ...], Result]]:
        """Return what to write when it is kept."""
        return [((state.sections[self.snapshot.label],), self.result)]

    @property
    def snapshot(self) -> Snapshot:
        """What the run started from."""
        return self.run.snapshot

    @property
    def coords_um(self) -> NDArray[np.float64]:
        """(n, 2) um x y."""
        return self.snapshot.section.coords_um[self.cells]

    @cached_property
    def table(self) -> DataFrame:
        """One row a band of distance and gene; with p-values once they are known."""
        return self.result.effects() if self.tested is None else self.tested.table

    def scenario(self, name: str) -> tuple[Scenario, DataFrame]:
        """Return what runs it again, and its table; p-values are missing until they are known."""
        n_permutations, table = 0, self.table
        if self.tested is not None:
            n_permutations = self.tested.settings["n_permutations"]
        else:
            from napari_gest.tasks.perturbation.significance import untested

            table = untested(table)
        from napari_gest.tasks.perturbation.scenario_source import ScenarioSource

        section, model = self.snapshot.section, self.result.request.model
        source = ScenarioSource.of(section.reading, section, model)
        return replace(self.run.scenario(name, n_permutations), source=source), table

    @property
    def strongest(self) -> str:
        """The gene that responds most: of the surest sign or lowest p-value, where known."""
        table = self.table
        table = table[table["band"] == table["band"].iloc[0]]
        edited = {e.gene for e in self.run.edits}
        others = table[~table["gene"].isin(edited)]
        table = others if len(others) else table
        strength = table["effect"].abs()
        if "pvalue" in table:
            chance = table["lfsr" if has_signs(table) else "pvalue"]
            strength = strength / strength.max() - 10 * chance.fillna(1.0)
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


def view_of(effect: Effect, view_state: ViewState, gene: str | None = None) -> dict[str, Any]:
    """Return the changes of the view that show what an edit does.

    Parameters
    ----------
    effect
        The effect.
    view_state
        What is shown now; where it is an effect already, its view and gene are kept.
    gene
        The gene wanted; by default the one shown, or else the one that responds most.
    """
    shown = view_state.view in EFFECT_VIEWS
    if gene is None:
        known = shown and view_state.gene in effect.result.genes
        gene = view_state.gene if known else effect.strongest
    changes: dict[str, Any] = {"gene": gene, "view": view_state.view if shown else "delta"}
    if gene != view_state.gene:
        limits = ("value_limits", "difference_limits", "uncertainty_limits", "delta_limits")
        changes |= dict.fromkeys(limits)
    return changes


def delta_legend(view_state: ViewState, effects: list[Effect]) -> Legend:
    """Return the legend of a delta view, one for all effects that are shown."""
    # Colour limits use the surrounding cells only: the edit itself is far stronger.
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
