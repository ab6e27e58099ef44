"""Commands of the command line, run in this process."""

from __future__ import annotations

from typer.testing import CliRunner

from napari_gest.cli import app


def told(*arguments: object) -> tuple[int, str]:
    """Return the exit code and all that was printed."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return result.exit_code, result.output
