"""Results as plain files: JSON for what is small, ``.npz`` for arrays. No pickle.

What is shared is stored once: one object that is met twice is one object again. Sections and
models are not stored but named, as are results of other runs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel

from napari_gest.app.opened import Opened
from napari_gest.app.runs.base import RunEntry
from napari_gest.app.saved.checking import check, check_entry
from napari_gest.app.saved.parts import ARRAYS, REMEDY, TREE, MissingError
from napari_gest.app.saved.types import FORMER_FIELDS, LEFT_OUT, NAMED_TYPES, TYPES
from napari_gest.errors import CheckpointError
from napari_gest.tissue.section import Section
from napari_gest.tissue.text import load_json

_DEEPEST = 60
_FORMAT = 1


class Packer:
    """Turns a result into JSON and arrays.

    Parameters
    ----------
    names
        Names of objects that are not stored, by their id: sections, results of other runs.

    Attributes
    ----------
    arrays
        Arrays of what was packed, by name.
    used
        Names of objects that were met.
    """

    def __init__(self, names: Mapping[int, dict[str, Any]]) -> None:
        self.names = names
        self.arrays: dict[str, np.ndarray] = {}
        self.used: list[dict[str, Any]] = []
        self._met: dict[int, int] = {}
        self._held: list[Any] = []  # so that no id is used twice

    def pack(self, value: Any) -> Any:
        """Return JSON for a value; arrays go to ``arrays``.

        Raises
        ------
        TypeError
            If it is of a type that results do not have.
        """
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, int | np.integer):
            return int(value)
        if isinstance(value, float | np.floating):
            number = float(value)
            return number if math.isfinite(number) else {"number": repr(number)}
        if isinstance(value, np.bool_):
            return bool(value)
        if id(value) in self.names:
            self.used.append(self.names[id(value)])
            return dict(self.names[id(value)])
        if id(value) in self._met:
            return {"again": self._met[id(value)]}
        return self._met_first(value, self._content(value))

    def write(self, folder: Path, value: Any) -> None:
        """Write a value into a folder that is there and empty."""
        tree = {"format": _FORMAT, "value": self.pack(value)}
        (folder / TREE).write_text(json.dumps(tree), encoding="utf-8")
        with (folder / ARRAYS).open("wb") as file:
            np.savez(file, **self.arrays)  # type: ignore[arg-type]

    def _met_first(self, value: Any, content: dict[str, Any]) -> dict[str, Any]:
        self._held.append(value)
        number = self._met[id(value)] = len(self._met)
        return {"id": number, **content}

    def _content(self, value: Any) -> dict[str, Any]:
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, Path):
            return {"path": str(value)}
        if isinstance(value, pd.DataFrame):
            columns = [[str(c), self.pack(value[c].to_numpy())] for c in value.columns]
            names = [value.index.name, value.columns.name]
            index = self.pack(value.index.to_numpy())
            return {"table": columns, "index": index, "names": list(map(_text, names))}
        if isinstance(value, tuple | list):
            kind = "tuple" if isinstance(value, tuple) else "list"
            return {kind: [self.pack(one) for one in value]}
        if isinstance(value, Mapping):
            items = [[self.pack(k), self.pack(v)] for k, v in value.items()]
            return {"map": items, "frozen": isinstance(value, MappingProxyType)}
        name = type(value).__name__
        if name in NAMED_TYPES:
            return {"type": name, **NAMED_TYPES[name].pack(value, self.pack)}
        if TYPES.get(name) is not type(value):
            raise TypeError(f"results do not hold a {type(value).__name__}")
        if isinstance(value, BaseModel):
            return {"type": name, "json": value.model_dump(mode="json")}
        assert is_dataclass(value)
        held = [[k, self.pack(getattr(value, k))] for k in fields_of(type(value))]
        return {"type": name, "fields": held}

    def _array(self, value: np.ndarray) -> dict[str, Any]:
        if value.dtype.kind in "OT":  # text, with nothing where there is none
            texts = [None if _missing(x) else str(x) for x in value.ravel()]
            return {"strings": texts, "shape": list(value.shape)}
        key = f"a{len(self.arrays)}"
        self.arrays[key] = value
        return {"array": key}


def fields_of(kind: type) -> list[str]:
    """Return the fields of a type that are stored."""
    assert is_dataclass(kind)
    left_out = LEFT_OUT.get(kind.__name__, ())
    return [f.name for f in fields(kind) if f.init and f.name[0] != "_" and f.name not in left_out]


def _needed(kind: type) -> set[str]:
    """Return the fields that are stored and have no default; sessions of before lack others."""
    assert is_dataclass(kind)
    plain = {f.name for f in fields(kind) if f.default is f.default_factory is MISSING}
    return plain & set(fields_of(kind))


class Unpacker:
    """Makes results of what a ``Packer`` wrote.

    Parameters
    ----------
    folder
        Where it was written.
    find
        Returns what a name stands for: a section, or the result of another run.
    """

    def __init__(self, folder: Path, find: Callable[[dict[str, Any]], Any]) -> None:
        self.folder, self.find = folder, find
        self._met: dict[int, Any] = {}
        self._arrays: Any = None

    def read(self) -> Any:
        """Return the value.

        Raises
        ------
        CheckpointError, InputError
            If the files are missing or damaged.
        MissingError
            If something that it refers to is not there.
        """
        tree = load_json(self.folder / TREE, "a saved result", REMEDY)
        try:
            if not isinstance(tree, dict) or tree.get("format") != _FORMAT:
                raise ValueError("unknown format")
            if not (self.folder / ARRAYS).is_file():  # reading a pipe waits for who writes to it
                raise ValueError("its arrays are not there")
            with np.load(self.folder / ARRAYS, allow_pickle=False) as arrays:
                self._arrays = arrays
                return self._value(tree["value"], 0)
        except (CheckpointError, MissingError):
            raise
        except Exception as error:
            raise self._damaged(error) from error

    def read_entry(self, run_id: str) -> RunEntry:
        """Return the run of an id with its result, once its parts fit each other.

        Raises
        ------
        CheckpointError, InputError, MissingError
            As ``read``; also where it is something else.
        """
        entry = self.read()
        try:
            check_entry(entry, run_id)
        except Exception as error:
            raise self._damaged(error) from error
        checked: RunEntry = entry
        return checked

    def _damaged(self, error: Exception) -> CheckpointError:
        what = str(error) if str(error) else type(error).__name__
        return CheckpointError(f"The saved result '{self.folder.name}' is damaged: {what}.", REMEDY)

    def _value(self, packed: Any, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        if packed is None or isinstance(packed, bool | int | float | str):
            return packed
        if not isinstance(packed, dict):
            raise ValueError("a list that is not said to be one")
        if "again" in packed:
            return self._met[packed["again"]]
        if "number" in packed:
            return float(packed["number"])
        if "id" not in packed:
            return self.find(packed)
        value = self._content(packed, depth)
        self._met[packed["id"]] = value
        return value

    def _content(self, packed: dict[str, Any], depth: int) -> Any:
        def value(one: Any) -> Any:
            return self._value(one, depth + 1)

        if "array" in packed:
            return self._arrays[packed["array"]]
        if "strings" in packed:
            flat = np.array(packed["strings"], object)
            return flat.reshape(packed["shape"])
        if "path" in packed:
            return Path(packed["path"])
        if "table" in packed:
            columns = {name: value(one) for name, one in packed["table"]}
            index, labels = packed["names"]
            table = pd.DataFrame(columns, index=pd.Index(value(packed["index"]), name=index))
            return table.rename_axis(columns=labels)
        if "tuple" in packed:
            return tuple(value(one) for one in packed["tuple"])
        if "list" in packed:
            return [value(one) for one in packed["list"]]
        if "map" in packed:
            held = {value(k): value(v) for k, v in packed["map"]}
            return MappingProxyType(held) if packed.get("frozen") else held
        name = packed["type"]
        if name in NAMED_TYPES:
            return NAMED_TYPES[name].unpack(packed, value)
        kind = TYPES[name]
        if "json" in packed:
            assert issubclass(kind, BaseModel)
            return kind.model_validate(packed["json"])
        renamed = FORMER_FIELDS.get(name, {})
        held = {renamed.get(k, k): value(one) for k, one in packed["fields"]}
        if not _needed(kind) <= set(held) <= set(fields_of(kind)):
            raise ValueError(f"{name} has other fields")
        made = kind(**held)
        check(made)
        return made


def find_in(
    sections: Mapping[str, Opened], results: Mapping[str, Any]
) -> Callable[[dict[str, Any]], Any]:
    """Return what finds sections by label and results by the id of their run.

    Raises
    ------
    MissingError
        By what is returned, if there is no such section or result.
    """

    def find(name: dict[str, Any]) -> Section | Opened | Any:
        ((what, one),) = name.items()
        there = {"section": sections, "opened": sections, "result": results}[what]
        if one not in there:
            raise MissingError(f"{what} {one}")
        return there[one].section if what == "section" else there[one]

    return find


def _text(name: Any) -> str | None:
    return None if name is None else str(name)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
