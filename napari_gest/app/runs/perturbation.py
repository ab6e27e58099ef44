"""One perturbation as it was asked for: everything it needs, frozen when Run is pressed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.script import ROI_IMPORT, read_call, roi_call, section_call
from napari_gest.app.session import Snapshot
from napari_gest.errors import InputError
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.roi import Roi

if TYPE_CHECKING:
    from napari_gest.model.gest import GeST
    from napari_gest.model.response import ResponseHead
    from napari_gest.tasks.perturbation.perturb import Perturbed
    from napari_gest.tasks.perturbation.scenario import Labels, Scenario

Readout = Literal["response", "generation"]
Input = Literal["continuous", "token"]

# Name of a read-out for people: what PerturbRequest calls it, and the input of the edit.
READOUTS: dict[str, tuple[Readout, Input]] = {
    "Response of each cell": ("response", "continuous"),
    "Generated again": ("generation", "continuous"),
    "Generated again, edit as token": ("generation", "token"),
}


@dataclass(frozen=True)
class Label:
    """Cells of one label of an obs column."""

    column: str
    name: str


@dataclass(frozen=True, eq=False)
class Experiment:
    """A perturbation to come.

    Attributes
    ----------
    snapshot
        Section it starts from.
    labels
        The section's obs columns that ``only`` and ``become`` name, (n_obs,) of strings each.
    roi
        The region to edit.
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
    """

    snapshot: Snapshot
    labels: dict[str, NDArray[np.str_]]
    roi: Roi
    model: ModelInfo
    edits: tuple[Edit, ...] = ()
    strength: float = 1.0
    only: Label | None = None
    become: Label | None = None
    remove: bool = False
    readout: str = next(iter(READOUTS))
    seed: int = 0
    path: Path | None = None

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
        self, load: Callable[[str], GeST], response: ResponseHead | None = None
    ) -> Generator[Progress, None, Perturbed]:
        """Load the model and run both, control and perturbed; for a worker thread."""
        yield Progress("Loading the model", 0, 1)
        from napari_gest.tasks.perturbation.perturb import PerturbRequest
        from napari_gest.tasks.threads import share_processors

        share_processors()
        readout, input = READOUTS[self.readout]
        request = PerturbRequest(
            self.snapshot.section,
            load(self.model.name),
            self.inside,
            self.edits,
            strength=self.strength,
            only=self.mask(self.only),
            replace_by=self.mask(self.become),
            remove=self.remove,
            readout=readout,
            input=input,
            seed=self.seed,
            response=response,
        )
        return (yield from request.run())

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
        readout, input = READOUTS[self.readout]
        options = {
            "strength": self.strength,
            "remove": self.remove,
            "readout": readout,
            "input": input,
            "seed": self.seed,
        }
        defaults = {"strength": 1.0, "remove": False, "input": "continuous", "seed": 0}
        given = [f"{k}={v!r}" for k, v in options.items() if defaults.get(k) != v]
        lines = [
            f"adata = {read_call(self.path)}",
            f"section = {section_call(self.snapshot.section)}",
            f"model = GeST.load({self.model.load_name!r})",
            f"roi = {roi_call(self.roi)}.contains(section.coords_um)",
            "edits = [",
            *(f"    Edit({e.gene!r}, {e.op!r}, {e.value!r})," for e in self.edits),
            "]",
        ]
        if self.only is not None or self.become is not None:
            lines.append("obs = adata.obs.iloc[section.rows].astype(str)")
        for name, label in (("only", self.only), ("replace_by", self.become)):
            if label is not None:
                lines.append(f"{name} = (obs[{label.column!r}] == {label.name!r}).to_numpy()")
                given.append(f"{name}={name}")
        lines += [
            f"result = perturb(section, model, roi, edits, {', '.join(given)})",
            "result.write(adata)",
            'write_tissue(adata, "perturbed.h5ad")',
        ]
        names = "Edit, GeST, perturb, read_tissue, Roi, Section, write_tissue"
        header = [ROI_IMPORT, "", f"from napari_gest import {names}", ""]
        return "\n".join([*header, *lines]) + "\n"


_SHORT = {"set": "= {:g}", "multiply": "× {:g}", "shift": "{:+g}", "knockout": "off"}


def _labels(label: Label | None) -> Labels | None:
    from napari_gest.tasks.perturbation.scenario import Labels

    return None if label is None else Labels(key=label.column, values=(label.name,))
