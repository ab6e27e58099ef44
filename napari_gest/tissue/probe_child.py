"""The script that ``probe`` runs: opens HDF5 files and reads all that steers HDF5 in them.

It knows nothing of this package, so that it starts in the time that h5py takes to load.
"""

import json
import os
import sys
from threading import Timer
from typing import Any

_IDLE_SECONDS = 120.0
_BYTES = 4_000_000_000
_SMALL = 1_000_000  # bytes of an array of numbers that is read whole
_MANY = 100_000  # objects, and pieces of an array, that are looked at


def main() -> None:
    """Answer ``done`` for each path that comes in, if nothing ends the process before."""
    # Like the parent, which may have found h5py in a place that only it knows.
    sys.path[:] = json.loads(sys.stdin.readline())
    try:
        import h5py
    except ImportError:
        print("no h5py", flush=True)
        return
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):  # Windows, or a lower limit already
        pass
    print("ready", flush=True)
    while True:
        # A process without work for a while is not needed any more.
        idle = Timer(_IDLE_SECONDS, os._exit, (0,))
        idle.daemon = True
        idle.start()
        line = sys.stdin.readline()
        idle.cancel()
        if not line:
            return
        try:
            with h5py.File(json.loads(line), "r") as file:
                _walk(file, h5py, set())
        except MemoryError:
            print("it takes more than 4 GB of memory", flush=True)
            continue
        except Exception:
            # Errors that Python sees end nothing: the parent meets them and tells the user.
            pass
        print("done", flush=True)


def _walk(group: Any, h5py: Any, seen: set) -> None:
    for name in group:
        try:
            if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                continue
            item = group[name]
            place = h5py.h5o.get_info(item.id).addr
            if place in seen or len(seen) > _MANY:
                continue
            seen.add(place)
            if isinstance(item, h5py.Group):
                _attributes(item)
                _walk(item, h5py, seen)
            elif isinstance(item, h5py.Dataset):
                _attributes(item)
                _touch(item)
        except MemoryError:
            raise
        except Exception:
            continue


def _attributes(item: Any) -> None:
    for key in item.attrs:
        try:
            item.attrs[key]
        except MemoryError:
            raise
        except Exception:
            continue


def _touch(dataset: Any) -> None:
    """Read text and small arrays, and where the pieces of large ones are."""
    if dataset.shape is None or dataset.external or dataset.is_virtual:
        return
    if dataset.nbytes <= _SMALL or (dataset.dtype.kind == "O" and dataset.nbytes <= 100 * _SMALL):
        dataset[()]
    elif dataset.chunks is not None:
        n_pieces = dataset.id.get_num_chunks()
        for index in {0, n_pieces // 2, n_pieces - 1} if n_pieces else ():
            dataset.id.get_chunk_info(index)


if __name__ == "__main__":
    main()
