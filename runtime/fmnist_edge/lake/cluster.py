"""Ray, found or started, and as quiet as a command should be."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Final

# Read when ray is imported: it reports usage unless asked not to.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray

from fmnist_edge.errors import ClusterError
from fmnist_edge.lake.storage import reason
from fmnist_edge.quiet import quiet_standard_error

OBJECT_STORE_BYTES: Final = 100 * 2**20  # Ray's least is 75 MB; what passes through it here are numbers of parts
PATIENCE: Final = 10  # seconds for an address to answer; Ray itself would wait without end
# What a gRPC server is greeted with and greets back with (RFC 9113: the preface of section 3.4, a SETTINGS frame of
# section 6.5): a length of 3 bytes, the type, flags, and stream 0 in 4.
_GREETING: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_SETTINGS: Final = 4
_OURS: Final = "fmnist-edge"  # a resource by which a cluster that was started here is known


@contextmanager
def connected(address: str | None, workers: int | None, folder: str, *, loud: bool = False) -> Iterator[int]:
    """Connect to the cluster at `address`, to one that runs on this machine, or to one that is started for the time.

    Gives the number of its CPUs; one that is started here has `workers` of them, by default as many as the machine, and
    keeps its sockets and logs in `folder`.
    With `loud`, Ray's own messages come through. Raises ClusterError.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    if not loud:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # of the C++ half, which writes to standard error
    try:
        if address:
            _require_answer(address)
            _init(loud, address=address)
        elif not _found(loud):
            _start(workers or _cores(), folder, loud)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"at {address}" if address else "on this machine"
        raise ClusterError(f"no Ray cluster {where}: {_reason(error)}") from error
    try:
        yield int(ray.cluster_resources().get("CPU", 0))
    finally:
        ray.shutdown()


def _reason(error: Exception) -> str:
    """Say why there is no connection; of a missing token only the cause of the error tells, in many lines."""
    if "InvalidAuthToken" in f"{error} {error.__cause__}":
        return "it wants its token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or the file ~/.ray/auth_token"
    return reason(error)


def _init(loud: bool, **arguments: Any) -> None:
    """Call ray.init; unless `loud`, without what it and its C++ half write to standard error."""
    level = logging.INFO if loud else logging.CRITICAL
    with nullcontext() if loud else quiet_standard_error():
        ray.init(log_to_driver=loud, logging_level=level, **arguments)


def _found(loud: bool) -> bool:
    """Connect to a cluster that runs on this machine; tell whether there was one.

    One that another run of ours started is none: it ends with that run.
    """
    try:
        _init(loud, address="auto")
    except ConnectionError:
        return False
    if _OURS not in ray.cluster_resources():
        return True
    ray.shutdown()
    return False


def _start(cpus: int, folder: str, loud: bool) -> None:
    """Start a cluster of this machine alone."""
    _init(
        loud,
        address="local",
        num_cpus=cpus,
        resources={_OURS: 1},
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        _temp_dir=folder,
    )


def _require_answer(address: str) -> None:
    """Raise OSError unless a server of Ray's kind answers at host:port or ray://host:port."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdigit()):
        return  # "auto", or what ray.init will refuse
    with socket.create_connection((host.strip("[]"), int(port)), PATIENCE) as connection:
        if os.environ.get("RAY_USE_TLS", "0") == "0":
            connection.sendall(_GREETING)
            answer = connection.recv(9)
            if len(answer) < 4 or answer[3] != _SETTINGS:
                raise ConnectionError("what answers is no Ray cluster")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
