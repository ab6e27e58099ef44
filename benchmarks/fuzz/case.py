"""One case: its folder, its mutations, and its outcome."""

from __future__ import annotations

import hashlib
import os
import stat
import traceback
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from napari_gest.errors import GestError

if TYPE_CHECKING:
    from benchmarks.fuzz.base import Base

PASSED = ("accepted", "refused")
FAILED = ("raw", "crash", "hang", "memory", "wrong", "suite")
OUTCOMES = (*PASSED, *FAILED)
Work = Callable[[], None]


class WrongError(Exception):
    """A case was accepted or refused in a wrong way."""


@dataclass
class Room:
    """The folder and the context of a case.

    Attributes
    ----------
    folder
        A fresh folder of the case.
    base
        The valid inputs, and the tiny model that all cases share.
    kind, seed, case
        Kind, seed and number, which determine the case.
    notes
        Mutations of the inputs, for the report.
    names
        A refusal must name at least one of these, or one of the inputs' files.
    own
        Inputs that the work may replace, such as a training state.
    """

    folder: Path
    base: Base
    kind: str
    seed: int
    case: int
    notes: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    own: list[Path] = field(default_factory=list)

    @cached_property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(self.kind.encode()), self.case])

    @property
    def inputs(self) -> Path:
        return self.folder / "in"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    def note(self, what: str) -> None:
        """Record a mutation, in one short line."""
        self.notes.append(what if len(what) < 200 else what[:197] + "...")

    def pick(self, items: Any) -> Any:
        """Return one of several items, of any types."""
        items = list(items)
        return items[int(self.rng.integers(len(items)))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)


@dataclass
class Outcome:
    """The outcome of a case.

    Attributes
    ----------
    kind, seed, case
        Kind, seed and number of the case.
    outcome
        One of ``OUTCOMES``.
    detail
        The message of a refusal, the traceback of a failure.
    notes
        Mutations of the inputs.
    seconds, megabytes
        Wall time and peak resident memory.
    """

    kind: str
    seed: int
    case: int
    outcome: str
    detail: str = ""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    megabytes: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether it was accepted or refused correctly."""
        return self.outcome in PASSED

    @property
    def reproducer(self) -> str:
        return f"python -m benchmarks fuzz --seed {self.seed} --kind {self.kind} --case {self.case}"


def run_case(
    room: Room, prepare: Callable[[Room], Work], prepared: Callable[[], Any] = lambda: None
) -> Outcome:
    """Prepare the inputs, do the work on them and judge the outcome.

    ``prepared`` is called in between.
    """
    for folder in (room.inputs, room.out, room.temporary):
        folder.mkdir(parents=True)
    outcome = Outcome(room.kind, room.seed, room.case, "suite", notes=room.notes)
    try:
        work = prepare(room)
        before = fingerprint(room.inputs)
        prepared()
    except Exception:
        outcome.detail = traceback.format_exc()
        return outcome
    try:
        outcome.outcome, outcome.detail = _judge(room, work)
        _check_traces(room, outcome, before)
    except WrongError as error:
        outcome.outcome, outcome.detail = "wrong", f"{error}\n{outcome.detail}"
    return outcome


def _judge(room: Room, work: Work) -> tuple[str, str]:
    try:
        work()
    except GestError as error:
        _check_message(room, error)
        return "refused", f"{type(error).__name__}: {error}"
    except ValidationError as error:  # of a configuration; it names field and limit
        return "refused", f"{type(error).__name__}: {error}"
    except MemoryError:
        return "memory", traceback.format_exc()
    except WrongError:
        return "wrong", traceback.format_exc()
    except Exception:
        return "raw", traceback.format_exc()
    return "accepted", ""


def _check_message(room: Room, error: GestError) -> None:
    """Raise unless a refusal gives the cause, names the input and has a remedy."""
    if not error.cause.strip() or not error.remedy.strip():
        raise WrongError(f"a refusal without cause or remedy: {error!r}")
    words = {part for path in _walk(room.inputs) for part in (path.name, path.stem)}
    words |= {room.folder.name, *room.names}
    if not any(word and word in str(error) for word in words):
        raise WrongError(f"a refusal that names nothing of the input: {error}")


def _check_traces(room: Room, outcome: Outcome, before: dict[str, str]) -> None:
    """Raise unless inputs are unchanged and no temporary files are left."""
    if outcome.outcome not in PASSED:
        return
    after = fingerprint(room.inputs)
    owned = [str(path.relative_to(room.inputs)) for path in room.own]
    if outcome.outcome == "accepted":

        def kept(of: dict[str, str]) -> dict[str, str]:
            return {k: v for k, v in of.items() if not any(k.startswith(one) for one in owned)}

        before, after = kept(before), kept(after)
    if after != before:
        changed = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
        raise WrongError(f"inputs changed: {', '.join(changed[:5])}")
    left = [*room.temporary.iterdir()]
    if outcome.outcome == "refused":
        left += room.out.iterdir()
    left += [p for p in room.out.iterdir() if p.name.startswith(".")]
    if left:
        raise WrongError(f"files left behind: {', '.join(str(p) for p in left[:5])}")


def fingerprint(folder: Path) -> dict[str, str]:
    """Return kind, mode and a hash of the content of each path in a folder."""
    found = {}
    for path in _walk(folder):
        about = path.lstat()
        if stat.S_ISLNK(about.st_mode):
            content = os.readlink(path)
        elif stat.S_ISREG(about.st_mode):
            content = hashlib.blake2b(_read(path, about.st_mode), digest_size=16).hexdigest()
        else:
            content = ""
        name = os.fsencode(path.relative_to(folder)).decode("utf-8", "backslashreplace")
        found[name] = f"{stat.filemode(about.st_mode)} {content}"
    return found


def _read(path: Path, mode: int) -> bytes:
    if os.access(path, os.R_OK):
        return path.read_bytes()
    path.chmod(0o600)
    content = path.read_bytes()
    path.chmod(stat.S_IMODE(mode))
    return content


def _walk(folder: Path) -> list[Path]:
    """Return everything below a folder; links are not followed."""
    found = []
    for here, folders, files in os.walk(folder):
        found += [Path(here, name) for name in (*folders, *files)]
    return found
