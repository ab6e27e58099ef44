"""Messages of the command line reach any terminal, or are lost alone."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_gest.cli.console import say, tell, tolerate_encodings


def test_what_an_encoding_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, speak in (("stdout", tell), ("stderr", say)):
        held = io.BytesIO()
        stream = io.TextIOWrapper(held, encoding="ascii")
        monkeypatch.setattr(sys, name, stream)
        speak("5 µm")
        tolerate_encodings()
        print("7 µm", file=stream, flush=True)
        assert held.getvalue().split() == [b"5", rb"\xb5m", b"7", rb"\xb5m"]


@pytest.mark.usefixtures("unread")
def test_a_message_that_nobody_reads_is_lost() -> None:
    say("this")
    tell("and that")


def test_no_terminal_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    tell("nothing")
    assert sys.stdout is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_closed_pipe_does_not_end_a_program() -> None:
    read, write = os.pipe()
    os.close(read)
    code = "from napari_gest.cli.console import tell; tell('a'); tell('b'); print('c')"
    command = [sys.executable, "-c", code]
    folder = Path(__file__).parents[1]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, cwd=folder, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_program_prints_what_its_terminal_can_show(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "napari_gest.cli", "info", str(tmp_path / "µ")]
    (tmp_path / "µ.geojson").write_text(
        '{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}'
    )
    command[-1] += ".geojson"
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(command, capture_output=True, env=ascii_only, check=False)
    assert done.returncode == 0, done.stderr
    assert rb"\xb5.geojson" in done.stdout
