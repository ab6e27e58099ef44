"""napari finds the plugin in an editable install and in a wheel."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from npe2 import PluginManifest
from npe2.manifest.utils import import_python_name

ROOT = Path(__file__).parents[2]
ENTRY = "napari_gest:napari.yaml"


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    """The manifest, found as napari finds it in this environment."""
    return PluginManifest.from_distribution("napari-gest")


def test_it_is_valid_and_every_command_exists(manifest):
    assert manifest.name == "napari-gest"
    for command in manifest.contributions.commands:
        assert callable(import_python_name(command.python_name))


def test_it_contributes_widget_reader_samples_and_menus(manifest):
    from napari._app_model.constants._menus import is_menu_contributable

    contributed = manifest.contributions
    commands = {command.id for command in contributed.commands}
    assert [w.display_name for w in contributed.widgets] == ["GeST"]
    assert contributed.readers[0].filename_patterns == ["*.h5ad", "*.zarr"]
    assert contributed.readers[0].accepts_directories
    assert len(contributed.sample_data) == 2
    assert contributed.menus
    for menu, items in contributed.menus.items():
        assert is_menu_contributable(menu.removeprefix("/"))
        assert {item.command for item in items} <= commands


def test_entry_point_is_installed():
    points = distribution("napari-gest").entry_points
    assert [p.value for p in points if p.group == "napari.manifest"] == [ENTRY]


def test_the_top_level_manifest_is_the_real_one():
    assert (ROOT / "napari.yaml").resolve() == (ROOT / "napari_gest" / "napari.yaml").resolve()


def test_it_is_in_the_wheel(tmp_path):
    pytest.importorskip("build")
    copy = tmp_path / "source"  # building leaves files behind
    copy.mkdir()
    shutil.copytree(
        ROOT / "napari_gest", copy / "napari_gest", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", tmp_path, copy],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (points,) = [n for n in names if n.endswith("entry_points.txt")]
        text = archive.read(points).decode()
        inside = archive.read("napari_gest/napari.yaml").decode()
    assert f"[napari.manifest]\nnapari-gest = {ENTRY}" in text.replace("\r\n", "\n")
    (tmp_path / "napari.yaml").write_text(inside, encoding="utf-8")
    assert PluginManifest.from_file(tmp_path / "napari.yaml").name == "napari-gest"
    for module in (
        "widgets/home.py",
        "widgets/demo.py",
        "viewer/hooks.py",
        "session.py",
        "py.typed",
    ):
        assert f"napari_gest/{module}" in names
    samples = ROOT / "napari_gest" / "samples"
    assert {f"napari_gest/samples/{p.name}" for p in samples.glob("*.*")} <= names
