"""HDF5 files are first read by a child process, which a damaged file may crash or hang.

HDF5 is compiled code that trusts much of a file's content. In the window its crash would end the
session. Decision 23 gives the cost and the limits.
"""

from __future__ import annotations

import atexit
import json
import logging
import subprocess
import sys
from multiprocessing.spawn import get_executable
from pathlib import Path
from queue import Empty, Queue
from threading import Lock, Thread

from napari_gest.errors import InputError

_LOG = logging.getLogger(__name__)
_CHILD = Path(__file__).with_name("probe_child.py")
# Starting Python on a busy machine takes seconds; a sound file takes milliseconds.
_START_SECONDS, _SECONDS = 60.0, 15.0


class Probe:
    """A child process that reads files; started on the first file, and again once it has ended."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[str] | None = None
        self._answers: Queue[str] = Queue()
        self._ready = False

    def ask(self, path: Path) -> Question:
        """Send a file to the child, which reads it while this process goes on.

        Wait for the answer before the next file is sent: ``Question.wait``.
        """
        self._lock.acquire()
        try:
            self._send(path)
        except OSError:
            # The child ends by itself after some time without work, perhaps just now.
            self.close()
            try:
                self._send(path)
            except OSError as error:
                _LOG.warning("HDF5 files are read unprobed: %s", error)
                self.close()
        except BaseException:
            self._lock.release()
            raise
        return Question(self, path)

    def _send(self, path: Path) -> None:
        if self._process is None or self._process.poll() is not None:
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(str(path.absolute())) + "\n")
        self._process.stdin.flush()

    def _start(self) -> None:
        self.close()
        executable = get_executable()
        if not executable or getattr(sys, "frozen", False):
            raise OSError("there is no Python to start")
        self._process = subprocess.Popen(
            # Without -P the folder of the script, with its io.py, would be imported from first.
            [executable, "-P", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(sys.path) + "\n")
        self._answers, self._ready = Queue(), False
        # Not every system can read a pipe with a time limit; a queue has one everywhere.
        Thread(target=_relay, args=(self._process, self._answers), daemon=True).start()

    def _next(self, seconds: float) -> str:
        try:
            return self._answers.get(timeout=seconds)
        except Empty:
            return "it did not end"

    def close(self) -> None:
        """End the child, if it runs."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except OSError:  # unsent data is not needed any more
                        continue


class Question:
    """A file that the child is reading."""

    def __init__(self, probe: Probe, path: Path) -> None:
        self._probe, self._path = probe, path

    def wait(self) -> None:
        """Raise InputError if the file crashed the child, hung it or used up its memory."""
        probe = self._probe
        try:
            if probe._process is None:
                return
            answer = probe._next(_SECONDS if probe._ready else _START_SECONDS)
            if answer == "ready":
                probe._ready = True
                answer = probe._next(_SECONDS)
            if answer == "done":
                return
            probe.close()
        finally:
            probe._lock.release()
        if answer == "no h5py":
            _LOG.warning("HDF5 files are read unprobed: the child process found no h5py")
            return
        raise InputError(
            f"Reading it fails inside the HDF5 library ({answer}).",
            "The file is damaged: copy it again, or write it again with anndata.",
        )


def _relay(process: subprocess.Popen[str], answers: Queue[str]) -> None:
    assert process.stdout is not None
    try:
        for line in process.stdout:
            answers.put(line.strip())
    except ValueError:  # closed meanwhile
        return
    answers.put("the process that tried it ended")


_PROBE = Probe()
atexit.register(_PROBE.close)


def ask(path: Path) -> Question:
    """Let the one child of this program read an HDF5 file; ``Question.wait`` for its answer."""
    return _PROBE.ask(path)
