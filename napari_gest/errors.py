"""Errors a user can act on: each names its cause and its remedy."""

from __future__ import annotations

# Names in files can be of any length; nobody reads more of a message.
_LONGEST = 1000


class GestError(Exception):
    """Base of all errors meant for the user.

    Parameters
    ----------
    cause
        The cause, in one sentence.
    remedy
        The remedy, in one sentence.
    """

    def __init__(self, cause: str, remedy: str) -> None:
        cause, remedy = _readable(cause), _readable(remedy)
        super().__init__(f"{cause} {remedy}")
        self.cause = cause
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[GestError], tuple[str, ...]]:
        """Travel from a process that works on a part to the one that asked for it."""
        return type(self), (self.cause, self.remedy)


def _readable(text: str) -> str:
    """Return text for any terminal; the middle of a very long text is left out."""
    text = text.encode("utf-8", "backslashreplace").decode()
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]} [...] {text[-half:]}"


class InputError(GestError, ValueError):
    """Data or settings that cannot be used."""


class ReadingError(InputError):
    """A file that may open if it is read in another way.

    Parameters
    ----------
    cause, remedy
        As of every error.
    option
        The parameter of ``Section.from_anndata`` to change.
    """

    def __init__(self, cause: str, remedy: str, option: str) -> None:
        super().__init__(cause, remedy)
        self.option = option

    def __reduce__(self) -> tuple[type[GestError], tuple[str, ...]]:
        """Travel with the option, too."""
        return type(self), (self.cause, self.remedy, self.option)


class CheckpointError(GestError, OSError):
    """A model folder or an output file that cannot be read or written."""


class ProcessError(GestError, RuntimeError):
    """One of several processes that work together failed or ended."""


class ResultError(GestError, ArithmeticError):
    """A result with numbers that are not finite; nothing of it is written."""
