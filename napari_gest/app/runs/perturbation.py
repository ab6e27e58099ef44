"""One perturbation as it was asked for: everything it needs, frozen when Run is pressed."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import Snapshot
from napari_gest.app.regions import Shape, Stroke, brushed_region, of_role
from napari_gest.app.runs.base import Load, RunKind
from napari_gest.app.script import Script
from napari_gest.app.state import Label, State
from napari_gest.errors import InputError
from napari_gest.model.devices import Device, check_device
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.roi import Roi

if TYPE_CHECKING:
    from napari_gest.app.runs.effect import Effect
    from napari_gest.model.gest import GeST
    from napari_gest.model.response import ResponseHead
    from napari_gest.tasks.perturbation.perturb import PerturbRequest
    from napari_gest.tasks.perturbation.scenario import Labels, Scenario

Readout = Literal["response", "generation"]
Input = Literal["continuous", "token"]

# Name of a read-out for people: what PerturbRequest calls it, and the input of the edit.
READOUTS: dict[str, tuple[Readout, Input]] = {
    "Response of each cell": ("response", "continuous"),
    "Generated again": ("generation", "continuous"),
    "Generated again, edit as token": ("generation", "token"),
}


@dataclass(frozen=True, eq=False)
class PerturbationRun:
    """A perturbation to come.

    Attributes
    ----------
    snapshot
        Section it starts from.
    labels
        The section's obs columns that ``only`` and ``become`` name, (n_obs,) of strings each.
    shapes, strokes
        The region to edit, as it was drawn and painted.
    model
        Model to use.
    edits, strength
        Edits of genes and how strong they are.
    only
        Only these cells of the region are edited; all by default.
    become
        Cells of the region become copies of these.
    remove
        Cells of the region are taken out.
    readout
        A key of ``READOUTS``.
    seed
        Seed of everything random in it.
    path
        File of the section, for the script.
    device
        Where the network computes.
    """

    kind: ClassVar[RunKind] = "perturbation"

    snapshot: Snapshot
    labels: dict[str, NDArray[np.str_]]
    shapes: tuple[Shape, ...]
    strokes: tuple[Stroke, ...]
    model: ModelInfo
    edits: tuple[Edit, ...] = ()
    strength: float = 1.0
    only: Label | None = None
    become: Label | None = None
    remove: bool = False
    readout: str = next(iter(READOUTS))
    seed: int = 0
    path: Path | None = None
    device: Device = "auto"

    @classmethod
    def of(cls, state: State, model: ModelInfo) -> PerturbationRun:
        """Return the run of what is drawn and chosen now."""
        opened, edits = state.opened, state.edits
        assert opened is not None
        used = {label.column for label in (edits.only, edits.become) if label is not None}
        return cls(
            Snapshot.of(opened),
            {c: opened.obs_values(c).astype(str).to_numpy(str) for c in used},
            state.region("edited"),
            state.active_strokes(),
            model,
            () if edits.remove else edits.genes,
            edits.strength,
            edits.only,
            edits.become,
            edits.remove,
            edits.readout or next(iter(READOUTS)),
            state.choices.seed,
            opened.path,
            state.choices.device,
        )

    @property
    def settings(self) -> str:
        """The read-out and the strength."""
        return f"{self.readout}, strength {self.strength:g}"

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """The section that is edited."""
        return (self.snapshot,)

    @cached_property
    def roi(self) -> Roi:
        """The region to edit, um."""
        return brushed_region(self.shapes, self.strokes)

    def changed_since(self, state: State) -> str | None:
        """Tell whether the region to edit was changed."""
        label = self.snapshot.label
        shapes = of_role(state.shapes, "edited", label)
        strokes = tuple(s for s in state.strokes if s.section == label)
        if (shapes, strokes) == (self.shapes, self.strokes):
            return None
        return "The region to edit was changed since."

    @property
    def title(self) -> str:
        """A short name: what is edited, and how."""
        if self.remove:
            text = "cells removed"
        elif self.become is not None:
            text = f"become {self.become.name}"
        else:
            text = ", ".join(
                f"{e.gene} {_SHORT[e.op].format(e.value or 0)}" for e in self.edits[:2]
            )
            text += f" + {len(self.edits) - 2} more" if len(self.edits) > 2 else ""
        if self.strength != 1.0 and not self.remove:
            text += f" at {self.strength:g}"
        return text + (f" in {self.only.name}" if self.only is not None else "")

    def check(self) -> None:
        """Raise InputError where it is plain before the model is loaded that nothing can be run."""
        check_device(self.device)
        if not self.inside.any():
            raise InputError(
                "There is no cell in the region.", "Draw it over cells, or paint with the brush."
            )
        if not self.edits and self.become is None and not self.remove:
            raise InputError(
                "There is no edit.", "Add a gene to the table, or choose what the cells become."
            )

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(n_obs,) cells of the region."""
        return self.roi.contains(self.snapshot.section.coords_um)

    def mask(self, label: Label | None) -> NDArray[np.bool_] | None:
        """Return (n_obs,) the cells of a label."""
        return None if label is None else self.labels[label.column] == label.name

    def work(
        self, load: Load, response: ResponseHead | None = None
    ) -> Generator[Progress, None, Effect]:
        """Load the model and run both, control and perturbed; for a worker thread."""
        yield Progress("Loading the model", 0, 1)
        from napari_gest.app.runs.effect import Effect
        from napari_gest.tasks.threads import share_processors

        share_processors()
        request = self.request(load(self.model.name), response=response)
        return Effect(self, (yield from request.run()))

    def request(self, model: GeST, **further: Any) -> PerturbRequest:
        """Return the request of the same perturbation with a model."""
        from napari_gest.tasks.perturbation.perturb import PerturbRequest

        readout, input = READOUTS[self.readout]
        return PerturbRequest(
            self.snapshot.section,
            model,
            self.inside,
            self.edits,
            strength=self.strength,
            only=self.mask(self.only),
            replace_by=self.mask(self.become),
            remove=self.remove,
            readout=readout,
            input=input,
            seed=self.seed,
            device=self.device,
            **further,
        )

    def scenario(self, name: str, n_permutations: int) -> Scenario:
        """Return what ``napari-gest perturb --scenario`` runs again."""
        from napari_gest.tasks.perturbation.scenario import Scenario, Settings

        readout, input = READOUTS[self.readout]
        settings = Settings(
            name=name,
            model=self.model.load_name,
            section=self.snapshot.section.name,
            only=_labels(self.only),
            replace_by=_labels(self.become),
            strength=self.strength,
            remove=self.remove,
            readout=readout,
            input=input,
            seed=self.seed,
            n_permutations=n_permutations,
        )
        return Scenario(settings, self.roi, self.edits)

    def script(self) -> str:
        """Return Python code that does the same with the public functions."""
        script = Script()
        self.add_to(script, object())
        return script.text("perturbed")

    def add_to(self, script: Script, result: object) -> None:
        """Add the lines that give a result, and write it, to a script."""
        readout, input = READOUTS[self.readout]
        options = {
            "strength": self.strength,
            "remove": self.remove,
            "readout": readout,
            "input": input,
            "seed": self.seed,
            "device": self.device,
        }
        defaults = {"strength": 1.0, "remove": False, "input": "continuous", "seed": 0}
        defaults["device"] = "auto"
        given = [f"{k}={v!r}" for k, v in options.items() if defaults.get(k) != v]
        section, model = script.section(self.snapshot.section, self.path), script.model(self.model)
        adata = script.adata(self.snapshot.section, self.path)
        script.region(self.roi, "region")
        script.use("perturb", "Edit")
        edits = [f"    Edit({e.gene!r}, {e.op!r}, {e.value!r})," for e in self.edits]
        script.add(f"roi = region.contains({section}.coords_um)", "edits = [", *edits, "]")
        if self.only is not None or self.become is not None:
            script.add(f"obs = {adata}.obs.iloc[{section}.rows].astype(str)")
        for name, label in (("only", self.only), ("replace_by", self.become)):
            if label is not None:
                script.add(f"{name} = (obs[{label.column!r}] == {label.name!r}).to_numpy()")
                given.append(f"{name}={name}")
        made = script.result(result)
        script.add(
            f"{made} = perturb({section}, {model}, roi, edits, {', '.join(given)})",
            f"{made}.write({adata})",
        )


_SHORT = {"set": "= {:g}", "multiply": "× {:g}", "shift": "{:+g}", "knockout": "off"}


def _labels(label: Label | None) -> Labels | None:
    from napari_gest.tasks.perturbation.scenario import Labels

    return None if label is None else Labels(key=label.column, values=(label.name,))
