"""Opening and closing tissue, and which section is in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from napari_gest.app.actions.base import Action
from napari_gest.app.first_view import first_view
from napari_gest.app.from_file import entry_of, shapes_of
from napari_gest.app.model_registry import ModelRegistry
from napari_gest.app.opened import Opened
from napari_gest.app.run_preview import following
from napari_gest.app.runs.base import is_gone
from napari_gest.app.state import State
from napari_gest.app.view_state import ViewState


class TissueRef(BaseModel):
    """Where a section was read from, and how.

    Attributes
    ----------
    path
        File; None where the tissue was in memory.
    section
        Its name in the file.
    label
        Its name in the session.
    digest
        Fingerprint of the section as it was read.
    reading
        Fields of the ``Reading`` that differ from the usual ones.
    beside
        Label of a section that was open already, of the same AnnData; None where there was none.
    """

    model_config = ConfigDict(frozen=True)

    path: str | None
    section: str
    label: str
    digest: str
    reading: dict[str, Any] = Field(default_factory=dict)
    beside: str | None = None

    @classmethod
    def of(cls, opened: Opened, others: Mapping[str, Opened]) -> TissueRef:
        """Return where a section comes from that is opened beside others."""
        from napari_gest.tissue.reading import Reading

        usual = vars(Reading())
        given = {k: v for k, v in vars(opened.section.reading).items() if v != usual[k]}
        return cls(
            path=None if opened.path is None else str(opened.path.absolute()),
            section=opened.section.name,
            label=opened.label,
            digest=opened.section.digest,
            reading=given,
            beside=next((k for k, o in others.items() if o.adata is opened.adata), None),
        )


class OpenSections(Action):
    """Open sections. The first becomes the one in use; the first ever chooses what is shown.

    Generated cells that their files hold become runs that are kept, and their regions are drawn.
    """

    do: Literal["open_sections"] = "open_sections"
    tissue: tuple[TissueRef, ...] = ()
    model: str | None = None
    opened: tuple[Any, ...] = Field(default=(), exclude=True, repr=False)

    @classmethod
    def of(
        cls, opened: list[Opened], state: State, registry: ModelRegistry | None = None
    ) -> OpenSections:
        """Return the action that opens sections, each under a label of its own.

        Where no model is chosen yet, the one of ``registry`` that fits best is.
        """
        taken = set(state.sections)
        for one in opened:
            label, number = one.label, 2
            while one.label in taken:
                one.label = f"{label} ({number})"
                number += 1
            taken.add(one.label)
        model = state.choices.model
        if opened and registry is not None and model not in registry.models:
            model = registry.best_for(opened[0].section.genes)
        tissue = tuple(TissueRef.of(one, state.sections) for one in opened)
        return cls(tissue=tissue, model=model, opened=tuple(opened))

    def apply(self, state: State) -> State:
        """Return the state with the sections open."""
        if not self.opened:
            return state
        sections = MappingProxyType({**state.sections, **{one.label: one for one in self.opened}})
        first = self.opened[0]
        view = state.view
        if not state.sections and view.shows_nothing:
            view = first_view(first)
        choices = state.choices
        if self.model is not None and self.model != choices.model:
            choices = replace(choices, model=self.model)
        opened = replace(state, sections=sections, active=first.label, view=view, choices=choices)
        return _with_found(opened, self.opened)


def _with_found(state: State, opened: tuple[Opened, ...]) -> State:
    """Return the state with the generated cells and regions that opened files hold."""
    entries = [entry for one in opened if (entry := entry_of(one)) is not None]
    shapes = tuple(shape for one in opened for shape in shapes_of(one))
    if not entries and not shapes:
        return state
    return replace(
        state,
        runs=(*state.runs, *entries),
        kept=(*state.kept, *(entry.id for entry in entries)),
        shapes=(*shapes, *state.shapes),  # the role that comes first
    )


class CloseSections(Action):
    """Close sections. Shapes on them go with them, and runs on them can no longer be kept.

    A run of several sections stays on the list, and what was kept of it stays in the tissue, as
    long as one of them is open.
    """

    do: Literal["close_sections"] = "close_sections"
    labels: tuple[str, ...]

    def apply(self, state: State) -> State:
        """Return the state without the sections."""
        sections = {k: v for k, v in state.sections.items() if k not in self.labels}
        active = state.active if state.active in sections else next(iter(sections), None)
        closed = set(self.labels)
        still = replace(state, sections=MappingProxyType(sections))
        gone = {entry.id for entry in state.runs if is_gone(entry, still)}
        shown = {kind: tuple(i for i in ids if i not in gone) for kind, ids in state.shown.items()}
        left = replace(
            still,
            active=active,
            shapes=tuple(s for s in state.shapes if s.section not in closed),
            strokes=tuple(s for s in state.strokes if s.section not in closed),
            runs=tuple(entry for entry in state.runs if entry.id not in gone),
            kept=tuple(id for id in state.kept if id not in gone),
            shown=MappingProxyType(shown),
            view=_left_to_see(state.view, shown) if sections else ViewState(),
        )
        return following(left)


def _left_to_see(view: ViewState, shown: Mapping[str, tuple[str, ...]]) -> ViewState:
    """Return the view without those of runs that are gone."""
    for kind, ids in shown.items():
        view = view if ids else view.without(kind)
    return view


class Activate(Action):
    """Make another section the one in use."""

    do: Literal["activate"] = "activate"
    label: str

    def apply(self, state: State) -> State:
        """Return the state with the section in use; the same where it is not open."""
        return replace(state, active=self.label) if self.label in state.sections else state
