"""The main job on the bundled sample, by itself: open, colour, draw, generate, look, keep, save."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from napari_gest.app.actions import ChangeView
from napari_gest.errors import InputError
from napari_gest.files import PNG, Output, check_outputs, make_folder, replacing
from napari_gest.tissue.io import H5AD
from napari_gest.widgets.display import has_display, virtual_display

if TYPE_CHECKING:
    from numpy.typing import NDArray

# In the order in which they are taken: the whole canvas, and at the end the window with the dock.
PICTURES = (
    "before.png",
    "hidden.png",
    "during.png",
    "typical.png",
    "expected.png",
    "uncertainty.png",
    "by_type.png",
    "window.png",
)
RESULT = "generated.h5ad"

TYPES = "cell_type"
SCALE = 0.6  # pixels of a picture for each um
MARGIN = 16  # pixels around the tissue

_SETTLE_S = 0.4  # for the canvas to draw what was changed


def run_demo(out_dir: Path, show: bool | None = None) -> list[Path]:
    """Run the demo and write its pictures and the generated tissue.

    The pictures show the tissue before, with the region hidden, half filled, with typical cells,
    with what is expected, how uncertain that is, and cell types; the last one shows the window.

    Parameters
    ----------
    out_dir
        Made if it does not exist. Files of an earlier demo are replaced.
    show
        Leave the window open at the end; by default, if there is a screen. Without a screen a
        virtual one is started.

    Returns
    -------
    The files written.

    Raises
    ------
    InputError
        If no bundled model fits the sample, or there is neither a screen nor Xvfb.
    """
    out_dir = Path(out_dir)
    make_folder(out_dir)
    pictures = [Output("out", out_dir / name, PNG, overwrite=True) for name in PICTURES]
    check_outputs([*pictures, Output("out", out_dir / RESULT, H5AD, overwrite=True)])
    if has_display():
        return Demo(out_dir).finish(stay=show is not False)
    with virtual_display():
        return Demo(out_dir).finish(stay=False)


class Demo:
    """Presses the buttons a user would press.

    Parameters
    ----------
    out_dir
        Receives the pictures.
    """

    def __init__(self, out_dir: Path) -> None:
        from napari_gest.widgets.headless_viewer import HeadlessViewer

        self.out_dir = out_dir
        self.window = HeadlessViewer()
        self.home = self.window.home

    def finish(self, stay: bool) -> list[Path]:
        """Run, leave the window to the user if it is to stay, and close it."""
        try:
            written = self._run()
            if stay:
                import napari

                napari.run()
        finally:
            self.window.close()
        return written

    def open(self) -> None:
        """Open the sample, coloured by the gene to look at, with the region drawn on it."""
        from napari_gest.app.sample_tissue import SAMPLE_ROI, SAMPLE_SECTION, gene_around
        from napari_gest.canvas.shapes import from_roi
        from napari_gest.tissue.roi import Roi

        home, context = self.home, self.home.context
        home.open_panel.open([SAMPLE_SECTION])
        self.window.until(lambda: context.scene.active is not None and not context.jobs.busy)
        roi = Roi.read_geojson(SAMPLE_ROI)
        target_sum = context.painter.normalization.target_sum
        home.color_panel.show_gene(gene_around(context.scene.active.section, roi, target_sum))
        region = context.scene.draw("pan_zoom")
        region.add(from_roi(roi, context.scene.active_layer), shape_type="polygon")
        self.settle()

    def generate(self) -> None:
        """Fill the region."""
        context = self.home.context
        if (why_not := self.home.run_panel.why_not()) is not None:
            raise InputError("The demo cannot run: no bundled model fits the sample.", why_not)
        self.home.run_panel.start()
        self.window.until(lambda: context.state.shown_run("generation") is not None)
        self.window.until(lambda: not context.jobs.busy)
        self.settle()

    def fill_to(self, share: float) -> None:
        """Show the region as it is while it fills, with this share of its cells.

        The cells come from the rim inward, each with what is expected of it. A picture takes
        longer than that does, so it is taken afterwards.
        """
        from napari_gest.app.runs.generated_cells import GeneratedCells

        context = self.home.context
        entry = context.state.shown_run("generation")
        result = entry.outcome.result
        made = GeneratedCells.showing(entry.run.snapshot, result)
        made.filled = np.argsort(np.argsort(result.depth_um)) < share * len(result.depth_um)
        mean = result.expression if result.mean is None else result.mean
        made.expected = np.where(made.filled[:, None], mean, np.float32(np.nan))
        made.expression, made.drawing, made.result = made.expected, False, None
        context.painter.play(entry.id, made)
        self.settle()

    def filled(self) -> None:
        """Show the result again."""
        context = self.home.context
        context.painter.play(context.state.shown_run("generation").id, None)
        self.settle()

    def look(self, **changes: Any) -> None:
        """Change the view, and let the canvas draw it."""
        self.home.context.do(ChangeView.of(**changes))
        self.settle()

    def settle(self) -> None:
        """Let the window draw what was changed."""
        end = time.monotonic() + _SETTLE_S
        self.window.until(lambda: time.monotonic() > end)

    def pixels(self) -> NDArray[np.uint8]:
        """Return (h, w, 4) of the tissue with a margin, without the window around it."""
        inside = np.asarray(self.window.viewer.export_figure(scale_factor=SCALE, flash=False))
        framed = np.empty((*np.add(inside.shape[:2], 2 * MARGIN), inside.shape[2]), np.uint8)
        framed[:] = inside[0, 0]  # the canvas beside the tissue
        framed[MARGIN:-MARGIN, MARGIN:-MARGIN] = inside
        return framed

    def _run(self) -> list[Path]:
        context, result = self.home.context, self.home.run_panel.result
        self.open()
        gene = context.state.view.gene
        self._picture("before.png")
        self.generate()
        for name, share in (("hidden.png", 0.0), ("during.png", 0.5)):
            self.fill_to(share)
            self._picture(name)
        self.filled()
        self._picture("typical.png")
        for view in ("expected", "uncertainty"):
            self.look(view=view)
            self._picture(f"{view}.png")
        if TYPES in context.opened.adata.obs:
            self.look(view="generated", column=TYPES)
            self._picture("by_type.png")
        self.look(view="generated", gene=gene)
        with replacing(self.out_dir / "window.png", PNG, overwrite=True) as temporary:
            self.window.viewer.screenshot(str(temporary), canvas_only=False, flash=False)
        result.keep()
        result.save(self.out_dir / RESULT, overwrite=True)
        self.window.until(lambda: not context.jobs.busy)
        written = [self.out_dir / name for name in (*PICTURES, RESULT)]
        return [path for path in written if path.exists()]

    def _picture(self, name: str) -> None:
        with replacing(self.out_dir / name, PNG, overwrite=True) as temporary:
            Image.fromarray(self.pixels()).save(temporary, format="PNG")
