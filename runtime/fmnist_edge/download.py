"""Fetching the dataset: web mirrors first, then Debian's package."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

from fmnist_edge import __version__
from fmnist_edge.atomic import write_atomically
from fmnist_edge.dataset import DEBIAN_FOLDER, SHA256, is_gzip, largest_file, read_verified, verified_content
from fmnist_edge.errors import DataError, OutputError

STALL_SECONDS: Final = 30.0  # as long as a slow satellite link may pause; a dead mirror costs no more


class FetchListener:
    """Is told how a fetch goes; this one is silent. Override what you want to show."""

    def step(self, message: str) -> None:
        """Take a line for people: what begins, failed or is done."""

    def detail(self, message: str) -> None:
        """Take a line for -v."""

    def received(self, name: str, so_far: int, total: int | None) -> None:
        """Note that `so_far` bytes of `name` have come, of `total` if that is known."""


SILENT: Final = FetchListener()


Source = tuple[str, Callable[[Sequence[str]], Iterator[tuple[str, bytes]]]]
"""Where files can come from: its name, and what yields (stem, verified bytes, .gz or plain) or raises DataError."""


def fetch_dataset(
    folder: Path,
    *,
    mirrors: Sequence[str] | None = None,
    debian: bool = True,
    force: bool = False,
    stall_seconds: float = STALL_SECONDS,
    listener: FetchListener = SILENT,
) -> Path:
    """Fetch the four files into `folder`, made if missing, and return it.

    `mirrors` are base URLs, tried in order ($FMNIST_MIRRORS or the public ones by default); what they do not
    give comes from Debian's package, unless `debian` is false. Good files that are there already are kept,
    unless `force` is true. A file is verified in memory and then moves into place in one step, so it is whole
    or absent, and any number of processes may fetch at once.
    Raises DataError if no source gives a file, OutputError if `folder` cannot be written.
    """
    wanted = [stem for stem in SHA256 if force or not _is_good(folder, stem)]
    faults: list[str] = []
    for name, files in _sources(mirrors, debian, stall_seconds, listener):
        if not wanted:
            break
        listener.step(f"fetching from {name}")
        try:
            for stem, raw in files(tuple(wanted)):
                _store(folder, stem, raw)
                wanted.remove(stem)
                listener.step(f"{stem}: {len(raw) / 1e3:,.0f} kB, verified")
        except DataError as error:
            faults.append(f"{name}: {error}")
            listener.step(f"{name} failed: {error}")
    if wanted:
        raise DataError(_failure(faults))
    return folder


def _sources(
    mirrors: Sequence[str] | None, debian: bool, stall_seconds: float, listener: FetchListener
) -> Iterator[Source]:
    """Yield the sources in the order of trying them."""
    for mirror in wanted_mirrors() if mirrors is None else mirrors:
        yield mirror, partial(_files_from_mirror, mirror, stall_seconds, listener)
    if debian:
        yield f"Debian's package {PACKAGE}", partial(_files_from_debian, stall_seconds, listener)


def _store(folder: Path, stem: str, raw: bytes) -> None:
    """Write verified bytes, with .gz in the name if they are compressed."""
    path = folder / (f"{stem}.gz" if is_gzip(raw) else stem)
    try:
        write_atomically(path, raw)
    except OutputError:
        # Windows lets nobody replace a file that is open: another process may just read its own good copy.
        if not _is_good(folder, stem):
            raise


def _is_good(folder: Path, stem: str) -> bool:
    try:
        read_verified(folder, stem)
    except (DataError, FileNotFoundError):
        return False
    return True


def _failure(faults: Sequence[str]) -> str:
    reasons = "; ".join(faults) or "there is no source to try"
    return (
        f"the dataset could not be fetched ({reasons}). Try again with a network, or bring the four files "
        f"({', '.join(f'{stem}.gz' for stem in SHA256)}) in a folder and name it with --data or $FMNIST_DATA"
    )


# Keras's own copy; the bucket of the dataset's authors, by its https name; the authors' repository.
MIRRORS: Final = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)
MIRRORS_VARIABLE: Final = "FMNIST_MIRRORS"
_CHUNK: Final = 1 << 16


def wanted_mirrors() -> tuple[str, ...]:
    """Return the base URLs of $FMNIST_MIRRORS (separated by blanks) or, if it is empty, `MIRRORS`."""
    return tuple(os.environ.get(MIRRORS_VARIABLE, "").split()) or MIRRORS


def _files_from_mirror(
    mirror: str, stall_seconds: float, listener: FetchListener, stems: Sequence[str]
) -> Iterator[tuple[str, bytes]]:
    """Yield (stem, verified bytes of `stem`.gz) as the mirror sends them.

    Raises DataError, naming the file, if the mirror cannot be reached, sends nothing for `stall_seconds`, or sends
    anything but the file.
    """
    for stem in stems:
        try:
            raw = download(f"{mirror.rstrip('/')}/{stem}.gz", f"{stem}.gz", largest_file(stem), stall_seconds, listener)
            verified_content(stem, raw)
        except DataError as error:
            raise DataError(f"{stem}.gz: {error}") from error
        yield stem, raw


def download(url: str, name: str, limit: int, stall_seconds: float, listener: FetchListener) -> bytes:
    """Return what comes from a URL, at most `limit` bytes. Raises DataError for every way in which that can fail.

    urllib honours http_proxy, https_proxy, no_proxy, SSL_CERT_FILE and SSL_CERT_DIR.
    """
    try:
        request = urllib.request.Request(url, headers={"User-Agent": f"fmnist-edge/{__version__}"})
        opener = urllib.request.build_opener()  # not the shared one, which keeps the first proxy settings it saw
        with opener.open(request, timeout=stall_seconds) as response:
            return _received(response, name, limit, listener)
    except urllib.error.HTTPError as error:
        error.close()
        raise DataError(f"the server answers {error.code} {error.reason}".rstrip()) from error
    except urllib.error.URLError as error:
        raise DataError(_text(error.reason, stall_seconds)) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DataError(_text(error, stall_seconds)) from error


def _received(response: IO[bytes], name: str, limit: int, listener: FetchListener) -> bytes:
    """Read all that comes, but no more than the file can have, and see that none of it is missing."""
    declared = getattr(response, "headers", {}).get("Content-Length", "")
    total = int(declared) if declared.isdecimal() else None
    raw = bytearray()
    while chunk := response.read(_CHUNK):
        raw += chunk
        if len(raw) > limit:
            raise DataError(f"not the dataset's file: more than {limit} bytes came")
        listener.received(name, len(raw), total)
    if total is not None and len(raw) < total:
        raise DataError(f"truncated: {len(raw)} of {total} bytes came")
    return bytes(raw)


def _text(reason: object, stall_seconds: float) -> str:
    """Say in one line why a connection failed, without the number of the error."""
    if isinstance(reason, TimeoutError):
        return f"nothing came for {stall_seconds:g} s"
    if isinstance(reason, http.client.IncompleteRead):
        return "truncated: the connection ended early"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason) or type(reason).__name__


PACKAGE: Final = "dataset-fashion-mnist"
_POLL_SECONDS: Final = 0.2


def _files_from_debian(
    stall_seconds: float, listener: FetchListener, stems: Iterable[str]
) -> Iterator[tuple[str, bytes]]:
    """Yield (stem, verified .gz bytes).

    Asks apt with this machine's package lists, and again with lists updated in a private folder if those are
    empty or stale. Raises DataError if apt-get is missing, or cannot get the package.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise DataError("this machine has no apt-get")
    with tempfile.TemporaryDirectory(prefix="fmnist-edge-") as name:
        work = Path(name)
        _run(["dpkg", "-x", str(_download(work, stall_seconds, listener)), str(work / "unpacked")], work, listener)
        folder = work / "unpacked" / DEBIAN_FOLDER.relative_to("/")
        yield from [(stem, _verified(folder / f"{stem}.gz", stem)) for stem in stems]


def _download(work: Path, stall_seconds: float, listener: FetchListener) -> Path:
    """Return the .deb, downloaded into `work`."""
    seconds = max(1, round(stall_seconds))
    timeouts = [f"Acquire::{scheme}::Timeout={seconds}" for scheme in ("http", "https", "ftp")]
    options = _options(*timeouts, "Acquire::Retries=1", "Acquire::Languages=none", "APT::Sandbox::User=root")
    try:
        return _download_with(options, work, listener)
    except DataError as error:
        listener.detail(f"this machine's package lists don't suffice: {error}")
    listener.step("updating Debian's package lists in a private folder")
    options += _private_state(work / "apt")
    try:
        _run(["apt-get", *options, "update"], work, listener)
    except DataError as error:  # one source of several may have failed: what counts is the package
        listener.detail(str(error))
    return _download_with(options, work, listener)


def _options(*settings: str) -> list[str]:
    return [part for setting in settings for part in ("-o", setting)]


def _private_state(folder: Path) -> list[str]:
    """Make an empty state folder and return the options by which apt uses it, and only it."""
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    (folder / "status").touch()
    places = {"State": "state", "State::lists": "state/lists", "State::status": "status", "Cache": "cache"}
    return _options(*(f"Dir::{key}={folder}/{place}" for key, place in places.items()))


def _download_with(options: Sequence[str], work: Path, listener: FetchListener) -> Path:
    command = ["apt-get", *options, "download", PACKAGE]
    total = _offered_bytes(_run([*command, "--print-uris"], work, listener))
    _run(command, work, listener, watched=total)
    found = _packages(work)
    if not found:
        raise DataError("apt-get says it is done, but there is no package")
    return found[0]


def _run(command: list[str], work: Path, listener: FetchListener, watched: int | None = None) -> str:
    """Run a command in `work`, in English, and return its standard output; report the growing .deb if `watched`.

    Raises DataError with the last line of its standard error if it fails.
    """
    listener.detail(" ".join(command))
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    options: dict[str, Any] = {"cwd": work, "env": environment, "stdin": subprocess.DEVNULL, "errors": "replace"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", **options
    ) as process:
        try:
            out, err = _communicate(process, work, listener, watched)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        lines = [line for line in err.splitlines() if line.strip()] or [f"{command[0]} failed ({process.returncode})"]
        raise DataError(lines[-1].removeprefix("E: ").strip())
    if watched:
        listener.received(f"{PACKAGE}.deb", watched, watched)
    return out


def _communicate(
    process: subprocess.Popen[str], work: Path, listener: FetchListener, watched: int | None
) -> tuple[str, str]:
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=_POLL_SECONDS)
        for package in _packages(work) if watched else []:
            listener.received(f"{PACKAGE}.deb", package.stat().st_size, watched)


def _packages(work: Path) -> list[Path]:
    return sorted(work.glob(f"{PACKAGE}_*.deb"))


def _offered_bytes(uris: str) -> int | None:
    """Return the size in a line of --print-uris: 'URL' file size sum."""
    fields = uris.split()
    return int(fields[2]) if len(fields) > 2 and fields[2].isdecimal() else None


def _verified(path: Path, stem: str) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"the package has no {path.name}: {error.strerror}") from error
    verified_content(stem, raw)
    return raw
