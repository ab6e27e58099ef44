"""The figure of ``benchmarks scale``: seconds and memory by cells, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.scale.atlas import STAGES, Cost
from napari_gest.files import PNG, make_folder, write_bytes
from napari_gest.palette import palette

_WIDE, _HIGH, _EDGE, _KEY = 420, 320, 60, 190
_INK, _PALE = "#222222", "#dddddd"


def draw(costs: Sequence[Cost], path: Path) -> None:
    """Write a PNG with two charts: seconds of the processor, and peak memory."""
    picture = Image.new("RGB", (2 * (_WIDE + _EDGE) + _KEY, _HIGH + 2 * _EDGE), "white")
    pen = ImageDraw.Draw(picture)
    made = [cost for cost in costs if not cost.error]
    charts = (("seconds of processor", "cpu_s"), ("peak memory, MB", "peak_mb"))
    for place, (title, field) in enumerate(charts):
        points = {
            stage: [(c.cells, max(getattr(c, field), 1e-2)) for c in made if c.stage == stage]
            for stage in STAGES
        }
        _chart(pen, _EDGE + place * (_WIDE + _EDGE), title, points)
    for i, (stage, color) in enumerate(zip(STAGES, palette(len(STAGES)), strict=True)):
        x, y = 2 * (_WIDE + _EDGE) + 10, _EDGE + 22 * i
        pen.line([(x, y + 6), (x + 20, y + 6)], fill=color, width=3)
        pen.text((x + 28, y), stage, fill=_INK, font=_font())
    packed = BytesIO()
    picture.save(packed, "PNG", optimize=True)
    make_folder(path.parent)
    write_bytes(path, packed.getvalue(), PNG, overwrite=True)


def _chart(
    pen: ImageDraw.ImageDraw, left: int, title: str, points: dict[str, list[tuple[int, float]]]
) -> None:
    values = np.log10([value for line in points.values() for value in line] or [(1, 1)])
    low, high = np.floor(values.min(0)), np.ceil(values.max(0) + 1e-9)
    high = np.maximum(high, low + 1)

    def at(x: float, y: float) -> tuple[float, float]:
        across, up = (np.array([x, y]) - low) / (high - low)
        return left + 40 + across * (_WIDE - 40), _EDGE + (1 - up) * _HIGH

    for axis in (0, 1):
        for power in np.arange(low[axis], high[axis] + 1):
            ends = [(power, low[1]), (power, high[1])] if axis == 0 else [(low[0], power)]
            ends += [] if axis == 0 else [(high[0], power)]
            (x0, y0), (x1, y1) = (at(*end) for end in ends)
            pen.line([(x0, y0), (x1, y1)], fill=_PALE)
            label = f"{10.0**power:,.0f}" if power >= 0 else f"{10.0**power:g}"
            spot = (x0 - 20, _EDGE + _HIGH + 6) if axis == 0 else (left - 12, y0 - 6)
            pen.text(spot, label, fill=_INK, font=_font())
    pen.text((left + 40, _EDGE - 24), title, fill=_INK, font=_font())
    pen.text((left + _WIDE // 2, _EDGE + _HIGH + 26), "cells", fill=_INK, font=_font())
    for line, color in zip(points.values(), palette(len(points)), strict=True):
        places = [at(*np.log10(point)) for point in sorted(line)]
        if len(places) > 1:
            pen.line(places, fill=color, width=3)
        for x, y in places:
            pen.ellipse([x - 4, y - 4, x + 4, y + 4], fill=color)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(12)
