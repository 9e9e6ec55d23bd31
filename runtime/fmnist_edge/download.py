"""Fetching the dataset (web mirrors first, then Debian's package) and the photos of clothes."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import os
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final, Literal, TypeAlias

from fmnist_edge import __version__
from fmnist_edge.atomic import write_atomically
from fmnist_edge.dataset import (
    DEBIAN_FOLDER,
    SHA256,
    is_gzip,
    largest_file,
    read_verified,
    user_cache,
    verified_content,
)
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


_SILENT: Final = FetchListener()


@dataclass(frozen=True)
class _Source:
    """Somewhere files can come from: yields (stem, verified bytes, .gz or plain), or raises DataError."""

    name: str
    files: Callable[[Sequence[str]], Iterator[tuple[str, bytes]]]


def fetch_dataset(
    folder: Path,
    *,
    mirrors: Sequence[str] | None = None,
    debian: bool = True,
    force: bool = False,
    stall_seconds: float = STALL_SECONDS,
    listener: FetchListener = _SILENT,
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
    for source in _sources(mirrors, debian, stall_seconds, listener):
        if not wanted:
            break
        listener.step(f"fetching from {source.name}")
        try:
            for stem, raw in source.files(tuple(wanted)):
                _store(folder, stem, raw)
                wanted.remove(stem)
                listener.step(f"{stem}: {len(raw) / 1e6:.1f} MB, verified")
        except DataError as error:
            faults.append(f"{source.name}: {error}")
            listener.step(f"{source.name} failed: {error}")
    if wanted:
        raise DataError(_failure(faults))
    return folder


def _sources(
    mirrors: Sequence[str] | None, debian: bool, stall_seconds: float, listener: FetchListener
) -> Iterator[_Source]:
    """Yield the sources in the order of trying them."""

    def from_mirror(mirror: str) -> Callable[[Sequence[str]], Iterator[tuple[str, bytes]]]:
        return lambda stems: ((stem, download_from_mirror(mirror, stem, stall_seconds, listener)) for stem in stems)

    for mirror in wanted_mirrors() if mirrors is None else mirrors:
        yield _Source(mirror, from_mirror(mirror))
    if debian:
        yield _Source(
            f"Debian's package {PACKAGE}",
            lambda stems: iter(files_from_debian(stems, stall_seconds, listener).items()),
        )


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


def download_from_mirror(mirror: str, stem: str, stall_seconds: float, listener: FetchListener) -> bytes:
    """Return the verified bytes of `stem`.gz as the mirror sends them.

    urllib honours http_proxy, https_proxy, no_proxy, SSL_CERT_FILE and SSL_CERT_DIR. Raises DataError, naming
    the file but no mirror, if the mirror cannot be reached, sends nothing for `stall_seconds`, or sends
    anything but the file.
    """
    try:
        url = f"{mirror.rstrip('/')}/{stem}.gz"
        raw = download(url, f"{stem}.gz", largest_file(stem), stall_seconds, listener)
        verified_content(stem, raw)
        return raw
    except DataError as error:
        raise DataError(f"{stem}.gz: {error}") from error


def download(url: str, name: str, limit: int, stall_seconds: float, listener: FetchListener) -> bytes:
    """Return what comes from a URL, at most `limit` bytes; every way in which that can fail becomes a DataError."""
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


def files_from_debian(stems: Iterable[str], stall_seconds: float, listener: FetchListener) -> dict[str, bytes]:
    """Return the verified .gz bytes of the wanted files, by stem.

    Asks apt with this machine's package lists, and again with lists updated in a private folder if those are
    empty or stale. Raises DataError if apt-get is missing, or cannot get the package.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise DataError("this machine has no apt-get")
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
        listener.detail(f"this machine's package lists don't suffice: {error}")
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
    """Run a command in `work` and return its standard output; report the growing .deb if `watched`.

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


PHOTOS_VARIABLE: Final = "FMNIST_PHOTOS"
ARCHIVE_VARIABLE: Final = "FMNIST_PHOTOS_ARCHIVE"  # another address of the archive, for a mirror of one's own
ARCHIVE: Final = "https://github.com/alexeygrigorev/clothing-dataset-small/archive/refs/heads/master.zip"
PhotoSplit: TypeAlias = Literal["train", "validation"]

# Sub-folder to the labels of Fashion-MNIST that count as right. Its shoes may be any of three.
ACCEPTED: Final[dict[str, tuple[int, ...]]] = {
    "t-shirt": (0,),
    "pants": (1,),
    "longsleeve": (2,),
    "dress": (3,),
    "outwear": (4,),
    "shirt": (6,),
    "shoes": (5, 7, 9),
}


def find_photos(folder: Path | None = None) -> Path:
    """Return the folder of the photos: the one given, $FMNIST_PHOTOS, or the one in the user's cache.

    Raises DataError if there is none, or if the folder that was named has no photos in it.
    """
    named = folder or (Path(os.environ[PHOTOS_VARIABLE]) if os.environ.get(PHOTOS_VARIABLE) else None)
    found = named or (cached_photos() if user_cache() else None)
    if found is not None and all((found / "train" / name).is_dir() for name in ACCEPTED):
        return found
    if named:
        raise DataError(f"no photos in {named}: it should hold train/ and validation/ with a folder for each class")
    raise DataError(f"no photos found: `fmnist-edge data fetch --photos`, or name a folder with ${PHOTOS_VARIABLE}")


def cached_photos() -> Path:
    """Return where `fmnist-edge data fetch --photos` puts the photos. Raises DataError where there is no home."""
    cache = user_cache()
    if cache is None:
        raise DataError("this user has no home folder for the photos: name a folder with -o")
    return cache / "photos"


def wanted_archive() -> str:
    """Return the address of the photos' archive."""
    return os.environ.get(ARCHIVE_VARIABLE) or ARCHIVE


def photos_at_hand(folder: Path | None = None) -> Path | None:
    """Return the folder of the photos, or None if there are none and nobody named one. Raises DataError."""
    try:
        return find_photos(folder)
    except DataError:
        if folder or os.environ.get(PHOTOS_VARIABLE):
            raise
        return None


def list_photos(folder: Path, split: PhotoSplit) -> Iterator[tuple[Path, str]]:
    """Yield (path, name of its class) for every photo of a split, sorted by class and name."""
    for name in sorted(ACCEPTED):
        for path in sorted((folder / split / name).glob("*.jpg")):
            yield path, name


LARGEST_ARCHIVE: Final = 400_000_000  # bytes; the photos that are used take 83 million
# SHA-256 over the lines "split/class/name sha256-of-the-file", sorted, of each split. Not of the archive, which its
# host may pack anew at any time.
SPLIT_SHA256: Final[dict[str, str]] = {
    "train": "00c78ebe87e21cea0242f74b7e0c6809d343d41e53d77ffdf76e92820426bb2d",
    "validation": "5b4a7db39da48f8e323762129fa9a1da68ed75d0a3526a18c5defc753bf68f8f",
}


def fetch_photos(
    folder: Path,
    *,
    archive: str = ARCHIVE,
    expected: Mapping[str, str] = SPLIT_SHA256,
    stall_seconds: float = 30.0,
    listener: FetchListener = _SILENT,
) -> Path:
    """Fetch the photos into `folder` (train/ and validation/ with a folder for each class) and return it.

    They are unpacked beside it, checked, and moved into place in one step; an earlier folder is replaced then.
    The archive's third split and its other classes are left in it. Raises DataError, OutputError.
    """
    listener.step(f"fetching from {archive}")
    try:
        raw = download(archive, "photos", LARGEST_ARCHIVE, stall_seconds, listener)
    except DataError as error:
        raise DataError(f"the photos could not be fetched ({error}); bring them in a folder, see --photos") from error
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            unpacked = Path(scratch) / "photos"
            sums = _unpack(raw, unpacked)
            _check(sums, expected)
            listener.step(f"{sum(len(lines) for lines in sums.values())} photos, verified")
            if folder.exists():
                folder.rename(Path(scratch) / "old")
            unpacked.rename(folder)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}; name another folder with -o") from error
    return folder


def is_photo_copy(folder: Path, expected: Mapping[str, str] = SPLIT_SHA256) -> bool:
    """Tell whether a folder holds the photos, all of them, and nothing else, so that replacing it loses nothing."""
    sums: dict[str, list[str]] = {split: [] for split in expected}
    try:
        for path in sorted(folder.rglob("*")):
            place = path.relative_to(folder).as_posix()
            if path.is_file():
                sums[place.split("/")[0]].append(f"{place} {hashlib.sha256(path.read_bytes()).hexdigest()}\n")
        _check(sums, expected)
    except (OSError, KeyError, DataError):
        return False
    return True


def _unpack(raw: bytes, target: Path) -> dict[str, list[str]]:
    """Write the wanted photos of an archive below `target`; return the lines to be summed, by split."""
    sums: dict[str, list[str]] = {"train": [], "validation": []}
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            for member, split, place in _wanted(archive):
                path = target / place
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, path.open("wb") as file:
                    shutil.copyfileobj(source, file)
                sums[split].append(f"{place} {hashlib.sha256(path.read_bytes()).hexdigest()}\n")
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError) as error:
        raise DataError(f"the photos' archive is damaged: {error}; fetch it again") from error
    return sums


def _wanted(archive: zipfile.ZipFile) -> Iterator[tuple[zipfile.ZipInfo, str, str]]:
    """Yield (member, split, its place in our folder) for photos; the names are rebuilt, so none can lead outside."""
    for member in archive.infolist():
        parts = PurePosixPath(member.filename).parts
        if len(parts) == 4 and parts[1] in SPLIT_SHA256 and parts[2] in ACCEPTED and parts[3].endswith(".jpg"):
            yield member, parts[1], "/".join(parts[1:])


def _check(sums: Mapping[str, list[str]], expected: Mapping[str, str]) -> None:
    for split, wanted in expected.items():
        found = hashlib.sha256("".join(sorted(sums[split])).encode()).hexdigest()
        if found != wanted:
            count = len(sums[split])
            raise DataError(f"not the photos that are expected: the {count} of {split} sum to {found}, not {wanted}")
