"""README's first pictures: a region that fills and plays, niches, and an edit and what follows.

Run it on a screen of 1700 x 1100 at least, a virtual one will do; it writes ``docs/images``. It
presses the buttons that the demo presses, on the bundled sample, which is simulated.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_gest.app.actions import ChangeView, SetEdits, SetShapes
from napari_gest.app.regions import Shape
from napari_gest.app.sample_tissue import SAMPLE_ROI
from napari_gest.app.state import EditChoices
from napari_gest.canvas._napari_private.compat import camera
from napari_gest.tissue.edits import Edit
from napari_gest.tissue.roi import Roi
from napari_gest.widgets.demo import MARGIN, SCALE, Demo

DRAWS = 6
_AROUND_UM = 260.0  # what is seen around the region
_FILLING = 12  # pictures while the region fills
_SHORT_MS, _LONG_MS = 160, 900
_COLORS = 160
_QUALITY = 75
_WINDOW = (1400, 900)
_EDITED_AT, _EDITED_UM = (-330.0, -60.0), 110.0  # from the middle of the tissue; half its width
_ZOOM = 1.3  # pixels for each um
_MOST_BYTES = 3_000_000


class Frames:
    """Pictures of the region and what is around it, each with how long it is seen."""

    def __init__(self, demo: Demo) -> None:
        self.demo = demo
        self.pictures: list[Image.Image] = []
        self.ms: list[int] = []

    def add(self, ms: int) -> None:
        """Take a picture."""
        picture = Image.fromarray(self._cut(self.demo.pixels())).convert("RGB")
        self.pictures.append(picture)
        self.ms.append(ms)

    def write(self, path: Path) -> None:
        """Write the animation, in colours that all of its pictures share."""
        every = Image.fromarray(np.concatenate([np.asarray(p) for p in self.pictures]))
        palette = every.quantize(_COLORS)
        plain = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in self.pictures]
        plain[0].save(path, save_all=True, append_images=plain[1:], duration=self.ms, loop=0,
                      optimize=False)  # fmt: skip
        if path.stat().st_size > _MOST_BYTES:
            raise SystemExit(f"{path} has {path.stat().st_size:,} bytes.")

    def _cut(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the part of a picture of the whole tissue that lies around the region."""
        corner = self.demo.home.context.opened.section.coords_um.min(axis=0)
        bounds = np.reshape(Roi.read_geojson(SAMPLE_ROI).geometry.bounds, (2, 2)) - corner
        low, high = bounds[0] - _AROUND_UM, bounds[1] + _AROUND_UM
        (left, top), (right, bottom) = (SCALE * np.stack([low, high]) + MARGIN).astype(int)
        return pixels[max(top, 0) : bottom, max(left, 0) : right]


def pictures(out: Path, only: tuple[str, ...] = ()) -> None:
    """Take all pictures, or those that are named."""
    makers = {"filling": _filling, "niches": _niches, "perturb": _perturb}
    for name in only or makers:
        demo = Demo(out)
        try:
            demo.open()
            makers[name](demo, out)
        finally:
            demo.window.close()


def _filling(demo: Demo, out: Path) -> None:
    """A region that is emptied, fills, and shows some draws."""
    frames = Frames(demo)
    demo.generate()
    for step in range(_FILLING + 1):
        demo.fill_to(step / _FILLING)
        frames.add(_SHORT_MS if 0 < step < _FILLING else _LONG_MS)
    demo.filled()
    draws = demo.home.run_panel.result.draws
    for number in range(1, DRAWS + 1):
        frames.add(_LONG_MS if number == 1 else 3 * _SHORT_MS)
        if number < DRAWS:
            draws.again()
            demo.window.until(lambda n=number: draws.entry.outcome.n_draws == n + 1)
            demo.settle()
    frames.write(out / "filling.gif")
    demo.home.run_panel.result.discard()


def _niches(demo: Demo, out: Path) -> None:
    """The tissue coloured by niche, with boundaries."""
    context, window = demo.home.context, demo.window
    demo.home.niches_panel.start()
    window.until(lambda: context.state.shown_run("niches") is not None and not context.jobs.busy)
    window.until(lambda: not context.state.shown_run("niches").outcome.is_preview)
    of_run = (context.state.shown_run("niches").id, "niches")
    context.do(ChangeView.of(of_run=of_run, view="measured"))
    demo.home.niches_panel.draw_boundaries()
    context.do(SetShapes(role="unseen", shapes=()))
    demo.settle()
    window.until(lambda: not context.jobs.busy)
    demo.settle()
    Image.fromarray(demo.pixels()).convert("RGB").quantize(_COLORS).save(
        out / "niches.png", optimize=True
    )


def _perturb(demo: Demo, out: Path) -> None:
    """The window with an edit of a gene in a round region, and what the cells around it do."""
    home, context, viewer = demo.home, demo.home.context, demo.window.viewer
    viewer.window.resize(*_WINDOW)
    for step in home.steps:
        step.set_open(step.panel is home.perturb_panel)
    x, y = context.opened.section.coords_um.mean(axis=0) + np.array(_EDITED_AT)
    corners = [(x + i * _EDITED_UM, y + j * _EDITED_UM)
               for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))]  # fmt: skip
    label = context.opened.label
    edited = Shape(role="edited", section=label, kind="ellipse", corners=tuple(corners))
    context.do(SetShapes(role="edited", shapes=(edited,)))
    context.do(SetShapes(role="unseen", shapes=()))
    context.do(SetEdits(edits=EditChoices(genes=(Edit("Gad1", "multiply", 3.0),))))
    home.perturb_panel.start()
    demo.window.until(lambda: context.state.shown_run("perturbation") is not None)
    demo.window.until(lambda: not context.jobs.busy)
    looking = camera(viewer)
    looking.center, looking.zoom = (y, x), _ZOOM
    demo.settle()
    demo.settle()
    pixels = viewer.screenshot(canvas_only=False, flash=False)
    picture = Image.fromarray(pixels).convert("RGB")  # a palette would lose half of the legend
    picture.save(out / "perturb.webp", quality=_QUALITY, method=6)


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--only", nargs="*", choices=("filling", "niches", "perturb"), default=())
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    pictures(given.out, tuple(given.only))


if __name__ == "__main__":
    main()
