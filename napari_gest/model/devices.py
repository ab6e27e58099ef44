"""Where a network computes: which devices there are, and what is done when one runs out of memory.

Only numbers from and to the network are on a device. Tissue, results and what is saved are on the
processor's side. torch is loaded when something is asked of it, not before.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from napari_gest.errors import InputError
from napari_gest.limits import check_choice

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

Device = Literal["auto", "cpu", "cuda", "mps"]
DEVICES: tuple[Device, ...] = get_args(Device)

_NAMES: dict[str, str] = {"cuda": "NVIDIA GPU (CUDA)", "mps": "Apple GPU (MPS)"}
# What torch says on a processor, on Apple's GPU, and of drivers below it.
_FULL = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def devices_here() -> tuple[Device, ...]:
    """Return the devices of this computer, the processor first."""
    import torch

    found: list[Device] = ["cpu"]
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return tuple(found)


def devices_told() -> tuple[Device, ...] | None:
    """Return what ``devices_here`` does, once torch is loaded, which takes seconds; None before."""
    return devices_here() if "torch" in sys.modules else None


def device_name(device: Device) -> str:
    """Return what a device is called in a list."""
    return {"auto": "Automatic", "cpu": "Processor (CPU)", **_NAMES}[device]


def check_device(device: Device) -> None:
    """Raise InputError unless a device, or ``auto``, can be used on this computer."""
    check_choice("device", device, DEVICES)
    if device in ("auto", "cpu"):
        return
    here = devices_here()
    if device not in here:
        raise InputError(
            f"There is no {_NAMES[device]} that torch can use on this computer.",
            f"Choose device {' or '.join(('auto', *here))}, or install a torch built for it.",
        )


def chosen_device(device: Device) -> torch.device:
    """Return the device that a name stands for.

    ``auto`` is an NVIDIA GPU where there is one, else the processor. Apple's GPU is used where it
    is asked for.

    Raises
    ------
    InputError
        If it is not one of this computer.
    """
    import torch

    check_device(device)
    if device == "auto":
        device = "cuda" if "cuda" in devices_here() else "cpu"
    return torch.device(device)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which numbers keep all their digits, whatever is around it."""
    import torch

    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that a device, or the processor, has no memory left."""
    import torch

    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(s in str(error).lower() for s in _FULL)


class AtOnce:
    """How many windows are computed at once: half as many each time that memory runs out.

    Parameters
    ----------
    size
        Windows at once, to begin with.

    Attributes
    ----------
    size
        Windows at once from now on.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._told = size

    def each(self, n: int, work: Callable[[slice], T]) -> list[T]:
        """Return what ``work`` makes of each part of ``n`` windows, ``size`` of them at most.

        Where memory runs out, the part is done again in halves.

        Raises
        ------
        RuntimeError, MemoryError
            What ``work`` raises, if it is anything else, or of a single window.
        """
        made: list[T] = []
        start = 0
        while start < n:
            part = slice(start, min(start + self.size, n))
            try:
                made.append(work(part))
            except (RuntimeError, MemoryError) as error:
                if part.stop - part.start < 2 or not is_out_of_memory(error):
                    raise
                self.size = (part.stop - part.start) // 2
            else:
                start = part.stop
                continue
            _free_memory()  # only now does no error hold what the part had made
        return made

    def news(self) -> str | None:
        """Return what to tell if fewer windows are computed at once than when asked before."""
        if self.size == self._told:
            return None
        self._told = self.size
        several = f"{self.size} windows" if self.size > 1 else "1 window"
        return f"Memory ran out: going on with {several} at once"


def _free_memory() -> None:
    """Hand back what torch holds for later and does not use."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
