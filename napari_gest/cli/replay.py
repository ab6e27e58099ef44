"""``replay``: run a saved session again, without a window."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_gest.cli.app import app, examples
from napari_gest.cli.console import run
from napari_gest.cli.options import Device, Overwrite


@app.command(
    epilog=examples(
        "replay cortex.gest --out results",
        "replay cortex.gest --out results --moved /old/brain.h5ad=/data/brain.h5ad",
        "replay cortex.gest --script session.py",
    )
)
def replay(
    session: Annotated[Path, typer.Argument(metavar="SESSION", help="Folder of a saved session.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the tissue with its results.")
    ] = None,
    script: Annotated[
        Path | None,
        typer.Option(metavar="FILE.py", help="Write Python code that does the same instead."),
    ] = None,
    moved: Annotated[
        list[str] | None,
        typer.Option(metavar="OLD=NEW", help="New path of tissue that was moved; repeatable."),
    ] = None,
    device: Annotated[
        Device | None,
        typer.Option(help="Where networks compute; by default where they did in the session."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Compute all kept results of a session again and write them, bit for bit the same."""
    if (out is None) == (script is None):
        raise typer.BadParameter("give --out or --script")
    places = dict(_place(one) for one in moved or [])
    if script is not None:
        from napari_gest.app.saved.restoring import read_session
        from napari_gest.app.script import session_script
        from napari_gest.files import TEXT, check_output, write_text

        check_output(script, TEXT, overwrite=overwrite)
        state = run(read_session(session, places))
        write_text(script, session_script(state), TEXT, overwrite=overwrite)
        print(script)
        return
    from napari_gest.app.saved.replaying import replay as run_again
    from napari_gest.app.saved.replaying import write_replayed

    assert out is not None
    state = run(run_again(session, places, None if device is None else device.value))
    for path in write_replayed(state, out, overwrite=overwrite):
        print(path)


def _place(text: str) -> tuple[str, Path]:
    old, separator, new = text.partition("=")
    if not separator or not old or not new:
        raise typer.BadParameter(f"--moved {text}: write OLD=NEW")
    return old, Path(new)
