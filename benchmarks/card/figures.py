"""The figures of the card: error of genes by rank, and what a part is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.card.summary import Difference
from napari_gest.files import PNG, make_folder, write_bytes
from napari_gest.palette import palette

_WIDE, _HIGH, _EDGE, _ROW = 380, 240, 50, 22
_INK, _PALE = "#222222", "#dddddd"


def gene_figure(panels: Mapping[str, Mapping[str, np.ndarray]], path: Path) -> None:
    """Write Figure 3: error of each gene by rank, one panel for each data set.

    Parameters
    ----------
    panels
        For each title, errors (n,) by method, most spatially variable gene first.
    path
        The PNG.
    """
    methods = list(dict.fromkeys(m for panel in panels.values() for m in panel))
    colors = dict(zip(methods, palette(max(1, len(methods))), strict=False))
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    size = (
        columns * (_WIDE + _EDGE) + _EDGE,
        rows * (_HIGH + 2 * _EDGE) + _ROW * len(methods) + 20,
    )
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    for i, (title, errors) in enumerate(panels.items()):
        left = _EDGE + (i % columns) * (_WIDE + _EDGE)
        top = _EDGE + (i // columns) * (_HIGH + 2 * _EDGE)
        _scatter(pen, left, top, title, errors, colors)
    for i, method in enumerate(methods):
        y = size[1] - _ROW * (len(methods) - i) - 10
        pen.ellipse([_EDGE, y + 3, _EDGE + 9, y + 12], fill=colors[method], outline=_INK)
        pen.text((_EDGE + 18, y), method, fill=_INK, font=_font())
    _write(picture, path)


def _scatter(
    pen: ImageDraw.ImageDraw,
    left: int,
    top: int,
    title: str,
    errors: Mapping[str, np.ndarray],
    colors: Mapping[str, str],
) -> None:
    every = np.concatenate([e[np.isfinite(e)] for e in errors.values()])
    low, high = float(np.floor(every.min() * 10) / 10), float(np.ceil(every.max() * 10) / 10)
    n = max(len(e) for e in errors.values())

    def at(rank: float, value: float) -> tuple[float, float]:
        return left + rank / n * _WIDE, top + (high - value) / max(high - low, 0.1) * _HIGH

    for value in np.arange(low, high + 0.05, 0.2):
        pen.line([at(0, value), at(n, value)], fill=_PALE)
        pen.text((left - 28, at(0, value)[1] - 7), f"{value:.1f}", fill=_INK, font=_font())
    pen.text((left, top - 22), title, fill=_INK, font=_font())
    pen.text((left, top + _HIGH + 6), "rank 1", fill=_INK, font=_font())
    pen.text((left + _WIDE - 30, top + _HIGH + 6), str(n), fill=_INK, font=_font())
    for method, values in errors.items():
        for rank, value in enumerate(values, 1):
            if np.isfinite(value):
                x, y = at(rank, value)
                pen.ellipse([x - 2, y - 2, x + 2, y + 2], fill=colors[method])
        kept = np.isfinite(values)
        line = np.polyfit(np.arange(1, len(values) + 1)[kept], values[kept], 1)
        ends = [at(rank, float(np.polyval(line, rank))) for rank in (1, len(values))]
        pen.line(ends, fill=colors[method], width=3)


def difference_figure(found: Sequence[tuple[str, Difference]], title: str, path: Path) -> None:
    """Write a figure of differences with their intervals; right of the line is worse."""
    found = [(name, d) for name, d in found if d.n]
    wide, names = 420, 330
    picture = Image.new("RGB", (names + wide + 40, _ROW * (len(found) + 3)), "white")
    pen = ImageDraw.Draw(picture)
    pen.text((10, 6), title, fill=_INK, font=_font())
    # Every mean is shown; an interval of few seeds may be wider than the figure.
    reach = 1.1 * max((abs(d.mean) for _, d in found), default=1.0) or 1.0

    def at(value: float) -> float:
        return names + wide / 2 + float(np.clip(value / reach, -1, 1)) * wide / 2

    pen.line([(at(0), _ROW), (at(0), _ROW * (len(found) + 2))], fill=_INK)
    for i, (name, d) in enumerate(found):
        y = _ROW * (i + 1.7)
        pen.text((10, y - 7), name, fill=_INK, font=_font())
        if d.n > 1:
            pen.line([(at(d.low), y), (at(d.high), y)], fill="#0072B2", width=3)
        pen.ellipse([at(d.mean) - 4, y - 4, at(d.mean) + 4, y + 4], fill="#D55E00")
    for value in (-reach, 0.0, reach):
        text = f"{value:+.3f}" if value else "0"
        x = min(at(value) - 14, names + wide - 20)
        pen.text((x, _ROW * (len(found) + 2)), text, fill=_INK, font=_font())
    _write(picture, path)


def _write(picture: Image.Image, path: Path) -> None:
    packed = BytesIO()
    picture.save(packed, "PNG", optimize=True)
    make_folder(path.parent)
    write_bytes(path, packed.getvalue(), PNG, overwrite=True)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(12)
