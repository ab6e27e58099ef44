"""An action refreshes the panels that show what it changed, once, and no others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from napari_gest.app.actions import (
    Action,
    Activate,
    ChangeView,
    Choose,
    CloseSections,
    OpenSections,
    SetEdits,
    SetShapes,
    SetStrokes,
)
from napari_gest.app.opened import open_sections
from napari_gest.app.regions import Shape, Stroke
from napari_gest.app.state import EditChoices
from napari_gest.widgets.common.controls import Panel

pytestmark = pytest.mark.gui

SQUARE = ((0.0, 0.0), (0.0, 60.0), (60.0, 60.0), (60.0, 0.0))


@pytest.fixture
def refreshed(home) -> Callable[[Callable[[], object]], dict[Panel, int]]:
    """Returns how often each panel of the dock, and each in one of them, was brought up to date."""
    panels = home.findChildren(Panel)
    calls: Counter[Panel] = Counter()
    for panel in panels:

        def counted(panel: Panel = panel, refresh: Callable[[], None] = panel.refresh) -> None:
            calls[panel] += 1
            refresh()

        panel.refresh = counted  # also what is called past follow() is counted

    def count(change: Callable[[], object]) -> dict[Panel, int]:
        calls.clear()
        before = {panel: panel.n_refreshed for panel in home.panels}
        change()
        for panel in home.panels:
            assert calls[panel] == panel.n_refreshed - before[panel], type(panel).__name__
        return {panel: calls[panel] for panel in panels}

    return count


def shapes(*sections: str, role: str = "unseen") -> tuple[Shape, ...]:
    return tuple(
        Shape(role=role, section=s, kind="polygon", corners=SQUARE, name="a") for s in sections
    )


def stroke(section: str) -> Stroke:
    return Stroke(section=section, mode="add", wkt="POLYGON ((0 0, 0 90, 90 90, 0 0))")


ACTIONS: list[Action] = [
    Activate(label="section_2"),
    Choose.of(seed=3),
    Choose.of(mode="sample"),
    ChangeView.of(column="region"),
    ChangeView.of(hidden={"a"}),
    SetEdits(edits=EditChoices(strength=2.0)),
    SetShapes(role="unseen", shapes=shapes("section_1")),
    SetShapes(role="unseen", shapes=shapes("section_1", "section_2")),
    SetShapes(role="named", shapes=shapes("section_2", role="named")),
    SetShapes(role="edited", shapes=shapes("section_1", role="edited")),
    SetStrokes(strokes=(stroke("section_1"),)),
    CloseSections(labels=("section_2",)),
]


def test_an_action_refreshes_what_shows_what_it_changed_once_and_nothing_else(
    home, tissue, refreshed
):
    context, told = home.context, list[frozenset[str]]()
    context.session.changed.connect(told.append)
    opening = OpenSections.of(open_sections(tissue), context.state, context.registry)
    for action in [opening, *ACTIONS]:
        for change in (lambda action=action: context.do(action), context.undo, context.redo):
            told.clear()
            counts = refreshed(change)
            if not told:  # what cannot be undone
                assert not any(counts.values())
                continue
            (changed,) = told
            for panel in home.panels:
                expected = int(bool(changed & panel.inputs))
                assert counts[panel] == expected, (type(panel).__name__, action, changed)
            assert max(counts.values()) == 1


def test_drawing_by_hand_is_one_action(opened_home, refreshed):
    scene = opened_home.context.scene
    region = scene.draw("pan_zoom")
    centre = np.asarray(scene.active_layer.extent.world).mean(axis=0)
    square = centre + 40 * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    for change in (
        lambda: region.add([square], shape_type="polygon"),
        lambda: setattr(region, "data", [square + 5]),
        lambda: opened_home.context.undo(),
        lambda: scene.viewer.layers.remove(region),
    ):
        counts = refreshed(change)
        for panel in opened_home.panels:
            assert counts[panel] == int("shapes" in panel.inputs), type(panel).__name__


def test_opening_a_file_refreshes_no_panel_more_often_than_it_must(
    home, tissue_file, refreshed, until
):
    """It is two jobs, to read and to check, and one action."""
    context, told = home.context, list[frozenset[str]]()
    context.session.changed.connect(told.append)
    context.jobs.changed.connect(lambda: told.append(frozenset({"jobs"})))

    def open_file() -> None:
        home.open_panel.open([tissue_file])
        until(lambda: context.opened is not None and not context.jobs.busy)

    counts = refreshed(open_file)
    actions = [changed for changed in told if "jobs" not in changed]
    assert len(actions) == 1
    assert 2 <= len(told) - len(actions) <= 4  # each begins and ends
    for panel in home.panels:
        expected = sum(bool(changed & panel.inputs) for changed in told)
        assert counts[panel] == expected, type(panel).__name__
        assert counts[panel] <= (5 if "jobs" in panel.inputs else 1), type(panel).__name__
