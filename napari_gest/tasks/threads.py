"""How many processors torch may use."""

from __future__ import annotations

import os


def share_processors() -> None:
    """Let torch use half of the logical processors in the calling thread.

    The matrices are small, and torch's threads wait for each other: on two busy cores two threads
    were many times slower than one. Half also leaves processors for the canvas. The command line
    and the viewer call this; scripts decide for themselves.
    """
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))


def stay_in_background() -> None:
    """Let torch use one processor in the calling thread, for background work."""
    import torch

    torch.set_num_threads(1)
