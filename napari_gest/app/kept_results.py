"""What kept runs write into each AnnData, and how it is taken back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_gest.app.opened import Result, is_about_others
from napari_gest.app.runs.base import is_gone
from napari_gest.errors import InputError

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
    before
        Values of the project's own keys before each result, the first as the file had them.
    results
        The results, oldest first.
    """

    before: list[dict[tuple[str, str], Any]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)


class KeptResults:
    """Makes the project's own keys of every open AnnData those of the runs that are kept.

    An AnnData of which no section is open any more stays as it is, and is forgotten.
    Results write new objects and change none in place, so to remember what was there takes no
    memory. Measured values are never touched.
    """

    def __init__(self) -> None:
        self._written: dict[int, _Written] = {}
        self._held: Counter[int] = Counter()

    def hold(self, adata: AnnData) -> None:
        """Write nothing into an AnnData until it is let go of: it is read meanwhile."""
        self._held[id(adata)] += 1

    def let_go(self, adata: AnnData) -> None:
        """Write into an AnnData again that was held."""
        self._held[id(adata)] -= 1

    def write(self, state: State) -> frozenset[str]:
        """Write what is kept in a state and was not, take back what is not and was.

        Returns
        -------
        The names of the keys that changed.

        Raises
        ------
        InputError
            If a result cannot be written, or is being read; every AnnData is as it was then.
        """
        wanted = _wanted(state)
        open_ = {id(o.adata): o.adata for o in state.sections.values()}
        written = {key: self._written.get(key, _Written()) for key in open_}
        start: dict[int, dict[tuple[str, str], Any]] = {}
        changed: dict[int, frozenset[str]] = {}
        try:
            for key, adata in open_.items():
                results = wanted.get(key, ([], {}))[0]
                if results != written[key].results:
                    if self._held[key] > 0:
                        raise InputError(
                            "The tissue is being saved, so its results cannot change now.",
                            "Wait until it is saved, or cancel that.",
                        )
                    start[key] = _own(adata)
                    written[key], changed[key] = _made(adata, results, written[key])
        except Exception:
            for key, before in start.items():
                _restore(open_[key], before)
            raise
        self._written = written
        for opened in state.sections.values():
            key = id(opened.adata)
            opened.file_results[:] = wanted.get(key, ([], {}))[0]
            if key in changed:
                opened.results[:] = wanted.get(key, ([], {}))[1].get(opened.label, [])
                opened.forget_names()
        return frozenset().union(*changed.values())


def _made(
    adata: AnnData, results: list[Result], written: _Written
) -> tuple[_Written, frozenset[str]]:
    """Make the results in an AnnData these; return what is written, and the keys that changed."""
    same = 0
    for old, new in zip(written.results, results, strict=False):
        if old is not new:
            break
        same += 1
    before, changed = written.before[:same], set[str]()
    if same < len(written.results):
        changed |= _restore(adata, written.before[same])
    for result in results[same:]:
        before.append(_own(adata))
        changed |= result.write(adata)
    return _Written(before, list(results)), frozenset(changed)


def _wanted(state: State) -> dict[int, tuple[list[Result], dict[str, list[Result]]]]:
    """Return the results to write into each AnnData, and those of each of its sections."""
    wanted: dict[int, tuple[list[Result], dict[str, list[Result]]]] = {}
    for id_ in state.kept:
        entry = state.entry(id_)
        if entry.discarded or is_gone(entry, state):
            continue
        for opened, result in entry.outcome.results(state):
            results, of_section = wanted.setdefault(id(opened[0].adata), ([], {}))
            results.append(result)
            for one in opened:
                of_section.setdefault(one.label, []).append(result)
    for results, _ in wanted.values():
        results.sort(key=is_about_others)
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
