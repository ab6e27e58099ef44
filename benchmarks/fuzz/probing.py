"""The child process that probes HDF5 files, forked instead of started, which takes milliseconds.

It uses the same protocol as the real child; only the way it is started differs.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from napari_gest.tissue import probe, probe_child


class ForkedChild:
    """The part of ``subprocess.Popen`` that a probe uses."""

    def __init__(self) -> None:
        ask, asked = os.pipe()
        answered, answer = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                os.dup2(ask, 0)
                os.dup2(answer, 1)
                os.closerange(3, 64)
                sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
                probe_child.main()
            finally:
                os._exit(0)
        os.close(ask)
        os.close(answer)
        self.stdin: Any = os.fdopen(asked, "w", encoding="utf-8")
        self.stdout: Any = os.fdopen(answered, encoding="utf-8")
        self._status: int | None = None

    def poll(self) -> int | None:
        if self._status is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = status if ended else None
        return self._status

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        if self._status is None:
            self._status = os.waitpid(self.pid, 0)[1]
        return self._status


def fork_probes() -> None:
    """Let this program fork the children that probe its files."""

    def start(*arguments: Any, **settings: Any) -> ForkedChild:
        return ForkedChild()

    probe.subprocess = _Forking(start)  # type: ignore[assignment]


class _Forking:
    """Replaces the module ``subprocess`` in ``probe``."""

    PIPE = DEVNULL = None

    def __init__(self, start: Any) -> None:
        self.Popen = start
