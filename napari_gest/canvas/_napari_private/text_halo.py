"""Texts of the plugin's lines with a halo in the colour of the canvas, so that they can be read
on cells of any colour.

napari draws texts from pictures of letters whose pixels say how far they are from the edge of the
letter. The halo is what lies a little outside of it. A letter's picture takes 10 ms to make when it
is first needed, so a few have a turn of their own; the text appears when its own are there.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes

from napari_gest.canvas._napari_private.attributes import scene_canvas, text_visual
from napari_gest.canvas.event_loop import call_later

if TYPE_CHECKING:
    from napari import Viewer

_LETTERS = "generated: draw 0123456789 to be expected uncertainty difference"
_IN_A_TURN = 3
_GO_OUT = "if (alpha <= 0) discard;"
_COLOR = "gl_FragColor = vec4(v_color.rgb, v_color.a * alpha);"
_MAIN = "void main(void) {"
# Inside a letter the distance is above a half, at the rim of its picture it is zero.
_HALO = """
        float halo = smoothstep(0.0, 0.1, distance);
        if (halo <= 0.0) discard;
        gl_FragColor = vec4(mix(u_halo, v_color.rgb, alpha), v_color.a * max(alpha, halo));
"""


class TextHalos:
    """Gives the texts of the layers it is told of a halo."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self._texts: dict[Shapes, Any] = {}
        viewer.events.theme.connect(self._match)

    def follow(self, layer: Shapes) -> None:
        """Draw the texts of a layer with a halo; as napari does where it draws them otherwise."""
        found = text_visual(self.viewer, layer, (_MAIN, _GO_OUT, _COLOR))
        if found is None:
            return
        text, code = found
        code = code.replace(_MAIN, f"uniform vec3 u_halo;\n    {_MAIN}")
        text.shared_program.frag = code.replace(_GO_OUT, "").replace(_COLOR, _HALO)
        self._texts[layer] = text
        self._match()
        first = set("".join(map(str, np.ravel(layer.text.values)))) - set(text._font._glyphs)
        later = set(_LETTERS) - set(text._font._glyphs) - first
        if first:
            text.visible = False
            self._load_all(layer, first)
            call_later(partial(self._show, layer))
        self._load_all(layer, later)

    def forget(self, layer: Any) -> None:
        """Follow a layer no more, if it was followed."""
        self._texts.pop(layer, None)

    @property
    def followed(self) -> list[Shapes]:
        """The layers whose texts have a halo."""
        return list(self._texts)

    def detach(self) -> None:
        """Follow nothing any more; texts that are there keep their halo."""
        self.viewer.events.theme.disconnect(self._match)
        self._texts.clear()

    def _load_all(self, layer: Shapes, letters: set[str]) -> None:
        ordered = sorted(letters)
        for start in range(0, len(ordered), _IN_A_TURN):
            call_later(partial(self._load, layer, ordered[start : start + _IN_A_TURN]))

    def _load(self, layer: Shapes, letters: list[str]) -> None:
        if layer not in self._texts:  # it is gone, perhaps with the window
            return
        text = self._texts[layer]
        with contextlib.suppress(RuntimeError):  # the window was closed meanwhile
            canvas = scene_canvas(self.viewer)
            if canvas is None:
                return
            canvas.set_current()
            before = canvas.context.get_viewport()
            for letter in letters:
                _ = text._font[letter]
            if before is not None:  # to draw the picture has changed it
                canvas.context.set_viewport(*before)

    def _show(self, layer: Shapes) -> None:
        if layer in self._texts:
            self._texts[layer].visible = True

    def _match(self, _event: Any = None) -> None:
        canvas = scene_canvas(self.viewer) if self._texts else None
        if canvas is None:
            return
        for text in self._texts.values():
            text.shared_program["u_halo"] = canvas.bgcolor.rgb
            text.update()
