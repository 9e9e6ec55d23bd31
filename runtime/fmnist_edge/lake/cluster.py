"""Ray, found or started, and as quiet as a command should be."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

# Read when ray is imported: it reports usage unless asked not to.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray

from fmnist_edge.errors import ClusterError
from fmnist_edge.intake.quiet_pillow import quiet_standard_error
from fmnist_edge.lake.storage import reason

OBJECT_STORE_BYTES: Final = 100 * 2**20  # Ray's least is 75 MB; what passes through it here are numbers of parts
PATIENCE: Final = 10  # seconds for an address to answer at all; Ray itself would wait without end
_LONGEST_TEMPORARY: Final = 20  # characters; Ray adds some 70 for its sockets, whose paths may have 103 on macOS


@contextmanager
def connected(address: str | None, workers: int | None, *, loud: bool = False) -> Iterator[int]:
    """Connect to the cluster at `address`, to one that runs on this machine, or to one that is started for the time.

    Gives the number of its CPUs; one that is started here has `workers` of them, by default as many as the machine.
    With `loud`, Ray's own messages come through. Raises ClusterError.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    if not loud:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # of the C++ half, which writes to standard error
    with ExitStack() as stack:
        stack.callback(ray.shutdown)
        try:
            if address:
                _require_answer(address)
                _init(loud, address=address)
            elif not _found(loud):
                _start(workers or _cores(), stack, loud)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            where = f"at {address}" if address else "on this machine"
            raise ClusterError(f"no Ray cluster {where}: {reason(error)}") from error
        yield int(ray.cluster_resources().get("CPU", 0))


def _init(loud: bool, **arguments: Any) -> None:
    """Call ray.init; unless `loud`, without what it and its C++ half write to standard error."""
    level = logging.INFO if loud else logging.CRITICAL
    with nullcontext() if loud else quiet_standard_error():
        ray.init(log_to_driver=loud, logging_level=level, **arguments)


def _found(loud: bool) -> bool:
    """Connect to a cluster that runs on this machine; tell whether there was one."""
    try:
        _init(loud, address="auto")
    except ConnectionError:
        return False
    return True


def _start(cpus: int, stack: ExitStack, loud: bool) -> None:
    """Start a cluster of this machine alone, in a folder that goes when it ends."""
    folder = _temporary_folder()
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    _init(
        loud,
        address="local",
        num_cpus=cpus,
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        _temp_dir=folder,
    )
    stack.callback(ray.shutdown)  # before the folder goes


def _temporary_folder() -> str:
    usual = tempfile.gettempdir()
    short = usual if len(usual) <= _LONGEST_TEMPORARY or not Path("/tmp").is_dir() else "/tmp"
    return tempfile.mkdtemp(prefix="fmnist-ray-", dir=short)


def _require_answer(address: str) -> None:
    """Raise OSError unless somebody listens at host:port or ray://host:port."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
