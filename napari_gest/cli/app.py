"""The frame of the command line: finding commands, reporting errors, showing examples."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from napari_gest import __version__
from napari_gest.cli.console import say
from napari_gest.errors import GestError
from napari_gest.files import Terminated, recorded, terminating
from napari_gest.memory import one_heap


class Commands(TyperGroup):
    """Turns a user's mistake into two lines on stderr and exit code 1, Ctrl-C into 130.

    SIGTERM and SIGHUP remove incomplete files too, and give 128 plus their number.
    """

    def invoke(self, ctx: Any) -> Any:
        with recorded() as outputs:
            try:
                with terminating():
                    return super().invoke(ctx)
            except GestError as error:
                say(f"Error: {error.cause}\nRemedy: {error.remedy}")
                _say_written(outputs)
                raise typer.Exit(1) from error
            except MemoryError as error:
                say(
                    "Error: There is not enough memory for this.\n"
                    "Remedy: Close other programs, or take one section (--section) of the file."
                )
                _say_written(outputs)
                raise typer.Exit(1) from error
            except KeyboardInterrupt as interrupt:
                number = interrupt.number if isinstance(interrupt, Terminated) else signal.SIGINT
                word = "Interrupted" if number == signal.SIGINT else "Terminated"
                say(f"{word}." if outputs else f"{word}; nothing was written.")
                _say_written(outputs)
                raise typer.Exit(128 + number) from interrupt


def _say_written(outputs: Iterable[Path]) -> None:
    """List the outputs that were complete before a command was stopped."""
    for path in outputs:
        say(f"Written before: {path}")


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Generate unseen cells of spatial transcriptomics with GeST.",
)


def examples(*commands: str) -> str:
    # An empty line between examples keeps each on a separate line.
    return "\n\n".join(["Examples:", *(f"  napari-gest {command}" for command in commands)])


@app.callback(invoke_without_command=True)
def _begin(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        print(f"napari-gest {__version__}")
        raise typer.Exit
    if context.invoked_subcommand not in ("demo", "view"):  # which open a window
        one_heap()
