"""One labelling as it was asked for: what to learn from, what to label."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.script import ROI_IMPORT, read_call, roi_call, section_call
from napari_gest.app.session import Opened
from napari_gest.errors import InputError
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.roi import Roi

if TYPE_CHECKING:
    from napari_gest.model.gest import GeST
    from napari_gest.tasks.labels.annotate import Annotated, LabelAgreement


@dataclass(frozen=True, eq=False)
class NamedRegion:
    """A region drawn on a section, and the name it was given."""

    name: str
    roi: Roi


@dataclass(frozen=True, eq=False)
class LabelPlan:
    """A labelling to come.

    Attributes
    ----------
    model
        Model to use.
    target
        Section to label.
    source
        Section to learn from; None: the model has learned its labels already.
    column
        Column of obs with the labels, or None where they were drawn.
    regions
        Regions drawn; where they overlap, the later one counts.
    """

    model: ModelInfo
    target: Opened
    source: Opened | None = None
    column: str | None = None
    regions: tuple[NamedRegion, ...] = ()

    def labels(self) -> NDArray[np.object_]:
        """Return (n_obs,) labels of the source's cells, None where there is none.

        Raises
        ------
        InputError
            If there are not two labels at least.
        """
        from napari_gest.tasks.labels.annotate import labels_from_obs

        assert self.source is not None
        section = self.source.section
        if self.column is not None:
            labels = labels_from_obs(
                self.source.adata,
                self.column,
                section.rows,
                include_generated=section.include_generated,
            )
        else:
            labels = region_labels(self.regions, section.coords_um)
        found = sorted({x for x in labels if x is not None})
        if len(found) < 2:
            raise InputError(
                f"There is {'one label' if found else 'no label'} to learn from"
                f"{f': {found[0]}' if found else ''}.",
                "Choose a column with two labels at least."
                if self.column is not None
                else "Draw regions with two names at least, around cells.",
            )
        return labels

    def work(self, load: Callable[[str], GeST]) -> Generator[Progress, None, Labelled]:
        """Load the model, train the head if there are labels, and label; for a worker thread."""
        yield Progress("Loading the model", 0, 1)
        from napari_gest.tasks.labels.annotate import (
            AnnotateRequest,
            HeadConfig,
            HeadRequest,
            labels_from_obs,
        )
        from napari_gest.tasks.threads import share_processors

        share_processors()
        model = load(self.model.name)
        if self.source is not None:
            model = yield from HeadRequest(
                model, [self.source.section], [self.labels()], HeadConfig(), self.column
            ).run()
        annotated = yield from AnnotateRequest(self.target.section, model).run()
        agreement = None
        known = self.column is not None and self.column in self.target.adata.obs
        if self.column is not None and known and self.target is not self.source:
            section = self.target.section
            truth = labels_from_obs(
                self.target.adata,
                self.column,
                section.rows,
                include_generated=section.include_generated,
            )
            if any(x is not None for x in truth):
                agreement = annotated.agreement(truth)
        return Labelled(self, model, annotated, agreement)

    def script(self) -> str:
        """Return Python code that does the same with the public functions."""
        names = {"GeST", "Section", "annotate", "read_tissue", "write_tissue"}
        lines = [f"model = GeST.load({self.model.load_name!r})"]
        if self.source is not None:
            names.add("train_head")
            lines += [
                f"labelled = {read_call(self.source.path)}",
                f"source = {section_call(self.source.section, 'labelled')}",
            ]
            if self.column is not None:
                names.add("labels_from_obs")
                too = ", include_generated=True" if self.source.section.include_generated else ""
                lines.append(
                    f"labels = labels_from_obs(labelled, {self.column!r}, source.rows{too})"
                )
            else:
                names.add("Roi")
                lines.append("labels = np.full(source.n_obs, None, object)")
                for region in self.regions:
                    lines.append(f"roi = {roi_call(region.roi)}")
                    lines.append(f"labels[roi.contains(source.coords_um)] = {region.name!r}")
            key = f", label_key={self.column!r}" if self.column is not None else ""
            lines.append(f"model = train_head(model, [source], [labels]{key})")
        lines += [
            f"adata = {read_call(self.target.path)}",
            f"section = {section_call(self.target.section)}",
            "result = annotate(section, model)",
            "result.write(adata)",
            'write_tissue(adata, "labelled.h5ad")',
        ]
        head = [f"from napari_gest import {', '.join(sorted(names, key=str.lower))}", ""]
        if "Roi" in names:
            head[:0] = ["import numpy as np", ROI_IMPORT]
        return "\n".join([*head, *lines]) + "\n"


@dataclass(frozen=True, eq=False)
class Labelled:
    """What a labelling returns.

    Attributes
    ----------
    plan
        What was asked for.
    model
        The model with its label layer.
    annotated
        Labels and probabilities.
    agreement
        With the labels the target had, if it was not what was learned from; else None.
    """

    plan: LabelPlan
    model: GeST
    annotated: Annotated
    agreement: LabelAgreement | None


def region_labels(
    regions: tuple[NamedRegion, ...], coords_um: NDArray[np.float64]
) -> NDArray[np.object_]:
    """Return (n,) name of the region each cell lies in, None outside."""
    labels = np.full(len(coords_um), None, object)
    for region in regions:
        labels[region.roi.contains(coords_um)] = region.name
    return labels
