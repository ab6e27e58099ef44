"""The main job on the bundled sample, by itself: open, colour, draw, generate, look, keep, save."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_gest.app.actions import ChangeView
from napari_gest.errors import InputError
from napari_gest.files import PNG, Output, check_outputs, make_folder, replacing
from napari_gest.tissue.io import H5AD
from napari_gest.widgets.display import has_display, virtual_display

if TYPE_CHECKING:
    from napari_gest.widgets.dock import Home

PICTURES = ("before.png", "during.png", "after.png", "uncertainty.png")
RESULT = "generated.h5ad"

_SETTLE_S = 0.4  # for the canvas to draw what was changed


def run_demo(out_dir: Path, show: bool | None = None) -> list[Path]:
    """Run the demo and write four screenshots and the generated tissue.

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
        return _Demo(out_dir).finish(stay=show is not False)
    with virtual_display():
        return _Demo(out_dir).finish(stay=False)


class _Demo:
    """Presses the buttons a user would press."""

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

    def _run(self) -> list[Path]:
        from napari_gest.app.sample_tissue import SAMPLE_ROI, SAMPLE_SECTION
        from napari_gest.canvas.shapes import from_roi
        from napari_gest.tissue.roi import Roi

        home, context = self.home, self.home.context
        home.open_panel.open([SAMPLE_SECTION])
        self.window.until(lambda: context.scene.active is not None and not context.jobs.busy)
        home.color_panel.show_gene(_spatial_gene(home))
        region = context.scene.draw("pan_zoom")
        outlines = from_roi(Roi.read_geojson(SAMPLE_ROI), context.scene.active_layer)
        region.add(outlines, shape_type="polygon")
        self._settle()
        self._picture("before.png")

        if (why_not := home.run_panel.why_not()) is not None:
            raise InputError("The demo cannot run: no bundled model fits the sample.", why_not)
        (self.out_dir / "during.png").unlink(missing_ok=True)
        context.painter.cells_painted.connect(self._during)
        home.run_panel.start()
        self.window.until(lambda: not context.jobs.busy)
        self._settle()
        self._picture("after.png")

        result = home.run_panel.result
        context.do(ChangeView.of(view="uncertainty"))
        self._settle()
        self._picture("uncertainty.png")
        context.do(ChangeView.of(view="generated"))
        result.keep()
        result.save(self.out_dir / RESULT, overwrite=True)
        self.window.until(lambda: not context.jobs.busy)
        written = [self.out_dir / name for name in (*PICTURES, RESULT)]
        return [path for path in written if path.exists()]

    def _during(self) -> None:
        """Take the picture once about half of the cells are there."""
        made, _ = next(iter(self.home.context.scene.generated()))
        if made.filled.mean() > 0.4:
            self.home.context.painter.cells_painted.disconnect(self._during)
            self._picture("during.png")

    def _picture(self, name: str) -> None:
        with replacing(self.out_dir / name, PNG, overwrite=True) as temporary:
            self.window.viewer.screenshot(str(temporary), canvas_only=False, flash=False)

    def _settle(self) -> None:
        end = time.monotonic() + _SETTLE_S
        self.window.until(lambda: time.monotonic() > end)


def _spatial_gene(home: Home) -> str:
    """Return the gene of the sample with the clearest spatial pattern."""
    from napari_gest.tissue.moran import top_svgs

    opened = home.context.scene.active
    section = opened.section
    values = section.model_space(home.context.painter.normalization.target_sum)
    return section.genes[int(top_svgs(values, section.coords_um, 1)[0])]
