"""The processes that train one model together: their device, and what they tell each other.

Alone is the usual case and knows nothing of Lightning Fabric. Several processes are started and
joined by Fabric, here or by torchrun; each draws its own windows of every batch, and the gradients
are added up. A process that fails says so where the others wait for it, so that all end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import torch
from torch import Tensor

from napari_gest.errors import GestError, InputError, ProcessError
from napari_gest.limits import check_choice, check_number
from napari_gest.model.devices import Device, chosen_device

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")

Strategy = Literal["ddp"]
# Of a wait for others: the first one may build a vocabulary meanwhile. A lost one is noticed.
_PATIENCE = timedelta(hours=12)
_MOST = 100_000  # processes, on a machine or in all
_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
_AGAIN = "Look at what it said, and run the same again: with a folder of the state it goes on."


@dataclass(frozen=True)
class Scale:
    """How many processes train together.

    Attributes
    ----------
    devices
        Processes on each machine, one for each device.
    nodes
        Machines. Each runs the same command, with ``NODE_RANK``, ``MASTER_ADDR`` and
        ``MASTER_PORT`` set, or under torchrun.
    strategy
        ``ddp``: each process holds the whole network, and their gradients are added up.
    """

    devices: int = 1
    nodes: int = 1
    strategy: Strategy = "ddp"

    @property
    def asked(self) -> Scale:
        """What torchrun has started, where it has; else what was asked for."""
        if not all(name in os.environ for name in _TORCHRUN):
            return self
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        return Scale(here, int(os.environ["WORLD_SIZE"]) // here, self.strategy)

    @property
    def n_processes(self) -> int:
        """In all."""
        return self.asked.devices * self.asked.nodes

    @property
    def is_first(self) -> bool:
        """Whether this process writes and speaks for all that train together.

        It goes by the environment that Fabric and torchrun set, so it can be asked at any time.
        """
        if self.n_processes == 1:
            return True
        if "RANK" in os.environ:
            return os.environ["RANK"] == "0"
        return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK"))

    def check(self, device: Device, batch_windows: int) -> None:
        """Raise InputError unless so many processes can share a batch on a device."""
        check_number("devices", self.devices, 1, _MOST, whole=True)
        check_number("nodes", self.nodes, 1, _MOST, whole=True)
        check_choice("strategy", self.strategy, get_args(Strategy))
        asked, n = self.asked, self.n_processes
        if n == 1:
            return
        if self.devices > 1 and self.devices != asked.devices:
            raise InputError(
                f"devices is {self.devices}, and torchrun has started {asked.devices} processes.",
                "Leave devices out under torchrun.",
            )
        if n > batch_windows:
            raise InputError(
                f"{n} processes cannot share a batch of {batch_windows} windows.",
                "Take fewer devices, or raise batch_windows.",
            )
        kind = chosen_device(device).type
        here = {"cuda": torch.cuda.device_count(), "mps": 1}.get(kind, _MOST)
        if asked.devices > here:
            raise InputError(
                f"devices is {asked.devices}, and this computer has {here} of kind {kind}.",
                f"Take {here}, or device cpu.",
            )
        _fabric()


class Ranks:
    """One process by itself."""

    rank, n, local_rank = 0, 1, 0

    def __init__(self, device: torch.device) -> None:
        self.device = device

    @property
    def first(self) -> bool:
        """Whether this process does what is done once: reading, validating, writing."""
        return self.rank == 0

    def once(self, make: Callable[[], T]) -> T:
        """Return on all what ``make`` returns on the first process, which alone calls it."""
        return make()

    def least(self, make: Callable[[], tuple[T, Sequence[int]]]) -> tuple[T, list[int]]:
        """Return what ``make`` makes here, and the least of each of its numbers over all."""
        made, numbers = make()
        return made, list(numbers)

    def sum(self, tensors: Callable[[], list[Tensor]]) -> list[Tensor]:
        """Return the sums of tensors over all processes, of the same shapes everywhere."""
        return tensors()


class FabricRanks(Ranks):
    """One of several processes that Fabric has joined."""

    def __init__(self, fabric: Fabric) -> None:
        super().__init__(fabric.device)
        self.fabric = fabric
        self.rank, self.n = fabric.global_rank, fabric.world_size
        self.local_rank = fabric.local_rank

    def once(self, make: Callable[[], T]) -> T:
        made, _ = self.least(lambda: (make() if self.first else None, ()))
        return self._told(lambda: self.fabric.broadcast(made))

    def least(self, make: Callable[[], tuple[T, Sequence[int]]]) -> tuple[T, list[int]]:
        made, failed = _tried(make)
        # How many numbers there are is known before anything can fail.
        mine = [2**31 - 1] * 2 if made is None else [*made[1], 0, 0][:2]
        sent = torch.tensor([0 if failed else 1, *mine], dtype=torch.int64, device=self.device)
        fine, *least = self._reduced(sent, "min").tolist()
        if not fine:
            self._end(failed)
        assert made is not None
        return made[0], least[: len(made[1])]

    def sum(self, tensors: Callable[[], list[Tensor]]) -> list[Tensor]:
        made, failed = _tried(tensors)
        # First that nobody failed: one that did may have nothing to add.
        sent = torch.tensor([0 if failed else 1], device=self.device)
        if not int(self._reduced(sent, "min")):
            self._end(failed)
        assert made is not None
        flat = self._reduced(torch.cat([t.reshape(-1) for t in made]), "sum")
        parts = flat.split([t.numel() for t in made])
        return [part.view_as(t) for part, t in zip(parts, made, strict=True)]

    def _end(self, own: Exception | None) -> None:
        """Raise on all: a process's own error, or what the first that failed says."""
        sent = torch.tensor([self.n if own is None else self.rank], device=self.device)
        failed = int(self._reduced(sent, "min"))
        mine = (own.cause, own.remedy) if isinstance(own, GestError) else (repr(own), _AGAIN)
        cause, remedy = self._told(lambda: self.fabric.broadcast(mine, src=failed))
        if own is not None:
            raise own
        raise ProcessError(f"Process {failed} of the training failed: {cause}", remedy)

    def _reduced(self, tensor: Tensor, how: str) -> Tensor:
        return self._told(lambda: self.fabric.all_reduce(tensor, reduce_op=how))

    def _told(self, exchange: Callable[[], Any]) -> Any:
        """Return what comes of an exchange, which fails where another process is gone."""
        try:
            return exchange()
        except RuntimeError as error:
            raise ProcessError("Another process of the training ended.", _AGAIN) from error


def join(scale: Scale, device: Device) -> Ranks:
    """Return this process among those that train together; Fabric starts the others.

    Raises
    ------
    InputError
        If Fabric is not installed.
    """
    if scale.n_processes == 1:
        return Ranks(chosen_device(device))
    made, asked = _fabric(), scale.asked
    from lightning_fabric.strategies import DDPStrategy

    fabric = made(
        accelerator=chosen_device(device).type,
        devices=asked.devices,
        num_nodes=asked.nodes,
        strategy=DDPStrategy(timeout=_PATIENCE),
    )
    fabric.launch()
    return FabricRanks(fabric)


def _fabric() -> type[Fabric]:
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise InputError(
            "Several devices train together by Lightning Fabric, which is not installed.",
            "Install it: pip install 'napari-gest[scale]'.",
        ) from error
    return Fabric


def _tried(make: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return make(), None
    except Exception as error:
        return None, error
