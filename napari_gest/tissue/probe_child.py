"""The script that ``probe`` runs: opens HDF5 files and reads the data that can crash HDF5.

It imports nothing of this package, so it starts as fast as h5py loads.
"""

import json
import os
import sys
from threading import Timer
from typing import Any

_IDLE_SECONDS = 120.0
_BYTES = 4_000_000_000
_SMALL = 1_000_000  # bytes of an array of numbers that is read completely, at most
_MANY = 100_000  # objects, and chunks of an array, that are visited, at most


def main() -> None:
    """Answer ``done`` for each path that arrives, unless the process ends before."""
    # The parent's import path, which may be the only one with h5py.
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
        # After some time without work the process is not needed any more.
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
            # Python exceptions are harmless: the parent meets them too and reports them.
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
    """Read text and small arrays, and the positions of the chunks of large ones."""
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
