"""One labelling as it was asked for: what to learn from, what to label."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from cmap import Color
from numpy.typing import NDArray

from napari_gest import keys
from napari_gest.app import colors
from napari_gest.app.model_registry import ModelInfo
from napari_gest.app.opened import Opened, Result, Snapshot
from napari_gest.app.regions import Shape, drawn_region
from napari_gest.app.runs.base import Load, RunKind
from napari_gest.app.script import Script
from napari_gest.errors import InputError
from napari_gest.tasks.progress import Progress
from napari_gest.tissue.roi import Roi

if TYPE_CHECKING:
    from anndata import AnnData

    from napari_gest.app.state import State
    from napari_gest.model.gest import GeST
    from napari_gest.tasks.labels.annotate import Annotated, LabelAgreement


@dataclass(frozen=True)
class NamedRegion:
    """A region that was drawn and named.

    Attributes
    ----------
    name
        Name of its cells.
    roi
        The region, um of its section.
    section
        Label of the section it lies on.
    """

    name: str
    roi: Roi
    section: str


@dataclass(frozen=True, eq=False)
class LabelRun:
    """A labelling to come.

    Attributes
    ----------
    model
        Model to use.
    target
        Section to label.
    sources
        Sections to learn from; none: the model has learned its labels already.
    column
        Column of obs with the labels, or None where they were drawn.
    regions
        Regions drawn on the sources; where they overlap, the later one counts.
    naming
        Names of all regions that are drawn, on whatever section, in the order of naming: it gives
        them their colours.
    """

    kind: ClassVar[RunKind] = "labels"

    model: ModelInfo
    target: Opened
    sources: tuple[Opened, ...] = ()
    column: str | None = None
    regions: tuple[NamedRegion, ...] = ()
    naming: tuple[str, ...] = ()

    @classmethod
    def of_drawn(
        cls, state: State, model: ModelInfo, target: Opened, sources: tuple[Opened, ...]
    ) -> LabelRun:
        """Return the run that learns from the regions that are drawn and named now.

        Raises
        ------
        InputError
            If one on the sources has no name.
        """
        regions = named_regions(_drawn_on(state, sources))
        naming = tuple(s.name for s in state.shapes if s.role == "named")
        return cls(model, target, sources, None, regions, naming)

    @property
    def title(self) -> str:
        """What was learned, and what is labelled."""
        return f"{self.settings} on {self.target.label}"

    @property
    def settings(self) -> str:
        """What it learned from."""
        return self.column or ("drawn regions" if self.sources else "known labels")

    @property
    def seed(self) -> int:
        """Nothing in it is random but what the label layer draws, with seed 0."""
        return 0

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """The section that is labelled; those learned from are not written to."""
        return (Snapshot(self.target.label, self.target.section),)

    @property
    def opened(self) -> tuple[Opened, ...]:
        """The section that is labelled, and those learned from, as they were opened."""
        return tuple(dict.fromkeys((self.target, *self.sources)))

    def changed_since(self, state: State) -> str | None:
        """Tell whether what was learned from was closed, or its regions were drawn anew."""
        for one in self.sources:
            if state.sections.get(one.label) is not one:
                return f"The section '{one.label}', which was learned from, was closed."
        if not self.sources or self.column is not None:
            return None
        try:
            if named_regions(_drawn_on(state, self.sources)) == self.regions:
                return None
        except InputError:  # one has no name, or no area
            pass
        return "The named regions were changed since."

    def check(self) -> None:
        """Raise InputError if there are not two labels at least to learn from.

        What the work needs of the open tissue is read now: it may change while that goes on.
        """
        for one in (self.target, *self.sources):
            one.require_same_file()
        _ = self.truth, self.colors
        if not self.sources:
            return
        found = sorted({x for labels in self.labels for x in labels if x is not None})
        if len(found) < 2:
            raise InputError(
                f"There is {'one label' if found else 'no label'} to learn from"
                f"{f': {found[0]}' if found else ''}.",
                "Choose a column with two labels at least."
                if self.column is not None
                else "Draw regions with two names at least, around cells.",
            )

    @cached_property
    def labels(self) -> tuple[NDArray[np.object_], ...]:
        """(n_obs,) labels of the cells of each source, None where there is none."""
        if self.column is not None:
            return tuple(_column(one, self.column) for one in self.sources)
        return tuple(
            region_labels(
                [r for r in self.regions if r.section == one.label], one.section.coords_um
            )
            for one in self.sources
        )

    @cached_property
    def truth(self) -> NDArray[np.object_] | None:
        """(n_obs,) labels that the target has itself; None where they were learned from."""
        if self.column is None or self.column not in self.target.adata.obs:
            return None
        if self.target in self.sources:
            return None
        truth = _column(self.target, self.column)
        return truth if any(x is not None for x in truth) else None

    @cached_property
    def colors(self) -> Mapping[str, NDArray[np.float32]]:
        """Colours (4,) of names: those of the outlines drawn, or of the column learned from."""
        if self.column is None:
            return colors.label_colors(self.naming)
        found: dict[str, NDArray[np.float32]] = {}
        for adata in {id(one.adata): one.adata for one in self.sources}.values():
            stored = adata.uns.get(f"{self.column}_colors")
            column = colors.categories(adata.obs[self.column], stored)
            for name, color in zip(column.names, column.colors, strict=True):
                found.setdefault(name, color)
        return found

    def work(self, load: Load) -> Generator[Progress, None, Labelled]:
        """Load the model, train the head if there are labels, and label; for a worker thread."""
        yield Progress("Loading the model", 0, 1)
        from napari_gest.tasks.labels.annotate import AnnotateRequest, HeadConfig, HeadRequest
        from napari_gest.tasks.threads import share_processors

        share_processors()
        model = load(self.model.name)
        if self.sources:
            sections = [one.section for one in self.sources]
            model = yield from HeadRequest(
                model, sections, list(self.labels), HeadConfig(), self.column
            ).run()
        annotated = yield from AnnotateRequest(self.target.section, model).run()
        agreement = None if self.truth is None else annotated.agreement(self.truth)
        return Labelled(self, model, annotated, agreement)

    def script(self) -> str:
        """Return Python code that does the same with the public functions."""
        script = Script()
        self.add_to(script, object())
        return script.text("labelled")

    def add_to(self, script: Script, result: object) -> None:
        """Add the lines that give labels, and write them, to a script."""
        model = script.model(self.model)
        if self.sources:
            sections, labels = [], []
            for one in self.sources:
                sections.append(script.section(one.section, one.path))
                labels.append(self._labels_of(one, script))
            key = f", label_key={self.column!r}" if self.column is not None else ""
            script.use("train_head")
            trained = script.result(self, "labelling")
            several = f"[{', '.join(sections)}], [{', '.join(labels)}]"
            script.add(f"{trained} = train_head({model}, {several}{key})")
            model = trained
        section = script.section(self.target.section, self.target.path)
        made = script.result(result, "labelled")
        script.use("annotate")
        script.add(
            f"{made} = annotate({section}, {model})",
            f"{made}.write({script.adata(self.target.section, self.target.path)})",
        )

    def _labels_of(self, source: Opened, script: Script) -> str:
        """Return the variable of the labels of a source, made in a script."""
        section = script.section(source.section, source.path)
        adata = script.adata(source.section, source.path)
        names = f"labels_of_{section}"
        if self.column is not None:
            script.use("labels_from_obs")
            too = ", include_generated=True" if source.section.include_generated else ""
            call = f"labels_from_obs({adata}, {self.column!r}, {section}.rows{too})"
            script.add(f"{names} = {call}")
            return names
        script.header("import numpy as np")
        script.add(f"{names} = np.full({section}.n_obs, None, object)")
        for region in self.regions:
            if region.section == source.label:
                script.region(region.roi, "roi")
                script.add(f"{names}[roi.contains({section}.coords_um)] = {region.name!r}")
        return names


@dataclass(frozen=True, eq=False)
class Labelled:
    """What a labelling returns.

    Attributes
    ----------
    run
        What was asked for.
    model
        The model with its label layer; None of a result that was read from a saved session.
    annotated
        Labels and probabilities.
    agreement
        With the labels the target had, if it was not what was learned from; else None.
    """

    run: LabelRun
    model: GeST | None
    annotated: Annotated
    agreement: LabelAgreement | None

    @property
    def agreement_text(self) -> str:
        """Macro-F1 on known labels, where there are any that were not learned from."""
        return "" if self.agreement is None else f"macro-F1 {self.agreement.macro_f1:.3f}"

    @cached_property
    def colors(self) -> NDArray[np.float32]:
        """(C, 4) colours of the labels: those of what was learned from."""
        known = self.run.colors
        # A name it has no colour for, such as of a model that knew its labels, gets another one.
        names = [*known, *self.annotated.classes]
        usual = colors.label_colors(names)
        return np.stack([known.get(c, usual[c]) for c in self.annotated.classes])

    @cached_property
    def _commit(self) -> LabelCommit:
        return LabelCommit(self.annotated, self.colors)

    @property
    def model_digest(self) -> str:
        """Fingerprint of the weights of the model, without its label layer."""
        return str(self.annotated.settings.get("model_digest", ""))

    def add_to(self, script: Script) -> None:
        """Add the lines that give the labels to a script."""
        self.run.add_to(script, self.annotated)
        target = self.run.target
        key = f"{keys.LABEL}_colors"
        if key in target.adata.uns:  # as they are now, with those of labels kept before
            own = [str(color) for color in target.adata.uns[key]]
            adata = script.adata(target.section, target.path)
            script.add(f"{adata}.uns[{key!r}] = {own!r}")

    def results(self, state: State) -> list[tuple[tuple[Opened, ...], Result]]:
        """Return what to write when it is kept."""
        return [((self.run.target,), self._commit)]


@dataclass(frozen=True, eq=False)
class LabelCommit:
    """Labels and their colours (C, 4), to be written into an AnnData."""

    annotated: Annotated
    colors: NDArray[np.float32]

    @property
    def rows(self) -> NDArray[np.int64]:
        """(n,) row of each cell in the AnnData."""
        return self.annotated.rows

    def write(self, adata: AnnData) -> frozenset[str]:
        """Write labels, confidence and colours; labels of other sections keep theirs."""
        known: dict[str, str] = {}
        if keys.LABEL in adata.obs:
            stored = np.atleast_1d(adata.uns.get(keys.LABEL_COLORS, []))
            known.update(zip(adata.obs[keys.LABEL].cat.categories, stored, strict=False))
        own = zip(self.annotated.classes, self.colors, strict=True)
        known.update({name: Color(color).hex for name, color in own})
        changed = self.annotated.write(adata)
        names = list(adata.obs[keys.LABEL].cat.categories)
        usual = colors.label_colors(names)
        adata.uns[keys.LABEL_COLORS] = [known.get(n) or Color(usual[n]).hex for n in names]
        return changed | {keys.LABEL_COLORS}


def named_regions(shapes: Sequence[Shape]) -> tuple[NamedRegion, ...]:
    """Return the regions that shapes are, each with its name.

    Raises
    ------
    InputError
        If one has no name.
    """
    if any(not shape.name for shape in shapes):
        raise InputError(
            "A region has no name.", "Select it on the canvas, then type a name for it."
        )
    return tuple(NamedRegion(s.name, drawn_region([s]), s.section) for s in shapes)


def region_labels(
    regions: Sequence[NamedRegion], coords_um: NDArray[np.float64]
) -> NDArray[np.object_]:
    """Return (n,) name of the region each cell lies in, None outside."""
    labels = np.full(len(coords_um), None, object)
    for region in regions:
        labels[region.roi.contains(coords_um)] = region.name
    return labels


def _drawn_on(state: State, sources: Sequence[Opened]) -> list[Shape]:
    """Return the named shapes on some sections, in the order they were drawn."""
    own = {one.label for one in sources}
    return [s for s in state.shapes if s.role == "named" and s.section in own]


def _column(opened: Opened, column: str) -> NDArray[np.object_]:
    """Return (n_obs,) labels of an obs column, None where there is none."""
    from napari_gest.tasks.labels.annotate import labels_from_obs

    section = opened.section
    return labels_from_obs(
        opened.adata, column, section.rows, include_generated=section.include_generated
    )
