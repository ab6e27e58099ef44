"""What the project is set up with fits together."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def normal(requirement: str) -> str:
    (name,) = re.findall(r"^[\w.-]+", requirement)
    return str(name).lower().replace("_", "-")


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {normal(name): version for name, version in pairs}


def test_everything_asked_for_has_a_pinned_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    asked = {normal(requirement) for group in groups for requirement in group}
    assert asked - {"napari-gest"} <= set(pinned())


def test_hooks_and_make_lint_run_the_same_ruff() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"ruff==([\d.]+)", hooks) == [pinned()["ruff"]]
    assert "language: system" not in hooks  # would need an activated environment


def test_what_the_project_claims_to_run_with_is_what_the_matrix_runs() -> None:
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    (rows,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ROWS"
    ]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    claimed = re.findall(r":: Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    pythons, versions, bindings = (set(column) for column in zip(*rows, strict=True))
    assert sorted(pythons) == claimed
    assert project["requires-python"] == f">={claimed[0]}"
    assert versions == {"lowest", "locked", "newest", "pre"}
    assert bindings <= set(project["optional-dependencies"])
    # Without a lower bound "lowest" would be any version; with an upper one newer ones are barred.
    extras = [project["optional-dependencies"][name] for name in (*bindings, "leiden", "scale")]
    for requirement in (one for group in (project["dependencies"], *extras) for one in group):
        assert ">=" in requirement
        assert "<" not in requirement


@pytest.mark.parametrize("room", ["model", "tasks", "tissue"])
def test_every_file_of_science_has_a_test_of_its_name(room: str) -> None:
    def within(top: str, pattern: str, prefix: str = "") -> set[Path]:
        found = (p.relative_to(ROOT / top / room) for p in (ROOT / top / room).rglob(pattern))
        return {p.with_name(p.name.removeprefix(prefix)) for p in found if p.name != "__init__.py"}

    further = {Path("seeds/seeds.py")}  # of all tasks together
    assert within("napari_gest", "*.py") == within("tests", "test_*.py", "test_") - further


def test_no_two_test_files_have_one_name() -> None:
    """Pytest imports a test file by its name alone: the second of a name is not collected."""
    names = Counter(path.name for path in ROOT.glob("tests/**/test_*.py"))
    assert [name for name, n in names.items() if n > 1] == []
