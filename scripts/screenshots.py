"""Pictures of every step of the dock, in both themes and at two sizes, for the documentation.

Run it on a screen of 1700 x 1100 at least, a virtual one will do; it writes ``docs/images/dock``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from napari_gest.app.actions import ChangeView, SetEdits, SetShapes
from napari_gest.app.regions import Role, Shape
from napari_gest.app.sample_tissue import SAMPLE_SECTION
from napari_gest.app.state import EditChoices
from napari_gest.canvas._napari_private.attributes import scene_canvas
from napari_gest.tissue.edits import Edit
from napari_gest.widgets.headless_viewer import HeadlessViewer

SIZES = ((1280, 800), (1600, 1000))
THEMES = ("dark", "light")
_SETTLE_S = 1.2
_QUALITY = 50


class Tour:
    """Drives the window through every step and takes a picture of each."""

    def __init__(self, out: Path, tissue: Path) -> None:
        self.out, self.window = out, HeadlessViewer()
        self.home, self.context = self.window.home, self.window.context
        self.home.open_panel.open([tissue])
        self.until(lambda: self.context.opened is not None)
        self.gene = self.context.opened.telling_gene

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds and nothing runs."""
        self.window.until(lambda: condition() and not self.context.jobs.busy)

    def settle(self) -> None:
        """Let the window draw what was changed."""
        end = time.monotonic() + _SETTLE_S
        canvas = scene_canvas(self.window.viewer).native  # at rest while a layer is being made
        self.window.until(lambda: time.monotonic() > end and canvas.updatesEnabled())

    def square(self, role: Role, share: float, off: tuple[float, float], name: str = "") -> Shape:
        """Return a square on the tissue; sizes and offset (x, y) in shares of its width."""
        coords = self.context.opened.section.coords_um
        width = float(np.ptp(coords[:, 0]))
        x, y = coords.mean(axis=0) + np.array(off) * width
        half = share * width / 2
        corners = [(x + a * half, y + b * half) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        return Shape(role=role, section=self.context.opened.label, kind="polygon",
                     corners=corners, name=name)  # fmt: skip

    def prepare(self) -> None:
        """Run everything once, so that each step has something to show."""
        context, home = self.context, self.home
        context.do(SetShapes(role="unseen", shapes=(self.square("unseen", 0.22, (0.2, 0.02)),)))
        context.do(ChangeView.of(gene=self.gene))
        home.run_panel.start()
        self.until(lambda: context.state.shown_run("generation") is not None)
        self.until(lambda: not home.run_panel.check.latest.busy)
        home.run_panel.result.keep()
        context.do(SetShapes(role="edited", shapes=(self.square("edited", 0.18, (-0.2, -0.1)),)))
        genes = context.opened.section.genes
        edits = (Edit(genes[1], "multiply", 4.0), Edit(genes[5], "knockout"))
        context.do(SetEdits(edits=EditChoices(genes=edits)))
        home.perturb_panel.start()
        self.until(lambda: context.state.shown_run("perturbation") is not None)
        self.until(lambda: True)
        home.niches_panel.start()
        self.until(lambda: context.state.shown_run("niches") is not None)
        self.until(lambda: not context.state.shown_run("niches").outcome.is_preview)
        named = (
            self.square("named", 0.15, (0.0, -0.06), "core"),
            self.square("named", 0.15, (0.25, 0.25), "margin"),
        )
        context.do(SetShapes(role="named", shapes=named))
        home.labels_panel.source.setCurrentText("Regions I draw and name")
        home.labels_panel.source.textActivated.emit("Regions I draw and name")
        home.labels_panel.start()
        self.until(lambda: context.state.shown_run("labels") is not None)

    def pictures(self) -> None:
        """Take a picture of each step, unfolded alone, in both themes and sizes."""
        for theme in THEMES:
            self.window.viewer.theme = theme
            for size in SIZES:
                self.window.viewer.window.resize(*size)
                for step in self.home.steps:
                    for other in self.home.steps:
                        other.set_open(other is step)
                    self._show(step)
                    self.settle()
                    self._take(f"{theme}-{size[0]}x{size[1]}-{_slug(step)}.webp")

    def _show(self, step: object) -> None:
        state, slug = self.context.state, _slug(step)
        if slug in ("niches", "labels"):
            what = {"niches": "niches", "labels": "label"}[slug]
            self.context.do(ChangeView.of(of_run=(state.shown_run(slug).id, what)))
        elif slug == "perturb":
            gene = state.shown_run("perturbation").outcome.strongest
            self.context.do(ChangeView.of(gene=gene, view="delta"))
        else:
            self.context.do(ChangeView.of(gene=self.gene, view="generated"))

    def _take(self, name: str) -> None:
        pixels = self.window.viewer.screenshot(canvas_only=False, flash=False)
        picture = Image.fromarray(pixels).convert("RGB")
        self.out.mkdir(parents=True, exist_ok=True)
        picture.save(self.out / name, quality=_QUALITY, method=6)


def _slug(step: object) -> str:
    return step._title.text().lower().replace(" ", "-")  # type: ignore[attr-defined]


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images/dock"))
    parser.add_argument("--tissue", type=Path, default=SAMPLE_SECTION)
    given = parser.parse_args()
    tour = Tour(given.out, given.tissue)
    try:
        tour.prepare()
        tour.pictures()
    finally:
        tour.window.close()


if __name__ == "__main__":
    main()
