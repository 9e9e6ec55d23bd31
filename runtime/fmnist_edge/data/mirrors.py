"""Downloading one file of the dataset from a web mirror, into memory. Imports no numpy."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from typing import IO, Final

from fmnist_edge import __version__
from fmnist_edge.data.fetch_listener import FetchListener
from fmnist_edge.data.files import largest_file, verified_content
from fmnist_edge.errors import DataError

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
