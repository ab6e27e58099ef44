"""What atlases cost: each stage of each size in a process of its own, tissue simulated to disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from benchmarks.common.timing import Figure
from benchmarks.scale.published import READ_OUT, Limits, missing, run_published
from napari_gest.files import JSON, write_text

if TYPE_CHECKING:
    from anndata import AnnData

SIZES = (10_000, 100_000, 1_000_000, 3_000_000)
STAGES = (
    *("fit", "open", "tokenise", "embed", "cluster", "generate", "write", "view"),
    "neighbour-mean PCA",
    *READ_OUT,
)
_IN_MEMORY = ("view", "neighbour-mean PCA", *READ_OUT)
N_GENES, TILE = 500, 50_000
_ISLANDS = 4  # that differ; larger tissue has each of them several times
MOST_CELLS = {"neighbour-mean PCA": 1_000_000}  # it keeps all of X in memory
_FIXED_MB, _BYTES_A_CELL, _MOST_MB = 600, 100, 4000
_EVERY_S = 0.1  # that memory is looked at
_EARLIER = "†"  # of figures that were measured at another time, or in another way


@dataclass
class Cost:
    """What one stage took.

    Attributes
    ----------
    cells, stage
        What was run.
    seconds
        Of the stage alone, on the clock; opening the tissue comes before it. NaN where the process
        was stopped now and then for other work.
    cpu_s
        Of the processor, all threads, for the stage alone.
    peak_mb
        Most memory of the whole process and its children at once, pages that they share counted
        once; opening and whatever the stage needs from earlier ones are in it.
    first_s, first_cpu_s
        Of generation: until the first cells are there, on the clock and of the processor.
    load
        Processes that waited for a processor, on average over the last minute, at the end.
    recolour_s
        Of the window: until another gene is drawn, on the clock.
    error
        Why there is no number.
    earlier
        Of a figure that was carried over: when and how it was measured.
    """

    cells: int
    stage: str
    seconds: float = float("nan")
    cpu_s: float = float("nan")
    peak_mb: float = float("nan")
    first_s: float | None = None
    load: float = float("nan")
    first_cpu_s: float | None = None
    recolour_s: float | None = None
    error: str = ""
    earlier: str = ""


def run(
    folder: Path,
    sizes: Sequence[int],
    rows: Path,
    say: Callable[[str], None],
    stages: Sequence[str] = STAGES,
    keep: bool = False,
    limits: Limits | None = None,
) -> list[Cost]:
    """Measure what is not yet in the file ``rows``; each number is written as it comes.

    Parameters
    ----------
    folder
        Where tissue and the model are.
    sizes
        Cells, ascending; the model is fitted to the first.
    rows
        The file of costs.
    say
        Told what is being run.
    stages
        What to run, of ``STAGES``; stages after fitting need its model in the folder.
    keep
        Leave tissue where it is after its last stage.
    limits
        Of each published method. One that fails is not tried with more cells.
    """
    done = read(rows)
    absent = {stage: why for stage in stages if stage in READ_OUT and (why := missing(stage))}
    for stage, why in absent.items():
        say(f"{stage} is left out: {why}")
    stages = [stage for stage in stages if stage not in absent]
    for n in sizes:
        path = folder / f"{n}.zarr"
        for stage in stages:
            if any(cost.cells == n and cost.stage == stage for cost in done):
                continue
            if n > MOST_CELLS.get(stage, n) or _has_failed(stage, done):
                continue
            if not path.exists():
                say(f"simulating {n:,} cells")
                simulate_to(path, n)
            say(f"{stage}: {n:,} cells")
            if stage in READ_OUT:
                done.append(_published(stage, n, path, limits or Limits()))
            else:
                done.append(measured(stage, n, path, folder / "model"))
            table = [asdict(cost) for cost in done]
            write_text(rows, json.dumps(table, indent=1), JSON, overwrite=True, parents=True)
        if not keep and path.exists():
            shutil.rmtree(path)
            path.with_suffix(".h5ad").unlink(missing_ok=True)
    return done


def _has_failed(stage: str, done: Sequence[Cost]) -> bool:
    return stage in READ_OUT and any(cost.stage == stage and cost.error for cost in done)


def _published(stage: str, n: int, path: Path, limits: Limits) -> Cost:
    taken = run_published(stage, path, limits)
    load = os.getloadavg()[0]
    return Cost(n, stage, taken.seconds, taken.cpu_s, taken.peak_mb, load=load, error=taken.error)


def read(rows: Path) -> list[Cost]:
    """Return what is in a file of costs."""
    return [Cost(**row) for row in json.loads(rows.read_text())] if rows.exists() else []


def measured(stage: str, n: int, path: Path, model: Path) -> Cost:
    """Run one stage in a process and look at its memory meanwhile."""
    command = [sys.executable, "-m", "benchmarks.scale.stages", stage, str(path), str(model)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        peak, process = 0, psutil.Process(child.pid)
        while child.poll() is None:
            peak = max(peak, _memory(process))
            time.sleep(_EVERY_S)
        assert child.stdout is not None
        assert child.stderr is not None
        out, errors = child.stdout.read(), child.stderr.read()
    cost = Cost(n, stage, peak_mb=peak / 1e6, load=os.getloadavg()[0])
    if child.returncode:
        cost.error = (errors.strip().splitlines() or [f"exit {child.returncode}"])[-1][:300]
    else:
        told = json.loads(out.strip().splitlines()[-1])
        cost.seconds, cost.cpu_s = told["seconds"], told["cpu_s"]
        for name in ("first_s", "first_cpu_s", "recolour_s"):
            setattr(cost, name, told.get(name))
    return cost


def _memory(process: psutil.Process) -> int:
    """Return the bytes of a process and its children; pages that they share count once.

    Pages that others share too, such as the libraries of another Python, count whole: else the
    figure would depend on what else runs. Of several processes only the largest one's can be told.
    """
    shared = largest = 0
    try:
        children = process.children(recursive=True)
        if not children:
            return int(process.memory_info().rss)
        for one in (process, *children):
            about = one.memory_full_info()
            shared += getattr(about, "pss", about.uss)
            largest = max(largest, about.rss)
    except psutil.Error:  # it has just ended
        pass
    return max(shared, largest)


def simulate_to(path: Path, n_cells: int, n_genes: int = N_GENES, tile: int = TILE) -> None:
    """Write a tissue of islands, side by side, to zarr; no more than a few are in memory.

    Four are drawn, and repeated side by side where more are needed.

    Parameters
    ----------
    path
        A folder that is made.
    n_cells, n_genes
        Of the whole.
    tile
        Cells of an island at most; their rows follow each other, in a random order.
    """
    import pandas as pd
    import zarr
    from anndata.io import write_elem

    partial = path.with_name(f"{path.name}.partial")
    root = zarr.open_group(partial, mode="w", zarr_format=2)
    root.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    x = root.create_group("X")
    about = {"encoding-type": "csr_matrix", "encoding-version": "0.1.0"}
    x.attrs.update(about | {"shape": [n_cells, n_genes]})
    parts = {
        name: x.create_array(name, shape=(0,), chunks=(1_000_000,), dtype=dtype)
        for name, dtype in (("data", "float32"), ("indices", "int32"))
    }
    for part in parts.values():
        part.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    ends, places, regions = [np.zeros(1, np.int64)], [], []
    columns = int(np.ceil(np.sqrt(n_cells / tile)))
    side = 30.0 * np.sqrt(tile)  # um; an island is a little smaller
    for number, start in enumerate(range(0, n_cells, tile)):
        n = min(tile, n_cells - start)
        made = _island(number % _ISLANDS, n, n_genes)
        corner = np.array([number % columns, number // columns]) * side
        places.append(made.obsm["spatial"] + corner)
        regions.append(made.obs["niche"].astype(str).to_numpy())
        parts["data"].append(made.X.data)
        parts["indices"].append(made.X.indices)
        ends.append(made.X.indptr[1:].astype(np.int64) + ends[-1][-1])
    write_elem(x, "indptr", np.concatenate(ends))
    obs = pd.DataFrame(
        {"section": pd.Categorical(["section_1"] * n_cells), "niche": np.concatenate(regions)},
        index=[f"cell_{i}" for i in range(n_cells)],
    )
    obs["niche"] = obs["niche"].astype("category")
    write_elem(root, "obs", obs)
    write_elem(root, "var", pd.DataFrame(index=[f"gene_{i + 1}" for i in range(n_genes)]))
    write_elem(root, "obsm", {"spatial": np.concatenate(places)})
    for empty in ("layers", "obsp", "varm", "varp", "uns"):
        write_elem(root, empty, {})
    partial.rename(path)


@lru_cache(maxsize=_ISLANDS)
def _island(number: int, n_cells: int, n_genes: int) -> AnnData:
    from napari_gest.tissue.simulate import simulate

    profiles = np.random.default_rng(0).gamma(0.15, 10.0, (60, n_genes))
    return simulate(n_cells, None, 1, number, profiles=profiles)


def figures(costs: Sequence[Cost]) -> list[Figure]:
    """Return every cost beside its bar, if it has one."""
    found = []
    for cost in sorted(costs, key=lambda cost: (cost.cells, STAGES.index(cost.stage))):
        name = f"{cost.stage}: {cost.cells:,} cells" + (f" {_EARLIER}" if cost.earlier else "")
        if cost.error:
            found.append(Figure(name, cost.error, "", None, {}))
            continue
        clock = "" if np.isnan(cost.seconds) else f"{cost.seconds:.1f} s "
        value = f"{clock}({cost.cpu_s:.1f} s of processor), {cost.peak_mb:,.0f} MB"
        most = min(_FIXED_MB + _BYTES_A_CELL * cost.cells / 1e6, _MOST_MB)
        on_disk = cost.stage not in _IN_MEMORY
        numbers = {k: float(v) for k, v in asdict(cost).items() if isinstance(v, int | float)}
        bar = f"at most {most:,.0f} MB" if on_disk else ""
        found.append(Figure(name, value, bar, cost.peak_mb <= most if on_disk else None, numbers))
    return found + _bars({(c.stage, c.cells): c for c in costs if not c.error})


def _bars(known: dict[tuple[str, int], Cost]) -> list[Figure]:
    found = []
    for stage in ("tokenise", "embed"):
        sizes = sorted(n for s, n in known if s == stage and n >= 100_000)
        for less, more in pairwise(sizes):
            a, b = known[stage, less], known[stage, more]
            growth = (b.cpu_s / b.cells) / (a.cpu_s / a.cells) - 1
            found.append(
                Figure(
                    f"{stage}: processor time a cell, {less:,} to {more:,} cells",
                    f"{growth:+.0%}",
                    "within 10 %",
                    abs(growth) <= 0.1,
                    {"growth": growth},
                )
            )
    if million := known.get(("cluster", 1_000_000)):
        seconds = million.seconds
        bar = Figure("1 M cells clustered", f"{seconds:.0f} s", "at most 60 s", seconds <= 60, {})
        found.append(bar)
    for (stage, n), cost in known.items():
        if stage == "view" and cost.recolour_s is not None:
            value, met = f"{cost.recolour_s:.2f} s", cost.recolour_s <= 1
            found.append(Figure(f"another gene drawn, {n:,} cells", value, "at most 1 s", met, {}))
            if n == 3_000_000:
                value, met = f"{cost.seconds:.0f} s", cost.seconds <= 20
                found.append(Figure("3 M cells opened", value, "at most 20 s", met, {}))
    base = known.get(("generate", 100_000))
    for (stage, n), cost in known.items():
        if stage != "generate" or cost.first_s is None:
            continue
        first = f"first of 1,000 generated cells in {n:,}"
        processor = cost.first_cpu_s or float("nan")
        value, met = f"{cost.first_s:.2f} s ({processor:.2f} of processor)", cost.first_s < 1
        found.append(Figure(first, value, "under 1 s", met, {}))
        if base is not None and n > 100_000:
            ratio = cost.seconds / base.seconds - 1
            what = f"a hole of 1,000 cells in {n:,} v. in 100,000"
            met = ratio <= 0.2
            found.append(Figure(what, f"{ratio:+.0%}", "at most +20 %", met, {"ratio": ratio}))
    return found


def markdown(costs: Sequence[Cost], picture: str) -> str:
    """Return the page of results: what was run, a table, the figures with their bars."""
    sizes = sorted({cost.cells for cost in costs})
    known = {(cost.stage, cost.cells): cost for cost in costs}
    lines = [
        "# Scale",
        "",
        *_wrapped(
            "Made by `python -m benchmarks scale`; not edited by hand. Tissue of 500 genes,"
            " simulated straight to zarr and left on disk (other methods hold it in memory); beyond"
            " 200,000 cells its four islands are repeated side by side. Each stage runs in a"
            " process of its own. Seconds are of the stage alone, on the clock and, in brackets,"
            " of the processor. MB are the peak of the whole process with all that it imports,"
            " whatever of that other processes use too. `write` writes a copy of the tissue with"
            " the generated cells and their layers. `view` opens the tissue in a window, drawn in"
            " software. Expression that would take less than 1 GB is held in memory there, in two"
            " orders; more is left on disk and sorted by gene into a temporary file. Published"
            " methods are run by their original programs, with settings of their documentation,"
            " until they fail or exceed the limits of `--minutes` and `--memory-gb`; their seconds"
            " of the processor include imports and reading. A method that failed is not tried with"
            " more cells. Where there are no seconds on the clock, the process was stopped now and"
            " then for other work."
        ),
        "",
        f"![Seconds and memory by cells]({picture})",
        "",
        "| stage | " + " | ".join(f"{n:,} cells" for n in sizes) + " |",
        "|---|" + "---|" * len(sizes),
    ]
    for stage in STAGES:
        row = [_cell(known.get((stage, n))) for n in sizes]
        lines.append(f"| {stage} | " + " | ".join(row) + " |")
    for told in sorted({cost.earlier for cost in costs if cost.earlier}):
        lines += ["", *_wrapped(f"{_EARLIER} carried over: {told}")]
    loads = [cost.load for cost in costs if not np.isnan(cost.load)]
    if loads:
        lines += [
            "",
            *_wrapped(
                f"Processes that shared the machine's {psutil.cpu_count()} processors meanwhile:"
                f" {min(loads):.0f} to {max(loads):.0f}. With more than one a processor, seconds on"
                " the clock tell little, and those of the processor are to be read."
            ),
        ]
    lines += ["", "| what | figure | bar | |", "|---|---|---|---|"]
    for f in figures(costs):
        met = {True: "met", False: "missed", None: ""}[f.met]
        lines.append(f"| {f.what} | {f.value} | {f.bar} | {met} |")
    return "\n".join([*lines, ""])


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 105)


def _cell(cost: Cost | None) -> str:
    if cost is None:
        return "not run"
    if cost.error:
        return cost.error
    mark = f" {_EARLIER}" if cost.earlier else ""
    clock = "" if np.isnan(cost.seconds) else f"{cost.seconds:.1f} s "
    return f"{clock}({cost.cpu_s:.1f}), {cost.peak_mb:,.0f} MB{mark}"
