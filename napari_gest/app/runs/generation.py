"""One run as it was asked for: everything it needs, frozen when Run is pressed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.script import ROI_IMPORT, read_call, roi_call, section_call
from napari_gest.app.session import Snapshot
from napari_gest.errors import InputError
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.roi import Roi

if TYPE_CHECKING:
    from napari_gest.model.gest import GeST
    from napari_gest.tasks.generation.generate import Agreement, Generated

Mode = Literal["weighted", "pick", "sample"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """First payload of a run: where new cells were placed, (m, 2) um x y, or None."""

    new_coords_um: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class Begun:
    """Payload of a run that begins to generate: what there is of it whenever it is asked."""

    so_far: Callable[[], Generated]


@dataclass(frozen=True, eq=False)
class Finished:
    """What a run returns: its result and, where truth exists, how well they agree."""

    result: Generated
    agreement: Agreement | None


@dataclass(frozen=True, eq=False)
class Plan:
    """A run to come.

    Attributes
    ----------
    snapshot
        Section it starts from.
    unseen
        (n_obs,) bool, the cells to generate; all false if the region has none.
    model
        Model to use.
    mode
        Read-out.
    seed
        Seed of everything random in it.
    roi
        The region drawn, or None where ``mask_key`` names an obs column.
    mask_key
        The obs column that marks the cells, or None.
    path
        File of the section, for the script.
    """

    snapshot: Snapshot
    unseen: NDArray[np.bool_]
    model: ModelInfo
    mode: Mode = "weighted"
    seed: int = 0
    roi: Roi | None = None
    mask_key: str | None = None
    path: Path | None = None

    def check(self) -> None:
        """Raise InputError if the region leaves nothing to generate or nothing to learn from."""
        if self.unseen.all():
            raise InputError(
                "The region holds every cell of the section.",
                "Leave some tissue outside it: the model generates from what surrounds a region.",
            )
        if self.roi is None and not self.unseen.any():
            raise InputError("No cell is marked.", "Choose another column, or draw a region.")

    def restarted(self, seed: int) -> Plan:
        """Return the same run with another seed."""
        return replace(self, seed=seed)

    def work(self, load: Callable[[str], GeST]) -> Generator[Progress, None, Finished]:
        """Place cells if there are none, load the model and generate; for a worker thread."""
        section = self.snapshot.section
        new = None
        if self.roi is not None and not self.unseen.any():
            from napari_gest.tissue.placement import place_cells

            yield Progress("Placing new cells", 0, 1)
            new = place_cells(self.roi, section.occupied_um, np.random.default_rng(self.seed))
            if not len(new):
                raise InputError(
                    "The region is too small for a cell.", "Draw a larger one, near the tissue."
                )
        yield Progress("Loading the model", 0, 1, payload=Prepared(new))
        from napari_gest.tasks.generation.generate import GenerateRequest
        from napari_gest.tasks.threads import share_processors

        share_processors()
        request = GenerateRequest(
            section,
            load(self.model.name),
            self.unseen,
            mode=self.mode,
            seed=self.seed,
            new_coords_um=new,
        )
        generation = request.begin()
        yield Progress("Generating cells", 0, 1, payload=Begun(generation.so_far))
        result = yield from generation.steps()
        agreement = result.agreement(section) if self.unseen.any() else None
        return Finished(result, agreement)

    def script(self) -> str:
        """Return Python code that does the same with the public functions."""
        names = ["GeST", "Section", "generate", "read_tissue", "write_tissue"]
        lines = [
            f"adata = {read_call(self.path)}",
            f"section = {section_call(self.snapshot.section)}",
        ]
        extra = ""
        if self.mask_key is not None:
            names.append("mask_from_obs")
            lines.append(f"unseen = mask_from_obs(adata, {self.mask_key!r}, section.rows)")
        elif self.roi is not None:
            names.append("Roi")
            lines.append(f"roi = {roi_call(self.roi)}")
            lines.append("unseen = roi.contains(section.coords_um)")
            if not self.unseen.any():
                names.append("place_cells")
                rng = f"np.random.default_rng({self.seed})"
                lines.append(f"new = place_cells(roi, section.occupied_um, {rng})")
                extra = ", new_coords_um=new"
        arguments = f"section, model, unseen, mode={self.mode!r}, seed={self.seed}{extra}"
        lines += [
            f"model = GeST.load({self.model.load_name!r})",
            f"result = generate({arguments})",
            'write_tissue(result.to_anndata(adata), "generated.h5ad")',
        ]
        header = ["import numpy as np"] if extra else []
        header += [ROI_IMPORT] if "Roi" in names else []
        header.append(f"from napari_gest import {', '.join(sorted(names, key=str.lower))}")
        return "\n".join([*header, "", *lines]) + "\n"
