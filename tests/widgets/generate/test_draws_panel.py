"""Again and Play, as a user presses them."""

from __future__ import annotations

import numpy as np
import pytest
from drawing import draw_region
from mouse import press

from napari_gest import keys
from napari_gest.app.actions import AddRun, ChangeView, Choose
from napari_gest.app.runs.base import RunEntry
from napari_gest.tasks.generation.generation import Generation

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("short_field")]


@pytest.fixture
def drawn_home(opened_home, until):
    """A dock in which typical cells were generated, and one more draw is ready."""
    home = opened_home
    draw_region(home)
    home.run_panel.start()
    result = home.run_panel.result
    until(lambda: result.entry is not None and not home.context.jobs.busy)
    until(lambda: result.draws.redraws.ready(result.entry))
    return home


def n_lines(home) -> int:
    return home.context.journal._n_lines


def test_again_shows_another_draw_with_nothing_fitted_anew(
    drawn_home, until, qtbot, monkeypatch, viewer
):
    home, result = drawn_home, drawn_home.run_panel.result
    fitted = []
    monkeypatch.setattr(Generation, "fit_field", lambda self: fitted.append(self))
    before = result.entry
    layer = home.context.scene.generated_layer(before.id)
    colors = layer.face_color.copy()
    press(qtbot, result.draws.again_button)
    now = result.entry
    assert (now.outcome.number, now.outcome.n_draws) == (2, 2)
    assert home.context.scene.generated_layer(before.id) is layer
    assert not np.allclose(layer.face_color, colors)
    assert "draw 2 of 2" in layer.name
    # The next is prepared, and one that is not ready yet is shown as soon as it is.
    press(qtbot, result.draws.again_button)
    assert not result.draws.again_button.isEnabled() or result.entry.outcome.number == 3
    until(lambda: result.entry.outcome.number == 3)
    assert result.draws.again_button.isEnabled()
    assert not fitted
    home.context.undo()
    assert result.entry.outcome.number == 2
    assert result.draws.number.value() == 2
    result.draws.number.setValue(1)
    np.testing.assert_allclose(layer.face_color, colors)


def test_what_is_kept_is_the_draw_that_is_shown(drawn_home, qtbot):
    home, result = drawn_home, drawn_home.run_panel.result
    press(qtbot, result.draws.again_button)
    press(qtbot, result.keep_button)
    adata = home.context.opened.adata
    assert adata.uns[keys.UNS]["draw"] == 2
    assert not result.keep_button.isEnabled()
    result.draws.number.setValue(1)
    assert result.keep_button.isEnabled()
    assert "Draw 2 is kept" in result.agreement.text()


def test_play_goes_round_and_leaves_one_line(drawn_home, until, qtbot):
    home, result = drawn_home, drawn_home.run_panel.result
    context, draws = home.context, drawn_home.run_panel.result.draws
    layer = context.scene.generated_layer(result.entry.id)
    plain, lines = layer.face_color.copy(), n_lines(home)
    told = []
    context.session.changed.connect(told.append)
    press(qtbot, draws.play_button)
    assert draws.play_button.text() == "Stop"
    until(lambda: draws._at == 2)
    assert not np.allclose(layer.face_color, plain)
    assert draws.number.value() == 2
    until(lambda: draws._at == 3)  # which comes while the others are played
    assert draws.number.value() == 3
    assert (told, n_lines(home)) == ([], lines)
    seen = layer.face_color.copy()
    press(qtbot, draws.play_button)
    assert draws.play_button.text() == "Play"
    assert result.entry.outcome.number == draws._at == 3
    assert (told, n_lines(home)) == ([frozenset({"runs"})], lines + 1)
    np.testing.assert_allclose(layer.face_color, seen)


def test_play_ends_with_a_change_of_view_or_a_run(drawn_home, until, qtbot):
    home, draws = drawn_home, drawn_home.run_panel.result.draws
    for change in (
        lambda: home.context.do(ChangeView.of(view="expected")),
        home.run_panel.start,
    ):
        home.context.do(ChangeView.of(view="generated"))
        press(qtbot, draws.play_button)
        assert draws.playing
        until(lambda: draws._at == 2)
        change()
        assert not draws.playing
        assert not draws._timer.isActive()
    until(lambda: not home.context.jobs.busy)


def test_a_run_whose_parts_are_gone_is_fitted_anew(drawn_home, until, qtbot):
    """As after a session is restored."""
    result = drawn_home.run_panel.result
    second = result.draws.redraws.ready(result.entry)[0]
    result.draws.redraws.forget()
    press(qtbot, result.draws.again_button)
    assert "learned once more" in result.draws.waiting.text()
    assert result.draws.waiting.isVisible()
    until(lambda: result.entry.outcome.number == 2)
    np.testing.assert_array_equal(result.entry.outcome.further[0].donor, second.donor)
    assert not result.draws.waiting.isVisible()


@pytest.mark.parametrize("mode", ["weighted", "pick"])
def test_means_have_no_draws_and_say_so(opened_home, until, mode):
    home = opened_home
    draw_region(home)
    home.context.do(Choose.of(mode=mode))
    home.run_panel.start()
    result = home.run_panel.result
    until(lambda: result.entry is not None and not home.context.jobs.busy)
    assert home.context.state.view.view == "expected"
    assert result.views.option("expected").isChecked()
    for one in (result.views.option("generated"), result.draws.again_button,
                result.draws.play_button):  # fmt: skip
        assert not one.isEnabled()
        assert "Typical cells and mean" in one.toolTip()
    home.context.do(ChangeView.of(view="generated"))
    assert result.views.option("expected").isChecked()  # which is what is seen


def test_another_run_lets_go_of_the_parts(drawn_home, until):
    home, draws = drawn_home, drawn_home.run_panel.result.draws
    entry = draws.entry
    assert draws.redraws.holds(entry)
    other = RunEntry("run-9", "another", entry.run, entry.outcome)
    home.context.do(AddRun.of(other))
    assert not draws.redraws.holds(entry)
    assert draws.redraws._generation is None
