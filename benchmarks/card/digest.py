"""What a result depends on: the data file, and the modules whose functions were called for it."""

from __future__ import annotations

import ast
import hashlib
import inspect
import io
import sys
import tokenize
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).parents[2]
PACKAGES = ("napari_gest", "benchmarks")
# They write files, tell of progress, refuse bad input or draw tables: no score depends on them.
# The card's own modules are left out too, but for those that measure.
UNRELATED = (
    "benchmarks.card",
    "benchmarks.common.table",
    "benchmarks.common.timing",
    "napari_gest.errors",
    "napari_gest.files",
    "napari_gest.limits",
    "napari_gest.tasks.progress",
)
MEASURING = ("benchmarks.card.measure", "benchmarks.card.bins", "benchmarks.card.continuous")


def counts(module: str) -> bool:
    """Return whether results depend on a module of this project."""
    if module in MEASURING:
        return True
    return not any(module == u or module.startswith(f"{u}.") for u in UNRELATED)


@contextmanager
def recorded() -> Iterator[set[str]]:
    """Yield a set that holds, at the end, the modules of this project whose functions were called.

    What is imported and never called does not count. A module that only gives constants or classes
    to one that was called does: `used` adds it.
    """
    files: set[str] = set()
    modules: set[str] = set()
    add = files.add

    def called(frame: FrameType, event: str, _: object) -> None:
        # Bodies of modules and classes are no functions: they run on import.
        if event == "call" and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            add(frame.f_code.co_filename)

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        yield modules
    finally:
        sys.setprofile(before)
        by_file = {str(path): m for m in _imported() if (path := module_path(m)) is not None}
        modules.update(used({by_file[file] for file in files if file in by_file}))


def used(called: Iterable[str]) -> set[str]:
    """Return the modules that were called, and those whose constants or classes they take."""
    found, todo = set(), list(called)
    while todo:
        module = todo.pop()
        path = module_path(module)
        if module in found or path is None:
            continue
        found.add(module)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not node.module or node.level:
                continue
            if node.module.split(".")[0] in PACKAGES and (
                any(name.name.isupper() for name in node.names) or _only_classes(node.module)
            ):
                todo.append(node.module)
    return {module for module in found if counts(module)}


@cache
def _only_classes(module: str) -> bool:
    """Return whether a module has no function of its own, but classes and constants."""
    path = module_path(module)
    if path is None:
        return False
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return not any(isinstance(node, ast.FunctionDef) for node in body)


def _imported() -> list[str]:
    return [m for m in sys.modules if m.split(".")[0] in PACKAGES]


def module_path(module: str, root: Path = ROOT) -> Path | None:
    """Return the source file of a module in a checkout of this project, None if there is none."""
    path = root.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


def module_digests(modules: Iterable[str], root: Path = ROOT) -> dict[str, str]:
    """Return the digest of each module's code in a checkout, empty where it is gone."""
    found = {}
    for module in modules:
        path = module_path(module, root)
        found[module] = "" if path is None else code_digest(path.read_text(encoding="utf-8"))
    return found


def code_of(*folders: str) -> str:
    """Return one digest of all modules in some folders of this project."""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for folder in folders
        for path in sorted(ROOT.joinpath(*folder.split(".")).glob("*.py"))
    ]
    return hashlib.sha256(repr(module_digests(names)).encode()).hexdigest()[:12]


def code_digest(source: str) -> str:
    """Return a hash of Python source without comments, docstrings and blank lines."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = node.body[0] if node.body else None
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            assert first.end_lineno is not None
            for number in range(first.lineno - 1, first.end_lineno):
                lines[number] = ""
    code = "\n".join(line.rstrip() for line in lines if line.strip())
    return hashlib.sha256(code.encode()).hexdigest()[:12]


def file_digest(path: Path) -> str:
    """Return the hash of a data file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
