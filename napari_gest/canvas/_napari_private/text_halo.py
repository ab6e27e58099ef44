"""Texts of the plugin's lines with a halo in the colour of the canvas, so that they can be read
on cells of any colour.

napari draws texts from pictures of letters whose pixels say how far they are from the edge of the
letter. The halo is what lies a little outside of it. A letter's picture takes 10 ms to make when it
is first needed. Those of captions are made when tissue is opened, each in a turn of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from napari.layers import Shapes

from napari_gest.canvas._napari_private.attributes import letters_of, scene_canvas, text_visual
from napari_gest.canvas.event_loop import call_later

if TYPE_CHECKING:
    from napari import Viewer

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

    def _match(self, _event: Any = None) -> None:
        canvas = scene_canvas(self.viewer) if self._texts else None
        if canvas is None:
            return
        for text in self._texts.values():
            text.shared_program["u_halo"] = canvas.bgcolor.rgb
            text.update()


def prepare_letters(
    viewer: Viewer, letters: Iterable[str], then: Callable[[], None] = lambda: None
) -> None:
    """Have letters made that texts of any layer will need, and take a step when they are there.

    Each is made in memory, by the processor, in a turn after all that waits by then; the canvas
    sends what is new with its next frame. Nothing is drawn for it.
    """
    font = letters_of(viewer)
    missing = sorted(set(letters)) if font is not None else []

    def make_one() -> None:
        if not missing:
            then()
            return
        _ = font[missing.pop()]  # it keeps what was asked for once
        call_later(make_one)

    call_later(make_one)
