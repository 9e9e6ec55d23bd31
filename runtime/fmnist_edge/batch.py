"""Many images in a stream: which files, in which order, and what becomes of each."""

from __future__ import annotations

import codecs
import errno
import os
import select
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.classifier import Classifier, Prediction
from fmnist_edge.errors import FmnistEdgeError, ImageError, printable
from fmnist_edge.image_files import read_file, read_stream, recognise

if TYPE_CHECKING:
    from fmnist_edge.image_files import ImageSource

DEFAULT_TOP_K: Final = 3  # classes listed in a record: enough to see what the best one competed with
DECIMALS: Final = 4  # of a probability in a record; devices agree to far more than that
STANDARD_INPUT: Final = "-"
BATCH: Final = 256  # images run at once; more bought no speed on two cores, and 200 KB is little memory
BATCH_SECONDS: Final = 0.25  # after which a batch is run though it is not full, so that answers keep coming


@dataclass(frozen=True)
class Result:
    """What became of one input: a prediction or an error, never both."""

    path: str
    """The input's path, "-" for standard input. Undecodable bytes are surrogate escapes."""
    prediction: Prediction | None = None
    error: ImageError | None = None

    def as_record(self, *, top_k: int = DEFAULT_TOP_K) -> dict[str, Any]:
        """Return plain values for JSON: path, label, index, confidence, top, model, error.

        An unsure answer has the label `unsure`; its other fields are those of the best class. `model` is the name of
        the file that answered.
        """
        answer, error = self.prediction, self.error
        best = answer.top(top_k) if answer else []
        return {
            "path": self.path,
            "label": answer and answer.label,
            "index": answer and answer.index,
            "confidence": answer and round(answer.confidence, DECIMALS),
            "top": [
                {"label": answer.labels[index], "index": index, "probability": round(probability, DECIMALS)}
                for index, probability in best
                if answer
            ],
            "model": answer and answer.model,
            "error": error and {"code": error.code, "message": error.message},
        }


FIELDS: Final = ("path", "label", "index", "confidence", "top", "model", "error_code", "error_message")


def table_row(result: Result, *, top_k: int = DEFAULT_TOP_K) -> dict[str, Any]:
    """Return the values of FIELDS for a table, such as CSV or Parquet.

    `top` is JSON, path and message are escaped, missing values are None; the rest as in `Result.as_record`.
    """
    import json  # not above: rows of text do without

    record = result.as_record(top_k=top_k)
    error = record.pop("error")
    return record | {
        "path": printable(result.path),
        "top": json.dumps(record["top"]),
        "error_code": error and error["code"],
        "error_message": error and printable(error["message"]),
    }


Item = TypeVar("Item")
OnAnswer: TypeAlias = Callable[[str, bytes, Prediction], None]
OnSkip: TypeAlias = Callable[[str], None]
_Loaded: TypeAlias = tuple[str, NDArray[np.uint8] | Prediction | ImageError]
"""A path, and an image of the dataset that waits for its batch, or what became of it."""


class Found(NamedTuple):
    """A file to be read, or a folder that could not be."""

    path: str
    """As given, or the folder as given with the rest joined to it. Undecodable bytes are surrogate escapes."""
    error: ImageError | None = None
    """Why a folder could not be listed."""


PAUSE: Final = Found("")
"""Among inputs: the next one is not known yet, so a batch that isn't full should not wait for it."""
Input: TypeAlias = str | os.PathLike[str] | Found


def classify_all(
    classifier: Classifier,
    inputs: Iterable[Input],
    *,
    recursive: bool = False,
    on_skip: OnSkip = lambda _: None,
    on_answer: OnAnswer | None = None,
) -> Iterator[Result]:
    """Classify files one after the other and yield a Result for each, in the order given.

    "-" is an image on standard input. With `recursive`, a folder stands for its pictures (see `expand`, which calls
    `on_skip`); without, it is an error. An input that cannot be classified yields its ImageError; the others go on.
    `on_answer` is called with path, the file's bytes and the prediction of each image, before its Result comes.
    """
    found = expand(inputs, recursive=recursive, on_skip=on_skip)
    return _classified(classifier, (None if one is PAUSE else _loaded(classifier, one, on_answer) for one in found))


def classify_sources(
    classifier: Classifier, sources: Iterable[tuple[str, ImageSource | ImageError]]
) -> Iterator[Result]:
    """Classify images that come from anywhere, each with the path for its Result, in the order given.

    An ImageError in an image's place becomes its Result. The answers are those of `classify_all`.
    """
    return _classified(classifier, (_begun(classifier, path, source) for path, source in sources))


def _begun(classifier: Classifier, path: str, source: ImageSource | ImageError) -> _Loaded:
    if isinstance(source, ImageError):
        return path, source
    try:
        return path, classifier.begin(source)
    except ImageError as error:
        return path, error


def _loaded(classifier: Classifier, found: Found, on_answer: OnAnswer | None) -> _Loaded:
    """Decode an input; photos are answered at once, so that no more than one of them is held at a time."""
    if found.error:
        return found.path, found.error
    try:
        data = read_stream(sys.stdin.buffer) if found.path == STANDARD_INPUT else read_file(found.path)
        if on_answer is None:
            return found.path, classifier.begin(data)
        prediction = classifier.classify(data)
    except ImageError as error:
        return found.path, error
    on_answer(found.path, data, prediction)
    return found.path, prediction


def _classified(classifier: Classifier, items: Iterable[_Loaded | None]) -> Iterator[Result]:
    """Run images of the dataset in batches; None ends a batch."""
    for batch in in_batches(items):
        images = [item for _, item in batch if isinstance(item, np.ndarray)]
        answers = iter(classifier.predict(np.stack(images)) if images else ())
        for path, item in batch:
            if isinstance(item, ImageError):
                yield Result(path, error=item)
            elif isinstance(item, Prediction):
                yield Result(path, item)
            else:
                yield Result(path, classifier.prediction(next(answers), item))


def in_batches(items: Iterable[Item | None], size: int = BATCH) -> Iterator[list[Item]]:
    """Yield lists of at most `size` items; one that isn't full after BATCH_SECONDS, or when None comes."""
    batch: list[Item] = []
    begun = time.monotonic()
    for item in items:
        if item is not None:
            batch.append(item)
        if item is None or len(batch) >= size or time.monotonic() - begun > BATCH_SECONDS:
            yield batch
            batch, begun = [], time.monotonic()
    if batch:
        yield batch


# Endings of the formats that are decoded here.
PICTURE_ENDINGS: Final = frozenset(
    ".png .apng .jpg .jpeg .jpe .jfif .webp .gif .bmp .dib .tif .tiff .ppm .pgm .pbm .pnm "  # noqa: SIM905
    ".avif .heic .heif .hif".split()
)
_HEAD: Final = 64  # bytes: enough to recognise every format


def expand(inputs: Iterable[Input], *, recursive: bool = False, on_skip: OnSkip = lambda _: None) -> Iterator[Found]:
    """Yield the inputs in their order; with `recursive`, the pictures of a folder in its place.

    `on_skip` is told the path of each other file there; a file that was named is always yielded.
    """
    for item in inputs:
        if item is PAUSE or (isinstance(item, Found) and item.error):
            yield item
            continue
        path = item.path if isinstance(item, Found) else os.fspath(item)
        if not (recursive and os.path.isdir(path)):
            yield Found(path)
            continue
        for found in walk(path):
            if found.error or is_picture(found.path):
                yield found
            else:
                on_skip(found.path)


def is_picture(path: str, content: bytes | None = None) -> bool:
    """Tell whether a file is worth decoding: by its ending or, for any other ending, by its first bytes.

    `content` is what was read of the file already, from wherever it is.
    """
    if os.path.splitext(path)[1].lower() in PICTURE_ENDINGS:  # noqa: PTH122 (hundreds of thousands)
        return True
    try:
        if content is None:
            with open(path, "rb") as file:  # noqa: PTH123 (the path may be no text)
                content = file.read(_HEAD)
        recognise(content)
    except (OSError, ImageError):
        return False
    return True


def walk(folder: str, *, deep: bool = True) -> Iterator[Found]:
    """Yield every regular file under a folder (without `deep`, those in it alone), sorted by name at each level.

    The files of a folder come in its place. Hidden files and folders (a leading dot), symlinked folders, pipes, sockets
    and devices are left out; symlinked files are not, and a symlink to nothing is yielded as well, so that it does not
    go unnoticed.
    """
    levels = [iter([(folder, True)])]
    while levels:
        entry = next(levels[-1], None)
        if entry is None:
            levels.pop()
        elif not entry[1]:
            yield Found(entry[0])
        elif deep or not levels[1:]:
            try:
                levels.append(_folder_entries(entry[0]))
            except OSError as error:
                reason = error.strerror or str(error)
                yield Found(entry[0], ImageError("unreadable-file", f"cannot list the folder: {reason}"))


def _folder_entries(folder: str) -> Iterator[tuple[str, bool]]:
    """Return (path, is a folder) for what `walk` visits; only the names of one level are held at a time."""
    names, folders = [], set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.add(entry.name)
            elif not (_is_file(entry) or (entry.is_symlink() and not os.path.exists(entry.path))):
                continue
            names.append(entry.name)
    visible = sorted(name for name in names if not name.startswith("."))
    # Path would drop a leading ./ and so change the path that was given.
    return ((os.path.join(folder, name), name in folders) for name in visible)  # noqa: PTH118


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Tell whether an entry is a regular file or a link to one; where the system cannot say, reading it will."""
    try:
        return entry.is_file()
    except OSError:  # links that lead in a circle, or through a folder without permission
        return True


LONGEST_PATH: Final = 1 << 16  # bytes; no system accepts longer ones, and a file without separators is not a list
_CHUNK: Final = 1 << 16
_MARKS: Final = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def listed_paths(source: str, *, null: bool = False) -> Iterator[Found]:
    """Yield the paths that a file names ("-" for standard input), one a line, or with `null` after each a zero byte.

    Bytes that are not UTF-8 become surrogate escapes, as everywhere. Empty lines are skipped. An entry that is not a
    path, such as "-", comes as an error in its place. PAUSE comes before waiting for whoever writes the list.
    As editors on Windows write them, a list may begin with a byte order mark, be UTF-16, and its lines end in CRLF.
    Raises FmnistEdgeError if the list cannot be read.
    """
    for raw in _list_entries(source, b"\0" if null else b"\n"):
        if raw is None:
            yield PAUSE
            continue
        if raw.endswith(b"\r") and not null and (os.name == "nt" or not os.path.lexists(raw)):
            raw = raw.removesuffix(b"\r")
        if len(raw) > LONGEST_PATH:
            yield Found(os.fsdecode(raw[:80]) + "...", ImageError("unreadable-file", "an entry longer than any path"))
        elif raw == b"-":
            yield Found("-", ImageError("unreadable-file", "write ./- for a file of this name"))
        elif raw:
            yield Found(os.fsdecode(raw))


def _list_entries(source: str, separator: bytes) -> Iterator[bytes | None]:
    """Yield entries as soon as they are there, and None before waiting for more; of an endless one its beginning."""
    rest = b""
    try:
        with nullcontext(sys.stdin.buffer) if source == STANDARD_INPUT else Path(source).open("rb") as file:
            for chunk in _utf_8(file):
                *whole, rest = (rest + chunk).split(separator)
                yield from whole
                rest = rest[: LONGEST_PATH + 1]
                if _would_wait(file):
                    yield None
    except OSError as error:
        if source == STANDARD_INPUT and error.errno == errno.EBADF:
            raise FmnistEdgeError("cannot read the list: standard input is closed") from error
        raise FmnistEdgeError(f"cannot read the list {source}: {error.strerror or error}") from error
    if rest:
        yield rest


def _utf_8(file: BinaryIO) -> Iterator[bytes]:
    """Yield what is there to read, as it comes, without a byte order mark; the mark says whether it is UTF-16."""
    begin = _read(file)
    while begin and any(mark != begin and mark.startswith(begin) for mark in _MARKS):
        more = _read(file)
        if not more:
            break
        begin += more
    encoding = next((name for mark, name in _MARKS.items() if begin.startswith(mark)), "")
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    chunk = begin.removeprefix(codecs.BOM_UTF8)
    while begin:
        yield decoder.decode(begin).encode() if encoding == "utf-16" else chunk
        begin = chunk = _read(file)


def _read(file: BinaryIO) -> bytes:
    return bytes(file.read1(_CHUNK))  # type: ignore[attr-defined]


def _would_wait(file: BinaryIO) -> bool:
    """Tell whether there is nothing to read just now. Windows can say so only for sockets."""
    if os.name == "nt":
        return False
    try:
        return not select.select([file], [], [], 0)[0]
    except (OSError, ValueError):  # a stream without a file descriptor, as in tests
        return False
