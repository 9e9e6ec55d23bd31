"""Getting the dataset out of Debian's package `dataset-fashion-mnist`, without root. Imports no numpy."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from fmnist_edge.data.fetch_listener import FetchListener
from fmnist_edge.data.files import verified_content
from fmnist_edge.data.places import DEBIAN_FOLDER
from fmnist_edge.errors import DataError

PACKAGE: Final = "dataset-fashion-mnist"
_POLL_SECONDS: Final = 0.2


def files_from_debian(stems: Iterable[str], stall_seconds: float, listener: FetchListener) -> dict[str, bytes]:
    """Return the verified .gz bytes of the wanted files, by stem.

    Asks apt with this machine's package lists, and again with lists updated in a private folder if those are
    empty or stale. Raises DataError if there is no apt-get, or no way to the package or a mirror of it.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise DataError("there is no apt-get on this machine")
    with tempfile.TemporaryDirectory(prefix="fmnist-edge-") as name:
        work = Path(name)
        unpacked = work / "unpacked"
        package = _download(work, stall_seconds, listener)
        _run(["dpkg", "-x", str(package), str(unpacked)], work, listener)
        folder = unpacked / DEBIAN_FOLDER.relative_to("/")
        return {stem: _verified(folder / f"{stem}.gz", stem) for stem in stems}


def _download(work: Path, stall_seconds: float, listener: FetchListener) -> Path:
    """Return the .deb, downloaded into `work`."""
    options = _options(stall_seconds)
    try:
        return _download_with(options, work, listener)
    except DataError as error:
        listener.detail(f"this machine's package lists do not do: {error}")
    listener.step("updating Debian's package lists in a private folder")
    options += _private_state(work / "apt")
    try:
        _run(["apt-get", *options, "update"], work, listener)
    except DataError as error:  # one source of several may have failed: what counts is the package
        listener.detail(str(error))
    return _download_with(options, work, listener)


def _download_with(options: Sequence[str], work: Path, listener: FetchListener) -> Path:
    command = ["apt-get", *options, "download", PACKAGE]
    total = _offered_bytes(_run([*command, "--print-uris"], work, listener))
    _run(command, work, listener, watched=total)
    found = _packages(work)
    if not found:
        raise DataError("apt-get says it is done, but there is no package")
    return found[0]


def _options(stall_seconds: float) -> list[str]:
    """Return options that keep apt from waiting long, dropping rights, and loading what is not needed."""
    seconds = max(1, round(stall_seconds))
    settings = [f"Acquire::{scheme}::Timeout={seconds}" for scheme in ("http", "https", "ftp")]
    settings += ["Acquire::Retries=1", "Acquire::Languages=none", "APT::Sandbox::User=root"]
    return [part for setting in settings for part in ("-o", setting)]


def _private_state(folder: Path) -> list[str]:
    """Make an empty state folder and return the options by which apt uses it, and only it."""
    status = folder / "status"
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    status.touch()
    settings = [
        f"Dir::State={folder}/state",
        f"Dir::State::lists={folder}/state/lists",
        f"Dir::State::status={status}",
        f"Dir::Cache={folder}/cache",
    ]
    return [part for setting in settings for part in ("-o", setting)]


def _run(command: list[str], work: Path, listener: FetchListener, watched: int | None = None) -> str:
    """Run a command in `work` and return its standard output; tell of a growing .deb if `watched`.

    Raises DataError with the last line of its standard error if it fails.
    """
    listener.detail(" ".join(command))
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace", dir=work) as out,
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace", dir=work) as err,
        _started(command, work, out.fileno(), err.fileno()) as process,
    ):
        try:
            _wait(process, work, listener, watched)
        except BaseException:
            process.kill()
            raise
        out.seek(0)
        err.seek(0)
        if process.returncode:
            raise DataError(_last_line(err.read()) or f"{command[0]} failed ({process.returncode})")
        return out.read()


def _started(command: list[str], work: Path, out: int, err: int) -> subprocess.Popen[bytes]:
    """Start a command that speaks English, so that its errors can be passed on."""
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.Popen(command, cwd=work, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err)


def _wait(process: subprocess.Popen[bytes], work: Path, listener: FetchListener, watched: int | None) -> None:
    while process.returncode is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
        for package in _packages(work) if watched else []:
            listener.received(f"{PACKAGE}.deb", package.stat().st_size, watched)


def _packages(work: Path) -> list[Path]:
    return sorted(work.glob(f"{PACKAGE}_*.deb"))


def _offered_bytes(uris: str) -> int | None:
    """Return the size in a line of --print-uris: 'URL' file size sum."""
    fields = uris.split()
    return int(fields[2]) if len(fields) > 2 and fields[2].isdecimal() else None


def _last_line(text: str) -> str:
    """Return the last line that says something, without apt's own prefix."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("E: ").strip() if lines else ""


def _verified(path: Path, stem: str) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"the package has no {path.name}: {error.strerror}") from error
    verified_content(stem, raw)
    return raw
