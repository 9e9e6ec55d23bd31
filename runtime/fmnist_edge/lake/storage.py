"""Files and folders wherever pyarrow reaches: on this machine, in S3, GCS, Azure or HDFS."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import pyarrow
from pyarrow import fs

from fmnist_edge.atomic import write_atomically
from fmnist_edge.errors import DataError, ImageError, OutputError, UsageError
from fmnist_edge.image_files import MAX_FILE_BYTES, too_many_bytes

Kind: TypeAlias = Literal["file", "folder", "nothing"]

# Storages in which an object appears whole, when its upload is completed, or not at all; in others a rename does it.
_APPEARS_WHOLE: Final = ("s3", "gcs", "abfs")


@dataclass(frozen=True)
class Place:
    """A file or folder in one of pyarrow's filesystems. Pickles, with the credentials that its URI carried."""

    filesystem: Any
    path: str
    """Within the filesystem: absolute, or bucket/key."""
    shown: str
    """For people and results: as given, without credentials and options."""

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine, or on a disk that is mounted here."""
        return bool(self.filesystem.type_name == "local")

    def child(self, name: str) -> Place:
        """Return the place of `name`, a relative path, within this folder."""
        # As os.path.join, not Path, shows a local one: the path as given is part of the results.
        shown = os.path.join(self.shown, name) if self.is_local else f"{self.shown.rstrip('/')}/{name}"  # noqa: PTH118
        return Place(self.filesystem, f"{self.path.rstrip('/')}/{name}", shown)

    def holds(self, other: Place) -> bool:
        """Tell whether the other place is this one or lies within it."""
        if not self.filesystem.equals(other.filesystem):
            return False
        return f"{other.path.rstrip('/')}/".startswith(f"{self.path.rstrip('/')}/")


def open_place(uri: str) -> Place:
    """Return the place of a path or of a URI that pyarrow knows (s3, gs, abfs, hdfs, file).

    Raises UsageError for a URI that no filesystem takes, DataError for a filesystem that cannot be opened.
    """
    if "://" not in uri:
        # abspath, since pyarrow and workers elsewhere take no relative paths; resolve would follow symlinks.
        return Place(fs.LocalFileSystem(), os.path.abspath(uri), uri)  # noqa: PTH100
    shown = without_credentials(uri)
    try:
        filesystem, path = fs.FileSystem.from_uri(_impatient(uri))
    except (ValueError, TypeError) as error:
        raise UsageError(f"cannot open {shown}: {reason(error).replace(uri, shown)}") from error
    except OSError as error:
        raise DataError(f"cannot open {shown}: {reason(error)}") from error
    return Place(filesystem, path, shown)


def without_credentials(uri: str) -> str:
    """Return a URI without its options (?...) and without user:password@, either of which may hold a key."""
    return re.sub(r"://[^/@]*:[^/@]*@", "://", uri.partition("?")[0])


def _impatient(uri: str) -> str:
    """Let Google's client give up after a minute: by itself it tries for a quarter of an hour."""
    if not uri.startswith(("gs://", "gcs://")) or "retry_limit_seconds" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}retry_limit_seconds=60"


def reason(error: BaseException) -> str:
    """Return what an error of pyarrow's says, in one line, with what to do where that is known."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    line = re.sub(r"\s*\(Request ID:[^)]*\)", "", " ".join(text.split()))
    hint = next((hint for pattern, hint in _HINTS.items() if re.search(pattern, line)), "")
    return f"{line}{hint}"[:400]


_HINTS: Final = {
    "ACCESS_DENIED|INVALID_ACCESS_KEY|INVALID_CLIENT_TOKEN|SIGNATURE|EXPIRED|UNRECOGNIZED_CLIENT|[Pp]ermission": (
        "; check the credentials and what they allow"
    ),
    "NO_SUCH_BUCKET": "; check the name of the bucket and its region",
    "NETWORK_CONNECTION|curlCode": "; check the endpoint and the network",
}


def kind_of(place: Place) -> Kind:
    """Tell what is at a place. Raises DataError if the storage does not say."""
    try:
        found = place.filesystem.get_file_info(place.path).type
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"cannot read {place.shown}: {reason(error)}") from error
    return {fs.FileType.NotFound: "nothing", fs.FileType.Directory: "folder"}.get(found, "file")  # type: ignore[return-value]


def entries(folder: Place) -> list[tuple[str, Kind]]:
    """Return name and kind of what a folder holds, sorted by name; nothing if there is no such folder.

    Raises DataError if the storage does not say, as for a bucket that does not exist.
    """
    selector = fs.FileSelector(folder.path, allow_not_found=True)
    try:
        infos = folder.filesystem.get_file_info(selector)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"cannot list {folder.shown}: {reason(error)}") from error
    return sorted((info.base_name, "folder" if info.type == fs.FileType.Directory else "file") for info in infos)


def read_bytes(place: Place) -> bytes:
    """Return the content of a file that is an image.

    Raises ImageError for what ails this file alone: missing-file, unreadable-file or too-large; DataError if the
    storage answers no question about its folder either, so that the trouble is no matter of one image.
    """
    try:
        with place.filesystem.open_input_file(place.path) as file:
            if file.size() > MAX_FILE_BYTES:
                raise too_many_bytes()
            content: bytes = file.read()
            return content
    except FileNotFoundError as error:
        raise ImageError("missing-file", "no such file") from error
    except (OSError, pyarrow.ArrowException) as error:
        kind_of(Place(place.filesystem, _parent(place.path), _parent(place.shown)))
        raise ImageError("unreadable-file", f"cannot read the file: {reason(error)}") from error


def _parent(path: str) -> str:
    return path.rstrip("/").rpartition("/")[0] or "/"


def write_whole(place: Place, content: bytes) -> None:
    """Write a file that appears in one step, whole, replacing what was there. Raises OutputError."""
    if place.is_local:
        write_atomically(Path(place.path), content)
        return
    try:
        _write_remote(place.filesystem, place.path, content)
    except (OSError, pyarrow.ArrowException) as error:
        raise OutputError(f"cannot write {place.shown}: {reason(error)}") from error


def _write_remote(filesystem: Any, path: str, content: bytes) -> None:
    if filesystem.type_name in _APPEARS_WHOLE:
        _write(filesystem, path, content)
        return
    folder, _, name = path.rpartition("/")
    if folder:
        filesystem.create_dir(folder, recursive=True)
    temporary = f"{folder}/.{name}.{os.getpid()}.tmp"
    _write(filesystem, temporary, content)
    filesystem.move(temporary, path)


def _write(filesystem: Any, path: str, content: bytes) -> None:
    with filesystem.open_output_stream(path) as stream:
        stream.write(content)
