"""Scenario folders as what can be chosen in the window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_gest.app.model_registry import ModelRegistry
from napari_gest.app.obs_columns import has_label
from napari_gest.app.opened import Opened
from napari_gest.app.runs.perturbation import READOUTS
from napari_gest.app.state import EditChoices, Label
from napari_gest.errors import InputError
from napari_gest.tissue.roi import Roi

if TYPE_CHECKING:
    from napari_gest.tasks.perturbation.scenario import Labels, Settings


@dataclass(frozen=True)
class ReadScenario:
    """What a scenario asks for.

    Attributes
    ----------
    name
        Its name.
    roi
        The region to edit, um.
    edits
        What is changed in its cells.
    model
        Name of the model in the registry.
    seed
        Seed of the run.
    """

    name: str
    roi: Roi
    edits: EditChoices
    model: str
    seed: int


def read_scenario(folder: Path, opened: Opened, registry: ModelRegistry) -> ReadScenario:
    """Read a scenario folder, to be run on an open section. A model it names is registered.

    Raises
    ------
    InputError
        If it cannot be read, was made with settings that have no place in the window, or names
        cells that the section does not have.
    CheckpointError
        If its model cannot be read.
    """
    from napari_gest.tasks.perturbation.scenario import Scenario

    scenario = Scenario.read(folder)
    settings = scenario.settings
    readouts = {ways: name for name, ways in READOUTS.items()}
    ways = settings.readout, settings.input
    if _plain(settings) != settings or ways not in readouts:
        raise _unsuitable(folder)
    only, become = (
        _label(one, folder, opened) for one in (settings.only, settings.replace_by)
    )  # checked before a model is added
    edits = EditChoices(
        scenario.edits, only, become, settings.remove, settings.strength, readouts[ways]
    )
    return ReadScenario(
        settings.name, scenario.roi, edits, _model(settings.model, registry), settings.seed
    )


def _plain(settings: Settings) -> Settings:
    """Return settings without those that have no place in the window."""
    ours = ("name", "model", "section", "only", "replace_by", "strength", "remove", "readout",
            "input", "seed", "n_permutations")  # fmt: skip
    return type(settings)(**{field: getattr(settings, field) for field in ours})


def _label(labels: Labels | None, folder: Path, opened: Opened) -> Label | None:
    if labels is None:
        return None
    if len(labels.values) != 1:
        raise _unsuitable(folder)
    label = Label(labels.key, labels.values[0])
    if not has_label(opened, label.column, label.name):
        raise InputError(
            f"The scenario names cells labelled '{label.name}' in '{label.column}', which section"
            f" '{opened.label}' does not have.",
            "Open the tissue it was made with.",
        )
    return label


def _model(wanted: str, registry: ModelRegistry) -> str:
    named = [info for info in registry.models.values() if info.load_name == wanted]
    return (named[0] if named else registry.add(Path(wanted))).name


def _unsuitable(folder: Path) -> InputError:
    return InputError(
        f"'{folder.name}' was made with settings that this step does not have.",
        "Run it with 'napari-gest perturb --scenario'.",
    )
