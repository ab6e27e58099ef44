from __future__ import annotations

import math

import numpy as np
import pytest

from napari_gest.errors import InputError
from napari_gest.limits import check_choice, check_number, shown


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -1, 1.5, "text", "1", None, True, [], 1j, 10**400, np.array([0])]
)
def test_what_is_no_number_within_its_limits_is_refused_by_name(value):
    with pytest.raises(InputError, match="share is ") as error:
        check_number("share", value, 0, 1)
    assert error.value.remedy == "Give a number from 0 to 1."


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.25), np.int64(1)])
def test_numbers_within_their_limits_pass(value):
    check_number("share", value, 0, 1)


@pytest.mark.parametrize("value", [2.0, 0, 2**53 + 1, np.float64(3), "3"])
def test_counts_are_whole(value):
    with pytest.raises(InputError):
        check_number("cells", value, 1, whole=True)
    check_number("cells", np.int32(3), 1, whole=True)


def test_a_limit_may_itself_be_forbidden():
    check_number("temperature", 0.1, 0, above=True)
    with pytest.raises(InputError, match=r"temperature is 0\. Give a number above 0\."):
        check_number("temperature", 0, 0, above=True)


@pytest.mark.parametrize("value", ["third", None, 1, ["first"]])
def test_a_choice_is_one_of_the_known(value):
    check_choice("mode", "first", ("first", "second"))
    with pytest.raises(InputError, match="Choose first or second"):
        check_choice("mode", value, ("first", "second"))


def test_long_values_are_shown_short():
    assert len(shown("x" * 10_000)) == 60
    assert shown("two\nlines") == "two lines"
    assert shown(10**10_000) == "a number of very many digits"
