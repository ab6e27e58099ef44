"""The command line: one subcommand per public function.

Only typer and rich are imported here; each command imports what it runs, so help is instant.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 a mistake in input, 2 in usage, 128 + a signal."""
    tolerate_encodings()
    app(args=arguments, prog_name="napari-gest")
