"""The command line: one subcommand per public function.

Only typer and rich are imported here; each command imports what it runs, so help is instant.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

_INTERRUPTED = "Interrupted; nothing was written."

# Ctrl-C may come before there is a command that could be interrupted.
try:
    from napari_gest.cli.app import app
    from napari_gest.cli.console import tolerate_encodings

    # isort: off
    # Importing a file adds its commands; the order here is their order in --help.
    from napari_gest.cli import show  # noqa: F401
    from napari_gest.cli import generate  # noqa: F401
    from napari_gest.cli import perturb  # noqa: F401
    from napari_gest.cli import train  # noqa: F401
    from napari_gest.cli import niches  # noqa: F401
    from napari_gest.cli import replay  # noqa: F401
    from napari_gest.cli import simulate  # noqa: F401
    from napari_gest.cli import describe  # noqa: F401
    # isort: on
except KeyboardInterrupt:
    print(_INTERRUPTED, file=sys.stderr)
    raise SystemExit(130) from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 a mistake in input, 2 in usage, 128 + a signal."""
    try:
        tolerate_encodings()
        app(args=arguments, prog_name="napari-gest")
    except KeyboardInterrupt:  # before the command itself
        print(_INTERRUPTED, file=sys.stderr)
        raise SystemExit(130) from None
