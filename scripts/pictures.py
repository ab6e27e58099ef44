"""README's first pictures: a region that fills and plays, and the tissue coloured by niche.

Run it on a screen of 1700 x 1100 at least, a virtual one will do; it writes ``docs/images``. It
presses the buttons that the demo presses, on the bundled sample, which is simulated.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_gest.app.actions import ChangeView, SetShapes
from napari_gest.app.sample_tissue import SAMPLE_ROI
from napari_gest.tissue.roi import Roi
from napari_gest.widgets.demo import MARGIN, SCALE, Demo

DRAWS = 6
_AROUND_UM = 260.0  # what is seen around the region
_FILLING = 12  # pictures while the region fills
_SHORT_MS, _LONG_MS = 160, 900
_COLORS = 160
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


def pictures(out: Path) -> None:
    """Take all pictures."""
    demo = Demo(out)
    try:
        demo.open()
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
        _niches(demo, out / "niches.png")
    finally:
        demo.window.close()


def _niches(demo: Demo, path: Path) -> None:
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
    Image.fromarray(demo.pixels()).convert("RGB").quantize(_COLORS).save(path, optimize=True)


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    pictures(given.out)


if __name__ == "__main__":
    main()
