"""The step "Perturb" with tissue open, and tests against chance that are over soon."""

from __future__ import annotations

import pytest
from perturbing import outline


@pytest.fixture
def panel(opened_home):
    """The step, with tissue open, a region outlined, and one gene edited."""
    outline(opened_home)
    made = opened_home.perturb_panel
    made.edits.add(opened_home.context.opened.section.genes[0])
    return made


@pytest.fixture
def few_draws(monkeypatch):
    """A test against chance that is over soon."""
    from napari_gest.tasks.perturbation import significance

    whole = significance.SignificanceRequest
    monkeypatch.setattr(
        significance,
        "SignificanceRequest",
        lambda perturbed, **given: whole(perturbed, n_permutations=20, **given),
    )
