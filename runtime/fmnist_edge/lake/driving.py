"""Driving a cluster from a child process: where a cluster goes away, Ray ends who is connected, without a word."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Final

from fmnist_edge.errors import ClusterError, FmnistEdgeError
from fmnist_edge.lake.done import WENT_AWAY, Done
from fmnist_edge.lake.job import Job

PATIENCE: Final = 30  # seconds for a child to end Ray when it is asked to
_LONGEST_TEMPORARY: Final = 20  # characters; Ray adds some 70 for its sockets, whose paths may have 103 on macOS


@dataclass(frozen=True)
class Request:
    """How to run a job."""

    address: str | None = None
    """Of a cluster; None takes one that runs here, or starts one."""
    workers: int | None = None
    """Processes; None takes one for each core of the cluster."""
    bar: bool = False
    """Show Ray's progress bar."""
    loud: bool = False
    """Let Ray's own messages through, and show tracebacks."""


def drive(job: Job, parts: Sequence[int], request: Request) -> Iterator[Done]:
    """Classify parts on a cluster and yield each as it is done, in any order.

    Raises FmnistEdgeError: what a worker raised, or ClusterError.
    """
    context = multiprocessing.get_context("spawn")  # not fork, which threads of onnxruntime's would not survive
    with tempfile.TemporaryDirectory(prefix="fmnist-ray-", dir=_short_folder(), ignore_cleanup_errors=True) as folder:
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_drive, args=(sender, job, parts, request, folder))
        child.start()
        sender.close()  # the child has the only one now, so that its end is the end of what comes
        try:
            yield from _received(receiver)
            child.join()
        finally:
            receiver.close()
            child.terminate()
            child.join(PATIENCE)
            child.kill()
            child.join()


def _short_folder() -> str | None:
    usual = tempfile.gettempdir()
    return None if len(usual) <= _LONGEST_TEMPORARY or not Path("/tmp").is_dir() else "/tmp"


def _received(receiver: Connection) -> Iterator[Done]:
    """Yield what the child sends until it says that all is done; raise what it raised."""
    try:
        while (message := receiver.recv()) is not None:
            if isinstance(message, Exception):
                raise message
            yield message
    except EOFError:
        raise ClusterError(f"{WENT_AWAY}; what is done is kept, run it again to go on") from None


def _drive(sender: Connection, job: Job, parts: Sequence[int], request: Request, folder: str) -> None:
    """Be the child: send each part that is done, then None, or the error in its place."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the parent ends the child in good order
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    try:
        _send_parts(sender, job, parts, request, folder)
        sender.send(None)
    except Exception as error:
        if request.loud:
            traceback.print_exc()
        known = isinstance(error, FmnistEdgeError)
        sender.send(error if known else RuntimeError(f"{type(error).__name__}: {error}"))


def _send_parts(sender: Connection, job: Job, parts: Sequence[int], request: Request, folder: str) -> None:
    from fmnist_edge.lake.cluster import connected
    from fmnist_edge.lake.pipeline import classify_parts

    with connected(request.address, request.workers, folder, loud=request.loud) as cores:
        for done in classify_parts(job, parts, request.workers or cores, bar=request.bar):
            sender.send(done)


def _end_with_parent(folder: str) -> None:
    """End at once when the parent is killed; Ray's processes end with the one that started them."""
    parent = multiprocessing.parent_process()
    assert parent
    wait([parent.sentinel])
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)
