"""Python code that gives the same results: of one run, or of all that a session has kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import shapely

from napari_gest import keys
from napari_gest.errors import InputError
from napari_gest.tissue.reading import Reading
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.section import Section

if TYPE_CHECKING:
    from napari_gest.app.model_registry import ModelInfo
    from napari_gest.app.opened import Opened
    from napari_gest.app.state import State


class Script:
    """Collects the lines of a script: each file is read once, each section and model taken once.

    What a run adds uses the variables that ``adata``, ``section`` and ``model`` return.

    Parameters
    ----------
    opened
        The open sections, where a file may be open twice: it is then read twice, since each
        opening has results of its own.
    """

    def __init__(self, opened: Iterable[Opened] = ()) -> None:
        self._openings = _openings(opened)
        self._names: set[str] = set()
        self._header: list[str] = []
        self._lines: list[str] = []
        self._files: dict[tuple[str | None, int], str] = {}
        self._sections: dict[int, str] = {}
        self._models: dict[str, str] = {}
        self._results: dict[int, str] = {}
        self._held: list[object] = []
        self._last: list[str] = []
        self._very_last: dict[str, Callable[[], list[str]]] = {}

    def use(self, *names: str) -> None:
        """Import public names."""
        self._names.update(names)

    def header(self, line: str) -> None:
        """Add another import."""
        if line not in self._header:
            self._header.append(line)

    def add(self, *lines: str) -> None:
        """Add lines."""
        self._lines += lines

    def at_end(self, line: str) -> None:
        """Add a line that follows all others, just before the files are written."""
        self._last.append(line)

    def at_last(self, key: str, lines: Callable[[], list[str]]) -> None:
        """Add lines that follow even those, and are known only then; one set of them for a key."""
        self._very_last[key] = lines

    def adata(self, section: Section, path: Path | None) -> str:
        """Return the variable of the file of a section, read before its first use."""
        key = (None if path is None else str(path), self._openings.get(id(section), 0))
        if key not in self._files:
            self._files[key] = _numbered("adata", len(self._files))
            self.use("read_tissue")
            self.add(f"{self._files[key]} = {read_call(path)}")
        return self._files[key]

    def section(self, section: Section, path: Path | None) -> str:
        """Return the variable of a section, taken out of its file before its first use."""
        if id(section) not in self._sections:
            adata = self.adata(section, path)
            self._sections[id(section)] = _numbered("section", len(self._sections))
            self.use("Section")
            self.add(f"{self._sections[id(section)]} = {section_call(section, adata)}")
        return self._sections[id(section)]

    def model(self, info: ModelInfo) -> str:
        """Return the variable of a model, loaded before its first use."""
        if info.load_name not in self._models:
            self._models[info.load_name] = _numbered("model", len(self._models))
            self.use("GeST")
            self.add(f"{self._models[info.load_name]} = GeST.load({info.load_name!r})")
        return self._models[info.load_name]

    def region(self, roi: Roi, name: str) -> None:
        """Make a region again, holes included, to the last digit."""
        self.use("Roi")
        self.header("from shapely import from_geojson")
        self.add(f"{name} = Roi(from_geojson({shapely.to_geojson(roi.geometry)!r}))")

    def unseen(self, name: str, section: Section, path: Path | None, left_out: str | Roi) -> str:
        """Return the expression of a section's unseen cells.

        Parameters
        ----------
        name
            Variable of the section.
        section, path
            The section and its file.
        left_out
            Column of obs that masks them, or the region they lie in.
        """
        if isinstance(left_out, Roi):
            self.region(left_out, "roi")
            return f"roi.contains({name}.coords_um)"
        self.use("mask_from_obs")
        return f"mask_from_obs({self.adata(section, path)}, {left_out!r}, {name}.rows)"

    def result(self, result: object, name: str = "result") -> str:
        """Return a new variable for a result; other runs find it by ``variable_of``."""
        taken = sum(1 for used in self._results.values() if used.startswith(name))
        self._held.append(result)  # so that no other object gets its id
        self._results[id(result)] = _numbered(name, taken)
        return self._results[id(result)]

    def variable_of(self, result: object) -> str | None:
        """Return the variable of a result that another run has made, if one has."""
        return self._results.get(id(result))

    def text(self, ending: str | None) -> str:
        """Return the code.

        Parameters
        ----------
        ending
            Each file is written beside where the code is run, under its name and this; None writes
            no tissue.
        """
        if ending is not None:
            self.use("write_tissue")
        last = [*self._last, *(line for lines in self._very_last.values() for line in lines())]
        names = ", ".join(sorted(self._names, key=str.lower))
        saved = []
        taken: Counter[str] = Counter()
        for (path, _), adata in self._files.items() if ending is not None else ():
            stem = "tissue" if path is None else Path(path).stem
            name = f"{stem}_{ending}" if len(self._files) > 1 else f"{ending}"
            taken[name] += 1
            name = _numbered(name, taken[name] - 1)
            saved.append(f"write_tissue({adata}, {name + '.h5ad'!r})")
        header = [*sorted(self._header, key=_by_module), f"from napari_gest import {names}"]
        return "\n".join([*header, "", *self._lines, *last, *saved]) + "\n"


def read_call(path: Path | None) -> str:
    """Return the call that reads the file of a section."""
    return f"read_tissue({'tissue.h5ad' if path is None else str(path)!r})"


def section_call(section: Section, adata: str = "adata") -> str:
    """Return the call that takes a section out of the variable ``adata`` as it was taken."""
    usual = vars(Reading())
    given = {k: v for k, v in vars(section.reading).items() if v != usual[k]}
    options = "".join(f", {key}={value!r}" for key, value in given.items())
    return f"Section.from_anndata({adata}, {section.name!r}{options})"


def session_script(state: State) -> str:
    """Return code that gives all that a session has kept, in the order it was kept.

    Raises
    ------
    InputError
        If nothing was kept, or a run that is kept was cut off.
    """
    from napari_gest.app.from_file import is_from_file

    kept = [entry for id_ in state.kept if not is_from_file(entry := state.entry(id_))]
    if not kept:
        raise InputError("Nothing was kept yet.", "Run, then press Keep.")
    script = Script(state.sections.values())
    kept.sort(key=lambda entry: entry.kind == "check")  # they are written last, as in the tissue
    for entry in kept:
        if entry.partial:
            raise InputError(
                f"'{entry.name}' was cancelled; no code gives the same cells.",
                "Discard it, or run it to its end.",
            )
        script.add("", f"# {' '.join(entry.name.split())}")
        entry.outcome.add_to(script)
    for opened in {id(o.adata): o for o in state.sections.values() if o.results}.values():
        if keys.REGIONS in opened.adata.uns:
            regions = str(opened.adata.uns[keys.REGIONS])
            adata = script.adata(opened.section, opened.path)
            script.at_end(f"{adata}.uns[{keys.REGIONS!r}] = {regions!r}")
    return script.text("session")


def _openings(opened: Iterable[Opened]) -> dict[int, int]:
    """Return the number of the opening of its file that each section is of, by its id."""
    found: dict[Path | None, list[int]] = {}
    numbers = {}
    for one in opened:
        of_file = found.setdefault(one.path, [])
        if id(one.adata) not in of_file:
            of_file.append(id(one.adata))
        numbers[id(one.section)] = of_file.index(id(one.adata))
    return numbers


def _numbered(name: str, n: int) -> str:
    return name if n == 0 else f"{name}_{n + 1}"


def _by_module(line: str) -> tuple[bool, str]:
    """Sort plain imports before others."""
    return not line.startswith("import"), line
