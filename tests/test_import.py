from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import napari_gest

HEAVY = {"torch", "napari", "qtpy", "anndata", "sklearn"}


@pytest.mark.parametrize("module", ["napari_gest", "napari_gest.cli"])
def test_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert module in loaded
    assert not HEAVY.intersection(loaded)


def test_every_public_name_exists() -> None:
    for name in napari_gest.__all__:
        assert getattr(napari_gest, name) is not None
    assert set(napari_gest.__all__) <= set(dir(napari_gest))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = napari_gest.nothing


PACKAGE = Path(napari_gest.__file__).parent


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield (module, name) of what runs as an import, in functions too; not what only types see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from ((alias.name, "") for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from ((str(child.module), alias.name) for alias in child.names)
        yield from imported(child)


def test_no_module_imports_itself_by_way_of_others() -> None:
    paths = {module_name(path): path for path in PACKAGE.rglob("*.py")}
    graph = {
        name: {
            full if (full := f"{module}.{what}") in paths else module
            for module, what in imported(ast.parse(path.read_text(encoding="utf-8")))
        }
        & paths.keys()
        for name, path in paths.items()
    }
    assert sum(map(len, graph.values())) > 500
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' <- '.join(error.args[1])}")
