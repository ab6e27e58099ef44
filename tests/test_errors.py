from __future__ import annotations

from napari_gest.errors import InputError


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
