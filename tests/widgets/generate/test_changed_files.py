"""What a run makes of tissue that was changed on disk meanwhile is no result."""

from __future__ import annotations

import pytest
from drawing import draw_region

from napari_gest.app.opened import Opened
from napari_gest.canvas import layers
from napari_gest.canvas.shapes import role_of
from napari_gest.errors import InputError

pytestmark = pytest.mark.gui


@pytest.mark.parametrize("stopped", [False, True])
def test_a_run_on_a_changed_file_is_dropped(opened_home, errors, until, monkeypatch, stopped):
    context = opened_home.context
    draw_region(opened_home)
    opened_home.run_panel.start()

    def changed(self: Opened) -> None:
        raise InputError("The file was changed.", "Open it again.")

    monkeypatch.setattr(Opened, "require_same_file", changed)
    if stopped:
        until(lambda: list(context.scene.generated()))
        opened_home.job_bar.stop()
    else:
        until(lambda: bool(errors))
        assert [str(errors.pop())] == [str(InputError("The file was changed.", "Open it again."))]
    until(lambda: not context.jobs.busy)
    assert context.state.runs == ()
    assert not [one for one in context.scene.viewer.layers if role_of(one) == layers.GENERATED]
    assert (context.scene.active_layer.face_color[:, 3] == 1).all()
