"""The same surroundings twice, and nothing but the edit between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_gest.model.gest import GeST
from napari_gest.tasks.generation.generate import generate
from napari_gest.tasks.perturbation.counterfactual import Edited
from napari_gest.tasks.perturbation.perturb import PerturbRequest
from napari_gest.tasks.progress import finish
from napari_gest.tissue.section import Section

READOUTS = ("response", "generation")


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("entry", ["token", "continuous"])
def test_no_edit_has_exactly_no_effect(request_: PerturbRequest, readout: str, entry: str) -> None:
    made = finish(replace(request_, readout=readout, input=entry).run())
    unchanged = made.request.edited(strength=0.0)
    assert np.array_equal(unchanged.before, unchanged.after)
    again = finish(made.predictor.expression(unchanged, ""))
    assert np.array_equal(again, made.control)
    nothing = finish(made.predictor.expression(Edited.nothing(len(made.genes)), ""))
    assert np.array_equal(nothing, made.control)
    assert not np.array_equal(made.perturbed, made.control)


def test_control_is_what_generate_makes(
    section: Section, request_: PerturbRequest, responding: GeST
) -> None:
    made = finish(replace(request_, readout="generation", seed=4).run())
    unseen = np.zeros(section.n_obs, bool)
    unseen[made.index] = True
    alone = generate(section, responding, unseen, seed=4, residuals=False, field=0.0)
    assert np.array_equal(made.control, alone.expression)
