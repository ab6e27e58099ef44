"""Scenarios: a folder gives the same numbers again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData

from napari_gest.errors import InputError
from napari_gest.model.gest import GeST
from napari_gest.tasks.perturbation.scenario import (
    Labels,
    Scenario,
    Settings,
    read_scenarios,
    write_scenarios,
)
from napari_gest.tasks.progress import finish
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.roi import Roi
from napari_gest.tissue.section import Section


@pytest.fixture
def scenario(section: Section) -> Scenario:
    centre = section.coords_um.mean(0)
    ring = centre + 80 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    settings = Settings(
        name="a try",
        model="tiny",
        section="section_1",
        strength=1 / 3,
        added=(str(section.obs_names[0]),),
        readout="generation",
        seed=9,
    )
    return Scenario(settings, Roi.from_vertices([ring]), (Edit("gene_3", "set", 50.1),))


def test_a_folder_replays_to_the_same_numbers(
    tissue: AnnData, section: Section, tiny_model: GeST, scenario: Scenario, tmp_path: Path
) -> None:
    first = finish(scenario.request(tissue, section, tiny_model).run())
    folder = scenario.write(tmp_path / "s", first.effects())
    again = Scenario.read(folder)
    assert again.settings == scenario.settings
    assert again.edits == scenario.edits
    second = finish(again.request(tissue, section, tiny_model).run())
    assert np.array_equal(first.perturbed, second.perturbed)
    names = {"scenario.json", "roi.geojson", "edits.csv", "deg.csv"}
    assert {p.name for p in folder.iterdir()} == names
    with pytest.raises(InputError, match="exists"):
        scenario.write(folder)


def test_several_scenarios_share_a_folder(
    tissue: AnnData, section: Section, tiny_model: GeST, scenario: Scenario, tmp_path: Path
) -> None:
    table = finish(scenario.request(tissue, section, tiny_model).run()).effects()
    # Names that are the same as folders, or are none, do not overwrite each other.
    kept = [(scenario, table), (scenario.renamed("a/try"), table), (scenario.renamed("…"), None)]
    folder = write_scenarios(kept, tmp_path / "all")
    again = read_scenarios(folder)
    assert {s.settings.name for s in again} == {"a try", "a/try", "…"}
    assert all(s.edits == scenario.edits for s in again)
    assert read_scenarios(folder / "scenario")[0].settings.name == "…"
    assert (folder / "compare.csv").exists()
    with pytest.raises(InputError, match="no scenario"):
        read_scenarios(tmp_path)


def test_brushed_cells(section: Section, scenario: Scenario) -> None:
    inside = scenario.roi.contains(section.coords_um)
    cells = scenario.cells(section)
    assert cells[0]
    assert cells.sum() == inside.sum() + (not inside[0])
    gone = scenario.settings.model_copy(update={"erased": tuple(section.obs_names[inside][:3])})
    assert Scenario(gone, scenario.roi).cells(section).sum() == cells.sum() - 3
    unknown = scenario.settings.model_copy(update={"added": ("nobody",)})
    with pytest.raises(InputError, match="nobody"):
        Scenario(unknown, scenario.roi).cells(section)


def test_a_region_without_cells_is_told_with_its_extent(
    section: Section, scenario: Scenario
) -> None:
    far = section.coords_um.max(0) + 1000 + np.array([[0, 0], [9, 0], [9, 9]])
    plain = scenario.settings.model_copy(update={"added": ()})
    with pytest.raises(InputError, match=r"no cell in the region \(region x .* tissue x") as caught:
        Scenario(plain, Roi.from_vertices([far])).cells(section)
    assert "--um-per-unit" in caught.value.remedy


def test_labels_choose_cells(tissue: AnnData, section: Section) -> None:
    kinds = tissue.obs["cell_type"].astype(str).iloc[section.rows].to_numpy()
    wanted = Labels(key="cell_type", values=(kinds[0],))
    assert np.array_equal(wanted.cells(tissue, section), kinds == kinds[0])
    with pytest.raises(InputError, match="labelled 'nothing'"):
        Labels(key="cell_type", values=("nothing",)).cells(tissue, section)
    with pytest.raises(InputError, match="no obs column"):
        Labels(key="kind", values=("a",)).cells(tissue, section)


def test_a_renamed_scenario_is_otherwise_the_same(scenario: Scenario) -> None:
    other = scenario.renamed("b")
    assert other.settings.name == "b"
    assert other.settings.model_copy(update={"name": "a try"}) == scenario.settings


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about | {"readout": "guess"},
        lambda about: about | {"surplus": 1},
        lambda about: {k: v for k, v in about.items() if k != "model"},
        lambda about: about | {"format": 99},
        lambda about: [],
    ],
)
def test_damaged_folders(scenario: Scenario, tmp_path: Path, change) -> None:
    folder = scenario.write(tmp_path / "s")
    about = json.loads((folder / "scenario.json").read_text())
    (folder / "scenario.json").write_text(json.dumps(change(about)))
    with pytest.raises(InputError):
        Scenario.read(folder)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no scenario"):
        Scenario.read(tmp_path)


def test_only_scenarios_are_replaced(scenario: Scenario, tmp_path: Path) -> None:
    one = scenario.write(tmp_path / "one")
    every = write_scenarios([(scenario, None), (scenario, None)], tmp_path / "all")
    for folder, write in (
        (every, lambda: scenario.write(every, overwrite=True)),
        (one, lambda: write_scenarios([(scenario, None)], one, overwrite=True)),
    ):
        before = sorted(folder.rglob("*"))
        with pytest.raises(InputError, match="does not replace it"):
            write()
        assert sorted(folder.rglob("*")) == before
    scenario.renamed("new").write(one, overwrite=True)
    write_scenarios([(scenario.renamed("new"), None)], every, overwrite=True)
    assert Scenario.read(one).settings.name == "new"
    assert [s.settings.name for s in read_scenarios(every)] == ["new"]


@pytest.mark.parametrize("extra", ["notes.txt", "a_try/notes.txt", "mine/scenario.json"])
def test_other_files_among_scenarios_are_not_lost(
    scenario: Scenario, tmp_path: Path, extra: str
) -> None:
    folder = write_scenarios([(scenario, None)], tmp_path / "all")
    (folder / "mine").mkdir()
    (folder / extra).write_text((folder / "a_try" / "scenario.json").read_text())
    if extra != "mine/scenario.json":
        (folder / "mine").rmdir()
    with pytest.raises(InputError, match=extra.removesuffix("/scenario.json")):
        write_scenarios([(scenario, None)], folder, overwrite=True)
    assert (folder / extra).exists()


def test_a_folder_of_scenarios_of_the_first_version_is_replaced(
    tissue: AnnData, section: Section, tiny_model: GeST, scenario: Scenario, tmp_path: Path
) -> None:
    table = finish(scenario.request(tissue, section, tiny_model).run()).effects()
    folder = write_scenarios([(scenario, table)], tmp_path / "all")
    (folder / "scenarios.json").unlink()  # it wrote none
    write_scenarios([(scenario.renamed("new"), table)], folder, overwrite=True)
    assert [s.settings.name for s in read_scenarios(folder)] == ["new"]


def test_names_of_any_length_get_folders(scenario: Scenario, tmp_path: Path) -> None:
    names = ["x" * 300, "x" * 300 + "y", "\N{HANGUL SYLLABLE GA}" * 200, "a_3", "a", "A"]
    every = [(scenario.renamed(name), None) for name in names]
    folder = write_scenarios(every, tmp_path / "all")
    assert {s.settings.name for s in read_scenarios(folder)} == set(names)
    with pytest.raises(InputError, match="too long"):
        read_scenarios(tmp_path / ("x" * 300))


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"format": "1"}', "cannot be understood"),
        ("[1, 2]", "cannot be understood"),
        ('{"format": 1, "model": "m", "section": "s", "seed": 4294967296}', "seed"),
        ('{"format": 1, "model": "m", "section": "s", "strength": NaN}', "NaN"),
        ('{"format": 1, "model": "m", "section": "s", "strength": Infinity}', "Infinity"),
        ('{"format": 1, "model": "m", "section": "s", "reach_um": 1' + "0" * 5000 + "}", "digits"),
    ],
)
def test_settings_that_once_raised_are_refused(
    scenario: Scenario, tmp_path: Path, text: str, cause: str
) -> None:
    folder = scenario.write(tmp_path / "one")
    (folder / "scenario.json").write_text(text)
    with pytest.raises(InputError, match=cause):
        Scenario.read(folder)
