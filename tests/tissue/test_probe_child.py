"""The script of the child: answers line by line, and ends when its input does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

from napari_gest.tissue import probe_child


def test_it_answers_each_file_and_ends(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=np.arange(1_000_000), chunks=(1000,))
        file["deep/er"] = "text"
        file["deep"].attrs["a"] = [1, 2]
        file["again"] = file["deep"]
        file["away"] = h5py.ExternalLink("none.h5", "/x")
    (tmp_path / "b.h5").write_bytes(b"no")
    lines = [sys.path, str(tmp_path / "a.h5"), str(tmp_path / "b.h5"), str(tmp_path / "none.h5")]
    done = subprocess.run(
        [sys.executable, "-P", probe_child.__file__],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.split() == ["ready", "done", "done", "done"]


def test_without_h5py_it_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-S", probe_child.__file__],
        input=json.dumps([p for p in sys.path if "site-packages" not in p]) + "\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.strip() == "no h5py"
