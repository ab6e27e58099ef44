"""Reading safetensors files that may be damaged: the header first, then finite numbers only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from napari_gest.model.about import Damaged, shortened

_FLOATS = ("F64", "F32", "F16", "BF16")
_INTEGERS = ("I64", "I32", "I16", "I8", "U8")


class TensorFile:
    """A safetensors file, open for reading.

    Opening reads the header alone. The library checks the header against the size of the file, so
    no tensor takes more memory than the file holds.

    Attributes
    ----------
    shapes
        Shape of each tensor, by name, from the header.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._close = ExitStack()
        if not path.is_file():
            raise Damaged(f"{self.name} is missing")
        try:
            self._file = self._close.enter_context(safe_open(path, framework="pt"))
            parts = {key: self._file.get_slice(key) for key in self._file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            self._close.close()
            raise Damaged(f"{self.name} cannot be read ({shortened(str(error), 120)})") from error
        self.shapes = {key: tuple(part.get_shape()) for key, part in parts.items()}
        self._dtypes = {key: str(part.get_dtype()) for key, part in parts.items()}

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close.close()

    def require_names(self, names: Iterable[str]) -> None:
        """Raise Damaged unless the file holds exactly these tensors."""
        wanted = dict.fromkeys(names)
        for name in wanted:
            if name not in self.shapes:
                raise Damaged(f"{self.name} has no '{name}'")
        for name in self.shapes:
            if name not in wanted:
                raise Damaged(f"{self.name} holds an unknown tensor '{shortened(name)}'")

    def require(
        self, shapes: Mapping[str, tuple[int, ...]], *, integers: tuple[str, ...] = ()
    ) -> None:
        """Raise Damaged unless the file holds exactly tensors of these shapes.

        They hold floating-point numbers; those named in ``integers`` hold integers.
        """
        self.require_names(shapes)
        for name, shape in shapes.items():
            if self.shapes[name] != shape:
                raise Damaged(
                    f"{self.name}: '{name}' has shape {self.shapes[name]} and not {shape}"
                )
            if self._dtypes[name] not in (_INTEGERS if name in integers else _FLOATS):
                raise Damaged(f"{self.name}: '{name}' holds numbers of type {self._dtypes[name]}")

    def floats(self, name: str, low: float | None = None, high: float | None = None) -> Tensor:
        """Return a float32 copy of a tensor; all values are finite and within the bounds."""
        tensor = self._read(name, torch.float32)
        if tensor.numel():
            least, most = (value.item() for value in tensor.aminmax())
            if not (math.isfinite(least) and math.isfinite(most)):
                n = int((~tensor.isfinite()).sum())
                raise Damaged(
                    f"{self.name}: {n:,} of {tensor.numel():,} numbers in '{name}' are NaN or"
                    " infinite"
                )
            self._bound(name, least, most, low, high)
        return tensor

    def integers(self, name: str, low: int, high: int) -> Tensor:
        """Return an int64 copy of a tensor; all values are within the bounds."""
        tensor = self._read(name, torch.int64)
        if tensor.numel():
            least, most = (value.item() for value in tensor.aminmax())
            self._bound(name, least, most, low, high)
        return tensor

    def _read(self, name: str, dtype: torch.dtype) -> Tensor:
        try:
            # A copy, because the file behind a memory map may change.
            return self._file.get_tensor(name).to(dtype, copy=True)
        except (OSError, RuntimeError, SafetensorError) as error:
            raise Damaged(
                f"{self.name}: '{name}' cannot be read ({shortened(str(error), 120)})"
            ) from error

    def _bound(
        self, name: str, least: float, most: float, low: float | None, high: float | None
    ) -> None:
        if low is not None and least < low:
            raise Damaged(f"{self.name}: '{name}' falls to {least:g}; it is {low:g} at least")
        if high is not None and most > high:
            raise Damaged(f"{self.name}: '{name}' rises to {most:g}; it is {high:g} at most")
