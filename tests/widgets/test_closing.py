"""A viewer closed, or a process ended, in the middle of a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.gui

_PROGRAM = Path(__file__).with_name("closing.py")
_SIGNS = ("Traceback", "Error", "QThread", "QObject", "QTimer", "Fatal", "terminate")


@pytest.mark.parametrize(
    "case", ["close", "close_by_window", "close_one_of_two", "close_and_leave", "leave"]
)
def test_nothing_breaks(case, tissue_file, model_folder, qapp, tmp_path):
    command = [
        sys.executable,
        "-X",
        "faulthandler",
        "-W",
        "ignore",
        _PROGRAM,
        case,
        tissue_file,
        model_folder.parent,
    ]
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=300,
        # Sessions are not autosaved among the user's own.
        env={**os.environ, "OMP_NUM_THREADS": "1", "XDG_DATA_HOME": str(tmp_path)},
    )
    # The stack of a crash is followed by a long list of modules.
    assert done.returncode == 0, done.stderr.split("Extension modules")[0][-6000:]
    assert done.stdout.strip().endswith("done")
    assert not [sign for sign in _SIGNS if sign in done.stderr], done.stderr[-3000:]
