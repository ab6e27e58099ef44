"""A perturbation as a folder that anyone can run again to the same numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

import napari_gest
from napari_gest.errors import InputError
from napari_gest.files import (
    FolderKind,
    check_name,
    described_folder,
    replacing,
    restore,
    table_kind,
    write_table,
    write_text,
)
from napari_gest.files.kinds import JSON, ignored, peek_json
from napari_gest.model.gest import GeST
from napari_gest.seeds import MAX_SEED
from napari_gest.tasks.generation.generation import WINDOW_TARGETS
from napari_gest.tasks.perturbation.counterfactual import Input
from napari_gest.tasks.perturbation.perturb import BANDS_UM, PerturbRequest, Readout
from napari_gest.tasks.perturbation.scenario_source import ScenarioSource
from napari_gest.tissue.edits import Edit, read_edits, write_edits
from napari_gest.tissue.extent import UNITS, extents
from napari_gest.tissue.obs import obs_column
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.section import Section
from napari_gest.tissue.text import load_json

if TYPE_CHECKING:
    from anndata import AnnData

SETTINGS, EDITS, ROI, TABLE = "scenario.json", "edits.csv", "roi.geojson", "deg.csv"
COMPARED, CONTENTS = "compare.csv", "scenarios.json"
_FORMAT = 2  # 1 had no source
_NAME_LENGTH = 50  # characters, of up to four bytes each; systems allow 255 bytes

SCENARIO = described_folder(
    "a scenario folder", SETTINGS, keys=("format", "model", "section"), others=(EDITS, ROI, TABLE)
)
EFFECTS = table_kind("a table of effects", ("gene", "band"))


def _is_set(folder: Path) -> bool:
    # The first version wrote no contents, but compared the scenarios that had tables.
    described = (folder / CONTENTS).is_file() or (folder / COMPARED).is_file()
    return described and any(folder.glob(f"*/{SETTINGS}"))


def _foreign_to_set(folder: Path) -> list[str]:
    """Return what is in a folder of scenarios and was not written with them, by path in it."""
    contents = peek_json(folder / CONTENTS)
    named = contents.get("scenarios") if isinstance(contents, dict) else None
    found = []
    for entry in sorted(folder.iterdir()):
        if ignored(entry) or (entry.name in (CONTENTS, COMPARED) and entry.is_file()):
            continue
        listed = not isinstance(named, list) or entry.name in named
        if not (listed and entry.is_dir() and SCENARIO.is_one(entry)):
            found.append(entry.name)
        else:
            found += [f"{entry.name}/{name}" for name in SCENARIO.foreign(entry)]
    return found


SCENARIOS = FolderKind("a folder of scenarios", _is_set, _foreign_to_set)


class Labels(BaseModel):
    """Cells by their labels: the values wanted of an obs column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    values: tuple[str, ...]

    def cells(self, adata: AnnData, section: Section) -> NDArray[np.bool_]:
        """Return (n_obs,) bool of the section's cells with these labels.

        Raises
        ------
        InputError
            If there is no such column, or no cell of the section with one of the labels.
        """
        remedy = "Name the column that holds the labels."
        column = obs_column(adata, self.key, remedy, section.rows).astype(str)
        missing = [v for v in self.values if not (column == v).any()]
        if missing or not self.values:
            raise InputError(
                f"No cell of section '{section.name}' is labelled '{', '.join(missing)}'"
                f" in '{self.key}'.",
                f"Labels there: {', '.join(sorted(column.unique())[:20])}.",
            )
        return column.isin(self.values).to_numpy()


class Settings(BaseModel):
    """What ``scenario.json`` holds: all of a request but tissue, model, region and edits.

    Attributes
    ----------
    name
        Name of the scenario.
    model, section
        Name or folder of the model, and name of the section.
    added, erased
        Names of cells brushed into and out of the outline.
    only, replace_by
        Labels of the cells that are edited, and of those that replace them.
    n_permutations
        Draws of the test, 0 for none; its seed is ``seed``.
    strength, remove, readout, input, reach_um, bands_um, seed, frontier, passes
        As in ``PerturbRequest``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "scenario"
    model: str
    section: str
    added: tuple[str, ...] = ()
    erased: tuple[str, ...] = ()
    only: Labels | None = None
    replace_by: Labels | None = None
    strength: float = 1.0
    remove: bool = False
    readout: Readout = "response"
    input: Input = "continuous"
    reach_um: float = BANDS_UM[-1]
    bands_um: tuple[float, ...] = BANDS_UM
    seed: int = Field(0, ge=0, le=MAX_SEED)
    frontier: int = WINDOW_TARGETS
    passes: int = 4
    n_permutations: int = 200


@dataclass(frozen=True)
class Scenario:
    """A perturbation that can be stored.

    Attributes
    ----------
    settings
        Everything but what is below.
    roi
        Outline of the region.
    edits
        Edits of genes.
    source
        How the tissue was read, and which section and model they were; None if not known.
    """

    settings: Settings
    roi: Roi
    edits: tuple[Edit, ...] = ()
    source: ScenarioSource | None = None

    def renamed(self, name: str) -> Scenario:
        """Return the scenario under another name."""
        return replace(self, settings=self.settings.model_copy(update={"name": name}))

    def cells(self, section: Section) -> NDArray[np.bool_]:
        """Return (n_obs,) bool: cells in the outline, less those erased, with those added.

        Raises
        ------
        InputError
            If there is none, or the section lacks one that was brushed.
        """
        inside = self.roi.contains(section.coords_um)
        names: pd.Index = pd.Index(section.obs_names)
        for listed, value in ((self.settings.erased, False), (self.settings.added, True)):
            where = names.get_indexer(pd.Index(listed))
            if (where < 0).any():
                raise InputError(
                    f"Section '{section.name}' has no cell '{listed[int((where < 0).argmax())]}'.",
                    "Run the scenario on the tissue it was made with.",
                )
            inside[where] = value
        if not inside.any():
            raise InputError(
                f"There is no cell in the region ({extents(self.roi, section.coords_um)}).",
                f"Draw it over cells. {UNITS}",
            )
        return inside

    def request(self, adata: AnnData, section: Section, model: GeST) -> PerturbRequest:
        """Return the request that runs the scenario on a section of ``adata``."""
        s = self.settings
        return PerturbRequest(
            section,
            model,
            self.cells(section),
            self.edits,
            strength=s.strength,
            only=None if s.only is None else s.only.cells(adata, section),
            replace_by=None if s.replace_by is None else s.replace_by.cells(adata, section),
            remove=s.remove,
            readout=s.readout,
            input=s.input,
            reach_um=s.reach_um,
            bands_um=s.bands_um,
            seed=s.seed,
            frontier=s.frontier,
            passes=s.passes,
        )

    def write(
        self, folder: str | Path, table: pd.DataFrame | None = None, *, overwrite: bool = False
    ) -> Path:
        """Write ``scenario.json``, ``roi.geojson``, ``edits.csv`` and the result's ``deg.csv``.

        Raises
        ------
        InputError
            If the folder exists and ``overwrite`` is false, is no scenario, or holds other files.
        CheckpointError
            If it cannot be written.
        """
        folder = Path(folder)
        about = {"format": _FORMAT, "version": napari_gest.__version__}
        about |= self.settings.model_dump(mode="json")
        if self.source is not None:
            about["source"] = self.source.model_dump(mode="json")
        with replacing(folder, SCENARIO, overwrite=overwrite, parents=True) as fresh:
            write_text(fresh / SETTINGS, json.dumps(about, indent=1) + "\n", JSON)
            self.roi.write_geojson(fresh / ROI)
            if self.edits:
                write_edits(self.edits, fresh / EDITS)
            if table is not None:
                write_table(table, fresh / TABLE, EFFECTS)
        return folder

    @classmethod
    def read(cls, folder: str | Path) -> Scenario:
        """Read a scenario folder.

        Raises
        ------
        InputError
            If a file is missing or cannot be understood.
        """
        folder = Path(folder)
        check_name(folder)
        restore(folder)
        if not (folder / SETTINGS).is_file():
            raise InputError(
                f"'{folder}' is no scenario: it has no {SETTINGS}.",
                "Give the folder that a scenario was saved to.",
            )
        try:
            about = dict(load_json(folder / SETTINGS, "a scenario"))
            if about.pop("format") > _FORMAT:
                raise InputError(
                    f"'{folder}' was written by a newer version.", "Update napari-gest to read it."
                )
            about.pop("version", None)
            source = about.pop("source", None)
            if source is not None:
                source = ScenarioSource.model_validate(source)
            settings = Settings.model_validate(about)
        except InputError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{SETTINGS} in '{folder}' cannot be understood ({error}).",
                "Save the scenario again.",
            ) from error
        edits = read_edits(folder / EDITS) if (folder / EDITS).exists() else ()
        return cls(settings, Roi.read_geojson(folder / ROI), edits, source)


def write_scenarios(
    scenarios: Sequence[tuple[Scenario, pd.DataFrame | None]],
    folder: str | Path,
    *,
    overwrite: bool = False,
) -> Path:
    """Write several scenarios and their tables into one folder, each in a folder of its name.

    ``compare.csv`` beside them has one row a band and gene, and the effects side by side, and
    ``scenarios.json`` the names of their folders.

    Raises
    ------
    InputError
        If the folder exists and ``overwrite`` is false, is no such folder, or holds other files.
    CheckpointError
        If it cannot be written.
    """
    folder = Path(folder)
    names: list[str] = []
    for scenario, _ in scenarios:
        stem = name = folder_name(scenario.settings.name)
        number = len(names) + 1
        while name.casefold() in {other.casefold() for other in names}:
            name, number = f"{stem}_{number}", number + 1
        names.append(name)
    with replacing(folder, SCENARIOS, overwrite=overwrite, parents=True) as fresh:
        columns = {}
        for name, (scenario, table) in zip(names, scenarios, strict=True):
            scenario.write(fresh / name, table)
            if table is not None:
                columns[scenario.settings.name] = table.set_index(["band", "gene"])["effect"]
        if columns:
            compared = pd.DataFrame(columns)
            write_table(compared, fresh / COMPARED, EFFECTS, index=True)
        write_text(
            fresh / CONTENTS,
            json.dumps({"format": _FORMAT, "scenarios": names}, indent=1) + "\n",
            JSON,
        )
    return folder


def read_scenarios(folder: str | Path) -> list[Scenario]:
    """Read the scenario of a folder, or all that ``write_scenarios`` put there, by name.

    Raises
    ------
    InputError
        If there is none, or one cannot be understood.
    """
    folder = Path(folder)
    check_name(folder)
    restore(folder)
    within = sorted(place.parent for place in folder.glob(f"*/{SETTINGS}"))
    if (folder / SETTINGS).exists() or not within:
        return [Scenario.read(folder)]
    return [Scenario.read(one) for one in within]


def folder_name(name: str) -> str:
    """Return a scenario's name as a folder can be called, cut where it is long."""
    return re.sub(r"[^\w.+-]+", "_", name).strip("_.")[:_NAME_LENGTH] or "scenario"
