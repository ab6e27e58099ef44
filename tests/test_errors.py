from __future__ import annotations

import pickle

import pytest

from napari_gest.errors import InputError, ReadingError


def test_a_message_is_its_cause_and_its_remedy():
    error = InputError("It is odd.", "Give another.")
    assert str(error) == "It is odd. Give another."
    assert (error.cause, error.remedy) == ("It is odd.", "Give another.")


def test_a_name_of_any_length_leaves_a_message_that_can_be_read():
    error = InputError(f"There is no gene '{'x' * 100_000}' in the panel.", "Give another.")
    assert len(str(error)) < 1100
    assert error.cause.startswith("There is no gene 'xxx")
    assert error.cause.endswith("in the panel.")


def test_a_name_that_is_no_text_can_be_printed():
    error = InputError("'\udcff' is odd.", "Give another.")
    assert str(error).encode() == b"'\\udcff' is odd. Give another."


@pytest.mark.parametrize(
    "error", [InputError("It is bad.", "Do better."), ReadingError("It is.", "Do.", "scale")]
)
def test_errors_travel_between_processes(error: InputError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert vars(again) == vars(error)
    assert str(again) == str(error)
