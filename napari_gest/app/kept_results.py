"""What kept runs write into each AnnData, and how it is taken back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import ref

from napari_gest.app.opened import Result
from napari_gest.app.runs.base import is_closed

if TYPE_CHECKING:
    from anndata import AnnData

    from napari_gest.app.state import State

_PREFIXES = ("gest_", "X_gest_")
_WHOLE = ("gest",)


@dataclass(eq=False)
class _Written:
    """What was written into one AnnData.

    Attributes
    ----------
    adata
        The AnnData, for as long as it lives.
    before
        Values of the project's own keys before each result, the first as the file had them.
    results
        The results, oldest first.
    """

    adata: ref[AnnData]
    before: list[dict[tuple[str, str], Any]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)


class KeptResults:
    """Makes the project's own keys of every AnnData those of the runs that are kept.

    Results write new objects and change none in place, so to remember what was there takes no
    memory. Measured values are never touched.
    """

    def __init__(self) -> None:
        self._written: dict[int, _Written] = {}

    def write(self, state: State) -> frozenset[str]:
        """Write what is kept in a state and was not, take back what is not and was.

        Returns
        -------
        The names of the keys that changed.

        Raises
        ------
        InputError
            If a result cannot be written; every AnnData is as it was then.
        """
        wanted = _wanted(state)
        changed: set[str] = set()
        for adata in {id(o.adata): o.adata for o in state.sections.values()}.values():
            results, of_section = wanted.get(id(adata), ([], {}))
            changed |= self._make(adata, results)
            for opened in state.sections.values():
                if opened.adata is adata:
                    own = of_section.get(opened.label, [])
                    if opened.results != own:
                        opened.results[:] = own
                        opened.forget_names()
        return frozenset(changed)

    def _make(self, adata: AnnData, results: list[Result]) -> set[str]:
        written = self._of(adata)
        same = 0
        for old, new in zip(written.results, results, strict=False):
            if old is not new:
                break
            same += 1
        start, before, changed = _own(adata), written.before[:same], set[str]()
        try:
            if same < len(written.results):
                changed |= _restore(adata, written.before[same])
            for result in results[same:]:
                before.append(_own(adata))
                changed |= result.write(adata)
        except Exception:
            _restore(adata, start)
            raise
        written.before, written.results = before, list(results)
        return changed

    def _of(self, adata: AnnData) -> _Written:
        """Return what was written into an AnnData; those that are gone are forgotten."""
        self._written = {k: w for k, w in self._written.items() if w.adata() is not None}
        return self._written.setdefault(id(adata), _Written(ref(adata)))


def _wanted(state: State) -> dict[int, tuple[list[Result], dict[str, list[Result]]]]:
    """Return the results to write into each AnnData, and those of each of its sections."""
    wanted: dict[int, tuple[list[Result], dict[str, list[Result]]]] = {}
    for id_ in state.kept:
        entry = state.entry(id_)
        if entry.discarded or is_closed(entry, state):
            continue
        for opened, result in entry.outcome.results(state):
            results, of_section = wanted.setdefault(id(opened[0].adata), ([], {}))
            results.append(result)
            for one in opened:
                of_section.setdefault(one.label, []).append(result)
    return wanted


def _own(adata: AnnData) -> dict[tuple[str, str], Any]:
    """Return the project's own values in an AnnData, by the table and key that hold them."""
    found = {}
    for table in ("obs", "obsm", "layers", "uns"):
        held = getattr(adata, table)
        for key in list(held.keys()):
            if str(key).startswith(_PREFIXES) or key in _WHOLE:
                found[table, key] = held[key]
    return found


def _restore(adata: AnnData, before: dict[tuple[str, str], Any]) -> set[str]:
    """Put the project's own values back; return the names of the keys that changed."""
    changed = set()
    for (table, key), value in _own(adata).items():
        if (table, key) not in before:
            del getattr(adata, table)[key]
            changed.add(key)
        elif before[table, key] is not value:
            getattr(adata, table)[key] = before[table, key]
            changed.add(key)
    for (table, key), value in before.items():
        if key not in getattr(adata, table):
            getattr(adata, table)[key] = value
            changed.add(key)
    return changed
