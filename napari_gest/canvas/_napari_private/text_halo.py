"""Texts of the plugin's lines with a halo in the colour of the canvas, so that they can be read
on cells of any colour.

napari draws texts from pictures of letters whose pixels say how far they are from the edge of the
letter. The halo is what lies a little outside of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Shapes

from napari_gest.canvas._napari_private.attributes import scene_canvas, text_visual

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
