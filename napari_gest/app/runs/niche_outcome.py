"""Niches of a search: how many are asked for, what was changed by hand, and what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_gest.app.opened import Opened, Result
from napari_gest.app.runs.niches import NicheCommit, NicheSearch

if TYPE_CHECKING:
    from napari_gest.app.script import Script
    from napari_gest.app.state import State
    from napari_gest.tasks.generation.generated import Generated
    from napari_gest.tasks.niches.generated_niches import GeneratedNiches
    from napari_gest.tasks.niches.niches import Clustered

Asked = tuple[str, float]  # ("number", n) or ("resolution", r)


@dataclass(frozen=True, eq=False)
class NicheEdit:
    """Niches as they were found, and what was changed by hand since.

    Attributes
    ----------
    niches
        The niches.
    calls
        Calls on the niches found that give these, such as ``merged(['niche 1', 'niche 2'])``.
    """

    niches: Clustered
    calls: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class NicheOutcome:
    """What is shown of a search, and what is kept of it.

    Attributes
    ----------
    search
        Embeddings, and the tree that previews any number of niches.
    asked
        How many are shown.
    edits
        By what was asked for: the niches found, and each change by hand after another.
    stability
        By what was asked for: (K,) stability of each niche found.
    kept_niches
        The niches that were kept, or None.
    kept_by
        How many were asked for, and the changes by hand, of those that were kept.
    """

    search: NicheSearch
    asked: Asked
    edits: Mapping[Asked, tuple[NicheEdit, ...]]
    stability: Mapping[Asked, NDArray[np.float64]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    kept_niches: Clustered | None = None
    kept_by: tuple[Asked, tuple[str, ...]] | None = None
    _commits: dict[Any, list[tuple[tuple[Opened, ...], NicheCommit]]] = field(
        default_factory=dict, repr=False
    )

    @classmethod
    def of(cls, search: NicheSearch, n_niches: int) -> NicheOutcome:
        """Return the outcome that first shows a number of niches."""
        asked = ("number", float(n_niches))
        first = NicheEdit(search.tree.cut(n_niches))
        return cls(search, asked, MappingProxyType({asked: (first,)}))

    @property
    def niches(self) -> Clustered:
        """The niches shown."""
        return self.edits[self.asked][-1].niches

    @property
    def is_preview(self) -> bool:
        """Whether they are a cut of the tree, in place of which niches are being found."""
        return self.niches.settings["method"] == "tree"

    @property
    def is_kept(self) -> bool:
        """Whether the niches shown are those that were kept."""
        return self.kept_niches is self.niches

    @property
    def is_edited(self) -> bool:
        """Whether something was changed by hand."""
        return len(self.edits[self.asked]) > 1

    @property
    def stability_shown(self) -> NDArray[np.float64] | None:
        """(K,) stability of the niches shown, if it is known; merged niches have none."""
        known = self.stability.get(self.asked)
        return known if known is not None and len(known) == self.niches.n_niches else None

    @property
    def agreement_text(self) -> str:
        """How many there are."""
        return f"{self.niches.n_niches} niches"

    @property
    def model_digest(self) -> str:
        """Fingerprint of the model's weights."""
        return str(self.search.embedded[0].settings.get("model_digest", ""))

    def asking(self, asked: Asked, found: Clustered | None = None) -> NicheOutcome:
        """Return the outcome that shows as many as ``asked``; ``found`` are new ones of it."""
        edits = dict(self.edits)
        if found is not None:
            edits[asked] = (NicheEdit(found),)
        elif asked not in edits:
            edits[asked] = (NicheEdit(self.search.tree.cut(int(asked[1]))),)
        return replace(self, asked=asked, edits=MappingProxyType(edits))

    def with_found(self, asked: Asked, niches: Clustered) -> NicheOutcome:
        """Put niches in the place of their preview, in its colours as far as they are alike."""
        colored = niches.colored_like(self.edits[asked][-1].niches)
        pairs = zip(niches.names, niches.colors, colored.colors, strict=True)
        changed = {name: new for name, old, new in pairs if new != old}
        calls = (f"recolored({changed!r})",) if changed else ()
        edits = {**self.edits, asked: (NicheEdit(colored, calls),)}
        return replace(self, edits=MappingProxyType(edits))

    def with_first(self, asked: Asked, first: NicheEdit) -> NicheOutcome:
        """Put niches in the place of their preview, or of others, as they are."""
        return replace(self, edits=MappingProxyType({**self.edits, asked: (first,)}))

    def with_stability(self, asked: Asked, stability: NDArray[np.float64]) -> NicheOutcome:
        """Return the outcome that knows how stable niches are."""
        return replace(self, stability=MappingProxyType({**self.stability, asked: stability}))

    def with_edit(self, niches: Clustered, call: str) -> NicheOutcome:
        """Return the outcome with a change by hand."""
        now = self.edits[self.asked]
        edits = {**self.edits, self.asked: (*now, NicheEdit(niches, (*now[-1].calls, call)))}
        return replace(self, edits=MappingProxyType(edits))

    def with_edits(self, asked: Asked, edits: tuple[NicheEdit, ...]) -> NicheOutcome:
        """Return the outcome with these niches and changes, shown."""
        return replace(self, asked=asked, edits=MappingProxyType({**self.edits, asked: edits}))

    def kept(self) -> NicheOutcome:
        """Return the outcome of which the niches shown are kept."""
        calls = self.edits[self.asked][-1].calls
        return replace(self, kept_niches=self.niches, kept_by=(self.asked, calls))

    def kept_as(self, before: NicheOutcome) -> NicheOutcome:
        """Return the outcome of which what was kept before is kept."""
        return replace(self, kept_niches=before.kept_niches, kept_by=before.kept_by)

    def with_search(self, search: NicheSearch) -> NicheOutcome:
        """Return the outcome of the same niches with more generated cells among them."""
        return replace(self, search=search)

    def results(self, state: State) -> list[tuple[tuple[Opened, ...], Result]]:
        """Return what to write when it is kept, one result for each AnnData."""
        if self.kept_niches is None:
            return []
        generated = kept_generated(state)
        key = (self.kept_niches, self.search, tuple(generated))
        if key not in self._commits:
            self._commits[key] = self.search.commits(self.kept_niches, generated)
        return list(self._commits[key])

    def script(self) -> str:
        """Return Python code that gives the niches shown."""
        by, value = self.asked
        return self.search.run.script(by, value, self.edits[self.asked][-1].calls)

    def add_to(self, script: Script) -> None:
        """Add the lines that give the niches that are kept, and write them, to a script."""
        run, kept = self.search.run, self.kept_edit()
        if kept is None:
            return
        (by, value), edit = kept
        embedded, niches = run.add_to(script, edit.niches, by, value, edit.calls)
        files: dict[str, list[Opened]] = {}
        for one in run.opened:
            files.setdefault(script.adata(one.section, one.path), []).append(one)
        for adata, opened in files.items():
            own = {id(one.section) for one in opened}
            made = [g for g in self.search.generated if id(g.generated.section) in own]

            def lines(made: list[GeneratedNiches] = made, adata: str = adata) -> list[str]:
                """Return those of the generated cells that are kept: by now all are made."""
                found = []
                for g in made:
                    result = script.variable_of(g.generated)
                    if result is not None:
                        script.use("generated_niches")
                        draw = "" if g.draw == 1 else f", draw={g.draw}"
                        call = f"generated_niches({result}, {script.model(run.model)}, {embedded}"
                        found.append(f"{call}{draw}).write({adata}, {niches})")
                return found

            # Of niches that are kept later for the same file none of these are left.
            script.at_last(adata, lines)

    def kept_edit(self) -> tuple[Asked, NicheEdit] | None:
        """Return how many niches were asked for, and the edit, of those that are kept."""
        if self.kept_niches is None or self.kept_by is None:
            return None
        asked, calls = self.kept_by
        return asked, NicheEdit(self.kept_niches, calls)


def kept_generated(state: State) -> list[Generated]:
    """Return the results of generation that are kept; not those that a file was opened with."""
    from napari_gest.app.from_file import is_from_file

    entries = [state.entry(id) for id in state.kept if not is_from_file(state.entry(id))]
    return [e.outcome.result for e in entries if e.kind == "generation" and not e.discarded]
