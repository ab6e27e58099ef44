"""The rivals: name, source, and the script that runs each."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
METHODS = Path(__file__).parent / "methods"
REQUIREMENTS = Path(__file__).parent / "environments"

NICHES, ANNOTATION, GENERATION = "niches", "annotation", "generation"

# Data sets whose cells are spots of a Visium lattice.
VISIUM = ("dlpfc",)


@dataclass(frozen=True)
class Rival:
    """One method.

    Attributes
    ----------
    name
        Name in the tables.
    task
        ``"niches"``, ``"annotation"`` or ``"generation"``.
    script
        Path of the script that runs it; see `methods/door.py` for what it reads and writes.
    environment
        Name of its environment.
    package
        Its distribution; empty if the script needs none.
    licence
        Its licence, as its distribution states it.
    paper
        Where it was published.
    """

    name: str
    task: str
    script: Path
    environment: str
    package: str
    licence: str
    paper: str

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return environments_dir() / self.environment / "bin" / "python"

    @property
    def version(self) -> str:
        """Version installed in its environment; empty if none is."""
        places = (environments_dir() / self.environment).glob("lib/python*/site-packages")
        found = metadata.distributions(name=self.package, path=[str(p) for p in places])
        return next((d.version for d in found), "") if self.package else ""


def environments_dir() -> Path:
    """Return the folder of the environments: ``GEST_RIVALS``, or ``.rivals`` in the checkout."""
    return Path(os.environ.get("GEST_RIVALS", ROOT / ".rivals"))


def _rival(
    name: str, task: str, script: str, environment: str, package: str, licence: str, paper: str
) -> Rival:
    return Rival(name, task, METHODS / script, environment, package, licence, paper)


RIVALS = (
    _rival(
        "BANKSY",
        NICHES,
        "run_banksy.py",
        "main",
        "pybanksy",
        "GPL-3.0",
        "Singhal et al. 2024, Nature Genetics",
    ),
    _rival(
        "CellCharter",
        NICHES,
        "run_cellcharter.py",
        "main",
        "cellcharter",
        "BSD-3-Clause",
        "Varrone et al. 2024, Nature Genetics",
    ),
    _rival(
        "SpaGCN",
        NICHES,
        "run_spagcn.py",
        "spagcn",
        "SpaGCN",
        "MIT",
        "Hu et al. 2021, Nature Methods",
    ),
    _rival(
        "STAGATE",
        NICHES,
        "run_stagate.py",
        "main",
        "stagate-modern",
        "MIT",
        "Dong and Zhang 2022, Nature Communications; a maintained fork of STAGATE_pyG",
    ),
    _rival(
        "GraphST",
        NICHES,
        "run_graphst.py",
        "main",
        "GraphST",
        "MIT",
        "Long et al. 2023, Nature Communications",
    ),
    _rival(
        "NicheCompass",
        NICHES,
        "run_nichecompass.py",
        "nichecompass",
        "nichecompass",
        "BSD-3-Clause",
        "Birk et al. 2025, Nature Genetics",
    ),
    _rival(
        "Novae",
        NICHES,
        "run_novae.py",
        "main",
        "novae",
        "BSD-3-Clause",
        "Blampey et al. 2025, Nature Methods",
    ),
    _rival(
        "CellTypist",
        ANNOTATION,
        "run_celltypist.py",
        "celltypist",
        "celltypist",
        "MIT",
        "Dominguez Conde et al. 2022, Science",
    ),
    _rival(
        "scANVI",
        ANNOTATION,
        "run_scanvi.py",
        "main",
        "scvi-tools",
        "BSD-3-Clause",
        "Xu et al. 2021, Molecular Systems Biology; Gayoso et al. 2022, Nature Biotechnology",
    ),
    _rival(
        "soGEN",
        GENERATION,
        "run_sogen.py",
        "sogen",
        "sogen-bio",
        "MIT",
        "Bao Lab, Fudan University; its paper is not out yet",
    ),
    _rival(
        "mimyr",
        GENERATION,
        "run_mimyr.py",
        "mimyr",
        "mimyr",
        "MIT",
        "Deshpande et al. 2025, bioRxiv",
    ),
)


def rivals(task: str | None = None, only: Iterable[str] = ()) -> list[Rival]:
    """Return the rivals of a task, or those named, whatever their case.

    Raises
    ------
    KeyError
        If a name is unknown.
    """
    known = {r.name.lower(): r for r in RIVALS}
    chosen = [known[name.lower()] for name in only] or list(RIVALS)
    return [r for r in chosen if task is None or r.task == task]
