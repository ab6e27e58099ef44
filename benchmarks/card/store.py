"""Results of the card on disk: one small JSON file for each row and seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.card.digest import ROOT, file_digest, module_digests
from benchmarks.card.rows import DATA, Row
from benchmarks.common.data_folder import data_dir
from napari_gest.files import JSON, write_text

FOLDER = ROOT / "docs" / "results" / "card"
CODE = "code"  # folder of files that say which modules stand behind a digest of code


@dataclass(frozen=True)
class Result:
    """What one row with one seed came to.

    Attributes
    ----------
    row, seed, settings
        As in `Row`.
    data
        Digest of the data file.
    code
        Digest of the modules that were used; the folder `CODE` has their names.
    version, finished, seconds
        Version of the package, date, and processor seconds.
    n_holes, n_cells, n_train
        Holes and cells that were scored, and cells that trained.
    scores
        Mean over holes of each score, by method.
    genes
        By method, the error of each spatially variable gene, most variable first.
    error
        Why there are no scores; empty where there are.
    replayed
        Date on which the code it was measured with and that of ``code`` gave the same figures.
    """

    row: str
    seed: int
    settings: str
    data: str
    code: str
    version: str
    finished: str
    seconds: float
    n_holes: int = 0
    n_cells: int = 0
    n_train: int = 0
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    genes: dict[str, list[float]] = field(default_factory=dict)
    error: str = ""
    replayed: str = ""


class Store:
    """A folder of results."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder

    def path(self, row: Row, seed: int) -> Path:
        return self.folder / row.id / f"{seed}.json"

    def read(self, row: Row, seed: int) -> Result | None:
        """Return a result, None where there is none."""
        path = self.path(row, seed)
        return Result(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    def results(self, row: Row) -> list[Result]:
        """Return the results of a row in the order of its seeds."""
        found = [self.read(row, seed) for seed in row.seeds]
        return [result for result in found if result is not None]

    def write(self, row: Row, result: Result) -> None:
        text = json.dumps(_rounded(asdict(result)), indent=1) + "\n"
        write_text(self.path(row, result.seed), text, JSON, overwrite=True, parents=True)

    def remember(self, modules: Sequence[str]) -> str:
        """Store the digests that modules have now, and return one digest for all of them."""
        digests = module_digests(modules)
        code = hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()[:12]
        path = self._code(code)
        if not path.is_file():
            text = json.dumps(digests, indent=1, sort_keys=True) + "\n"
            write_text(path, text, JSON, overwrite=True, parents=True)
        return code

    def stale(self, row: Row, result: Result) -> str:
        """Return why a result is stale; empty where it is not."""
        return self.is_of_another_task(row, result) or self._changed(result)

    def is_of_another_task(self, row: Row, result: Result) -> str:
        """Return what else than code has changed since; empty where nothing has.

        The data file is compared where it is present.
        """
        if result.settings != row.settings:
            return "other settings"
        file = data_dir() / DATA[row.data].file
        return "other data" if file.is_file() and _data(file) != result.data else ""

    def _changed(self, result: Result) -> str:
        modules = self.modules(result.code)
        if not modules:
            return "unknown code"
        changed = [m for m, digest in modules.items() if _now(m) != digest]
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return f"{changed[0].removeprefix('napari_gest.')}{more} changed" if changed else ""

    def modules(self, code: str) -> Mapping[str, str]:
        """Return the digest of each module behind a digest of code; none where it is unknown."""
        path = self._code(code)
        return _modules(path) if path.is_file() else {}

    def forget_unused(self) -> None:
        """Remove the digests of modules that no result was measured with."""
        results = (p for p in self.folder.glob("*/*.json") if p.parent.name != CODE)
        used = {json.loads(path.read_text(encoding="utf-8"))["code"] for path in results}
        for path in (self.folder / CODE).glob("*.json"):
            if path.stem not in used:
                path.unlink()

    def _code(self, digest: str) -> Path:
        return self.folder / CODE / f"{digest}.json"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value


@cache
def _modules(path: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return found


@cache
def _now(module: str) -> str:
    return module_digests([module])[module]


@cache
def _data(file: Path) -> str:
    return file_digest(file)
