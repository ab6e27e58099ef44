"""napari finds the plugin in an editable install and in a wheel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from npe2 import PluginManifest
from npe2.manifest.utils import import_python_name

from napari_gest.model.gest import bundled_models

ROOT = Path(__file__).parents[2]
ENTRY = "napari_gest:napari.yaml"

# What napari does at its start, in a process that has seen nothing of the checkout.
DISCOVER = """
import json, sys
import napari_gest
from napari_gest.model.gest import GeST, bundled_models
from npe2 import PluginManager

manager = PluginManager.instance()
manager.discover()
run = manager.commands.execute
(manifest,) = [m for m in manager.iter_manifests() if m.name == "napari-gest"]
samples = dict(manager.iter_sample_data())["napari-gest"]
(reader,) = [r for r in manager.iter_compatible_readers("a.h5ad") if r.plugin_name == manifest.name]
(widget,) = [w for w in manager.iter_widgets() if w.plugin_name == manifest.name]
told = {
    "path": sys.path,
    "package": napari_gest.__file__,
    "version": manifest.package_version,
    "widget": [widget.display_name, manager.commands.get(widget.command).__name__],
    "reader": manager.commands.get(reader.command).__name__,
    "samples": {s.key: [kind for *_, kind in run(s.command)] for s in samples},
    "models": {name: len(GeST.load(name).genes) for name in bundled_models()},
}
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    """The manifest, found as napari finds it in this environment."""
    return PluginManifest.from_distribution("napari-gest")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with nothing in it but the project, installed from its wheel."""
    made, source = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("source")
    shutil.copytree(  # building leaves files behind
        ROOT / "napari_gest", source / "napari_gest", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", made, source]
    subprocess.run(build, check=True, capture_output=True)
    (file,) = made.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*install, "--target", made / "site", file], check=True, capture_output=True)
    return made / "site"


def discovered(folder: Path, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", DISCOVER],
        cwd=folder,  # the checkout is not; Python looks in the working folder first
        env=os.environ | {"QT_QPA_PLATFORM": "offscreen"} | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


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


@pytest.mark.parametrize("install", ["editable", "wheel"])
def test_an_installed_plugin_is_found_whole(install, wheel, tmp_path):
    if install == "wheel":
        told, home = discovered(tmp_path, PYTHONPATH=str(wheel)), wheel
        assert str(ROOT) not in told["path"]
    else:
        told, home = discovered(tmp_path), ROOT
    assert Path(told["package"]) == home / "napari_gest" / "__init__.py"
    assert told["version"] == distribution("napari-gest").version
    assert told["widget"] == ["GeST", "Home"]
    assert told["reader"] == "get_reader"
    assert told["samples"] == {"section": ["points"], "section_with_region": ["points", "shapes"]}
    assert set(told["models"]) == set(bundled_models())
    assert len(told["models"]) == 2
    assert min(told["models"].values()) > 100


def test_every_file_of_the_package_is_in_the_wheel(wheel):
    package = ROOT / "napari_gest"
    files = {p.relative_to(package) for p in package.rglob("*") if p.is_file()}
    files = {p for p in files if "__pycache__" not in p.parts}
    assert Path("py.typed") in files
    assert files <= {p.relative_to(wheel / "napari_gest") for p in wheel.rglob("napari_gest/**/*")}
