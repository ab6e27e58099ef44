"""Build the rivals' environments: ``python -m benchmarks.rivals.environments``, or ``make rivals``.

One virtual environment for each pair of files in ``environments/``: ``NAME.in`` lists requirements
and ``NAME.txt`` pins all packages. An environment that cannot be built is left out, and its last
error is stored for the table.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.rivals.registry import REQUIREMENTS, environments_dir
from napari_gest.files import FolderKind, make_folder, remove_folder

READY = ".ready"
# Each environment has its own packages.
ENVIRONMENT = FolderKind(
    "an environment",
    lambda folder: any((folder / name).is_file() for name in ("pyvenv.cfg", READY)),
    lambda folder: [],
)


def names() -> list[str]:
    """Return the names of the environments."""
    return sorted(path.stem for path in REQUIREMENTS.glob("*.in"))


def build(name: str, python: str = sys.executable) -> bool:
    """Build one environment, unless it exists with the same requirements.

    Source packages that are compiled against another package of the environment are listed in
    ``NAME.source.in``. They are installed last, without an isolated build.

    Parameters
    ----------
    name
        Name of the environment.
    python
        Interpreter to build it with.
    """
    wanted = {
        path: path.read_text()
        for suffix in (".in", ".source.in", ".txt")
        if (path := REQUIREMENTS / f"{name}{suffix}").exists()
    }
    folder, stamp = environments_dir() / name, "".join(wanted.values())
    ready = folder / READY
    if ready.exists() and ready.read_text() == stamp:
        return True
    make_folder(folder.parent)
    if folder.exists() and not remove_folder(folder, ENVIRONMENT):
        _log(name).write_text(f"error: {folder} is no environment of Python's, so it stays\n")
        return False
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    pinned = ["--constraint", str(REQUIREMENTS / f"{name}.txt")]
    steps = [
        [python, "-m", "venv", str(folder)],
        [*pip, "--upgrade", "pip"],
        [*pip, *pinned, "--requirement", str(REQUIREMENTS / f"{name}.in")],
    ]
    source = REQUIREMENTS / f"{name}.source.in"
    if source in wanted:
        steps.append([*pip, *pinned, "--no-build-isolation", "--requirement", str(source)])
    with _log(name).open("w") as log:
        for step in steps:
            if subprocess.run(step, stdout=log, stderr=subprocess.STDOUT, check=False).returncode:
                remove_folder(folder, ENVIRONMENT)
                return False
    ready.write_text(stamp)
    return True


def build_error(name: str) -> str:
    """Return why an environment is missing: pip's last error, or that it was not built."""
    log = _log(name)
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    errors = [line.strip() for line in lines if "error" in line.lower()]
    return errors[-1] if errors else f"environment '{name}' is not built: make rivals"


def _log(name: str) -> Path:
    return environments_dir() / f"{name}.log"


def main() -> None:
    """Build those named on the command line, or all."""
    failed = []
    for name in sys.argv[1:] or names():
        print(f"building {environments_dir() / name}", flush=True)
        if not build(name):
            print(f"  failed: {build_error(name)}")
            failed.append(name)
    print(f"{len(failed)} failed" if failed else "all built")


if __name__ == "__main__":
    main()
