"""The versions that the tests run with, a session for each row; needs nox and uv.

nox -l                                        lists the rows
nox -s "tests(3.11-lowest-pyqt6)"             runs the whole suite with one
nox -s "tests(3.12-pre-pyqt6)" -- -m gui      runs a part of it
nox -s table                                  prints what ran, as in docs/versions.md
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import nox
from nox.command import CommandFailed

nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests"]

ROWS = (
    ("3.11", "lowest", "pyqt6"),
    ("3.11", "locked", "pyqt6"),
    ("3.11", "locked", "pyside6"),
    ("3.12", "newest", "pyqt6"),
    ("3.13", "newest", "pyqt6"),
    ("3.13", "newest", "pyside6"),
    ("3.13", "pre", "pyqt6"),
)
# For the project, and then for what runs the tests, which is new where the rest is old.
INSTALL = {
    "lowest": (("--resolution", "lowest-direct"), ()),  # of what pyproject.toml names
    "locked": (("--constraint", "constraints.txt"), ("--constraint", "constraints.txt")),
    "newest": (("--upgrade",), ()),
    "pre": (("--upgrade",), ()),
}
EVERYTHING = ("-q", "-n", "2", "--dist", "loadgroup")
DONE = Path(".nox") / "done"
SHOWN = (
    *("napari", "pyqt6", "pyside6", "vispy", "superqt", "pyqtgraph", "magicgui", "psygnal"),
    *("pydantic", "numpy", "scipy", "pandas", "scikit-learn", "shapely", "anndata", "zarr"),
    *("torch", "typer"),
)
FIND = """
import json, platform, sys
from importlib.metadata import PackageNotFoundError, version

found = {"python": platform.python_version()}
for name in sys.argv[2:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
with open(sys.argv[1], "w") as file:
    json.dump(found, file)
"""


@nox.session
@nox.parametrize("python,versions,qt", ROWS, ids=["-".join(row) for row in ROWS])
def tests(session: nox.Session, versions: str, qt: str) -> None:
    """Run the tests, or the part that pytest's arguments name, with one row of versions."""
    row = f"{session.python}-{versions}-{qt}"
    try:
        project, runner = INSTALL[versions]
        session.install(*project, "--editable", f".[{qt},leiden,scale]")
        session.install(*runner, "--editable", f".[{qt},test]")
        if versions == "pre":  # of napari; the rest stays as it is where that will do
            session.install("--prerelease", "allow", "--upgrade-package", "napari", "napari")
    except CommandFailed:
        if os.environ.get("CI"):
            raise
        session.skip("not all of it can be installed here: see above")
    report = session.create_tmp() / Path("report.xml")
    found = session.create_tmp() / Path("found.json")
    session.run_install("python", "-c", FIND, str(found), *SHOWN)
    about = json.loads(found.read_text())
    if versions == "pre" and about["napari"].replace(".", "").isdigit():
        session.skip(f"napari has no version newer than {about['napari']} that can be had")
    args = tuple(session.posargs) or EVERYTHING
    environment = {"QT_API": qt, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    try:
        # With -m the checkout is on Python's path: tests use its folder benchmarks.
        session.run("python", "-m", "pytest", *args, f"--junitxml={report}", env=environment)
    finally:
        if report.exists():
            _note(row, about, " ".join(args), report)


@nox.session(venv_backend="none")
def table(session: nox.Session) -> None:
    """Print which versions the rows had and how their tests went."""
    rows = [json.loads(path.read_text()) for path in sorted(DONE.glob("*.json"))]
    names = [name for name in ("python", *SHOWN) if any(name in row["found"] for row in rows)]
    runs = list(dict.fromkeys(args for row in rows for args in row["runs"]))
    lines = [["", *(row["row"] for row in rows)], ["---"] * (len(rows) + 1)]
    lines += [[name, *(row["found"].get(name, "") for row in rows)] for name in names]
    lines += [[f"`pytest {args}`", *(row["runs"].get(args, "") for row in rows)] for args in runs]
    for line in lines:
        print(f"| {' | '.join(line)} |")


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """Run what `make lint` runs, with the locked versions."""
    session.install("--constraint", "constraints.txt", "--editable", ".[qt,dev]")
    bin_dir = Path(session.bin)
    here = ("READY=", f"VENV={bin_dir.parent}", f"PY={bin_dir / 'python'}")
    session.run("make", "lint", *here, external=True)


@nox.session(python="3.11")
def wheel(session: nox.Session) -> None:
    """Build source distribution and wheel, and run the command line from the wheel."""
    session.install("build")
    session.run("python", "-m", "build", "--outdir", "dist")
    (built,) = Path("dist").glob("*.whl")
    session.install("--constraint", "constraints.txt", str(built))
    session.cd(session.create_tmp())
    session.run("napari-gest", "--version")
    session.run("napari-gest", "models")


def _note(row: str, found: dict[str, str], args: str, report: Path) -> None:
    """Keep how a run went beside what earlier ones of the same versions did."""
    suite = next(ElementTree.parse(report).iter("testsuite")).attrib
    counts = {name: int(suite[name]) for name in ("tests", "failures", "errors", "skipped")}
    failed = counts["failures"] + counts["errors"]
    passed = counts["tests"] - failed - counts["skipped"]
    result = f"{passed} passed" + (f", {failed} failed" if failed else "")
    result += f", {counts['skipped']} skipped" if counts["skipped"] else ""
    path = DONE / f"{row}.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    runs = before["runs"] if before.get("found") == found else {}
    DONE.mkdir(parents=True, exist_ok=True)
    kept = {"row": row, "found": found, "runs": {**runs, args: result}}
    path.write_text(json.dumps(kept, indent=1))
