"""Every rival on every case: call it, score it, store the result."""

from __future__ import annotations

import ast
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    balanced_accuracy_score,
    f1_score,
    homogeneity_score,
    normalized_mutual_info_score,
)

from benchmarks.rivals.call import Outcome, call
from benchmarks.rivals.cases import LABEL, Case
from benchmarks.rivals.environments import build_error
from benchmarks.rivals.registry import ANNOTATION, Rival
from napari_gest.files import JSON, write_text

NAN = float("nan")


@dataclass(frozen=True)
class Row:
    """One method on one section with one seed.

    Attributes
    ----------
    task, method, version, dataset, section, seed
        What was run. The method's name carries the clustering or read-out, where the rival has
        more than one.
    n_cells
        Cells that are scored.
    n_found
        Different labels among them.
    ami, ari, nmi, homogeneity
        Of the clustering against the regions.
    macro_f1, balanced_accuracy
        Of the annotation.
    work_s, wall_s, cpu_s, peak_mb
        As in `Outcome`; all read-outs of one call share them.
    threads
        Threads that the call could use.
    error
        Exact last line of the error; empty if there was none.
    """

    task: str
    method: str
    version: str
    dataset: str
    section: str
    seed: int
    n_cells: int = 0
    n_found: int = 0
    ami: float = NAN
    ari: float = NAN
    nmi: float = NAN
    homogeneity: float = NAN
    macro_f1: float = NAN
    balanced_accuracy: float = NAN
    work_s: float = NAN
    wall_s: float = NAN
    cpu_s: float = NAN
    peak_mb: float = NAN
    threads: int = 1
    error: str = ""


@dataclass(frozen=True)
class Options:
    """How rivals are called.

    Attributes
    ----------
    cache
        Folder of stored results; a stored case is not run again.
    timeout_s
        Seconds for one call.
    threads
        Threads for one call.
    fresh
        Run stored cases again.
    kept_only
        Run nothing: return rows of stored cases, and errors for others.
    """

    cache: Path
    timeout_s: float = 1800.0
    threads: int = 1
    fresh: bool = False
    kept_only: bool = False


def run_all(
    rivals: Iterable[Rival],
    cases: Sequence[Case],
    seeds: Sequence[int],
    options: Options,
    say: Callable[[str], None],
) -> list[Row]:
    """Return the rows of every rival on every case of its task, with every seed."""
    rows = []
    for rival in rivals:
        for case in (c for c in cases if c.task == rival.task):
            for seed in seeds:
                say(f"{rival.name} on {case.name}, seed {seed}")
                rows += run_one(rival, case, seed, options)
    return rows


def run_one(rival: Rival, case: Case, seed: int, options: Options) -> list[Row]:
    """Return the rows of one call: one per clustering or read-out, or one with the error.

    Results of the same version with the same script are read, not run again. A failed call is
    repeated, unless it already ran longer than the present limit. A missing environment is not
    stored as a failure, so that building it later is enough.
    """
    empty = Row(
        rival.task,
        rival.name,
        rival.version,
        case.dataset,
        case.section,
        seed,
        n_cells=int(case.known.sum()),
        threads=options.threads,
    )
    if not rival.python.exists():
        return [replace(empty, error=build_error(rival.environment))]
    kept = options.cache / rival.task / rival.name / f"{case.name}-seed{seed}.json"
    digest = digest_of(rival)
    if kept.exists() and not options.fresh:
        found = json.loads(kept.read_text())
        rows = [_row(values) for values in found["rows"]]
        if found["digest"] == digest and (options.kept_only or _final(rows, options)):
            return rows
    if options.kept_only:
        return [replace(empty, error="not run yet")]
    outcome = _call(rival, case, seed, options, kept.with_suffix(".npz"))
    rows = _rows(empty, case, outcome)
    text = json.dumps({"digest": digest, "rows": [asdict(r) for r in rows]}, indent=1)
    write_text(kept, text, JSON, overwrite=True)
    return rows


def _call(rival: Rival, case: Case, seed: int, options: Options, out: Path) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.h5ad"
        case.adata.write_h5ad(data)
        arguments = ["--data", str(data), "--seed", str(seed)]
        if case.task == ANNOTATION:
            train = Path(folder) / "train.h5ad"
            case.train.write_h5ad(train)
            arguments += ["--train", str(train), "--label-key", LABEL]
        else:
            arguments += ["--clusters", str(case.n_regions)]
            arguments += ["--visium"] if case.visium else []
        return call(rival.python, rival.script, arguments, out, options.timeout_s, options.threads)


def _rows(empty: Row, case: Case, outcome: Outcome) -> list[Row]:
    cost = replace(
        empty,
        work_s=outcome.work_s,
        wall_s=outcome.wall_s,
        cpu_s=outcome.cpu_s,
        peak_mb=outcome.peak_mb,
        error=outcome.error,
    )
    if outcome.error:
        return [cost]
    rows = []
    for name, labels in outcome.labels.items():
        row = replace(cost, method=f"{empty.method}, {name}" if name else empty.method)
        if len(labels) != case.adata.n_obs:
            lengths = f"{len(labels)} labels for {case.adata.n_obs} cells"
            rows.append(replace(row, error=lengths))
        else:
            rows.append(replace(row, **scores(case, labels)))
    return rows


def scores(case: Case, labels: NDArray) -> dict[str, float | int]:
    """Score labels on the cells that have a region.

    Parameters
    ----------
    case
        What was run.
    labels
        (n_obs,) clusters or names.
    """
    known = case.known
    truth, found = case.labels[known].astype(str), np.asarray(labels)[known]
    given: dict[str, float | int] = {"n_found": len(np.unique(found))}
    if case.task == ANNOTATION:
        found = found.astype(str)
        classes = np.unique(truth)
        return given | {
            "macro_f1": float(f1_score(truth, found, labels=classes, average="macro")),
            "balanced_accuracy": float(balanced_accuracy_score(truth, found)),
        }
    return given | {
        "ami": float(adjusted_mutual_info_score(truth, found)),
        "ari": float(adjusted_rand_score(truth, found)),
        "nmi": float(normalized_mutual_info_score(truth, found)),
        "homogeneity": float(homogeneity_score(truth, found)),
    }


def _final(rows: Sequence[Row], options: Options) -> bool:
    """Return whether stored rows are final; failures are repeated unless they had the same time."""
    return all(not r.error or r.wall_s >= options.timeout_s for r in rows)


def digest_of(rival: Rival) -> str:
    """Return a digest of version and code of the script; comments and layout do not count."""
    tree = ast.parse(rival.script.read_text())
    body = tree.body[1:] if ast.get_docstring(tree) is not None else tree.body
    code = "".join(ast.dump(node) for node in body)
    return hashlib.sha256(f"{rival.version}\n{code}".encode()).hexdigest()[:16]


def _row(values: dict) -> Row:
    known = {f.name for f in fields(Row)}
    return Row(**{k: v for k, v in values.items() if k in known})
