"""A lake of images: any number of them, in any storage, classified through Ray Data into Parquet files.

    read_datasource(_Images)  ->  map_batches(_classify)  ->  write_parquet, with a CheckpointConfig

Ray fuses the three into one task for each part of the source: no image leaves its process, and a part is a result file.
docs/lake.md says what needs the pieces that stand here beside Ray's own.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache, partial
from hashlib import blake2b, sha256
from importlib.metadata import version
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when ray is imported
import numpy as np
import pyarrow
import ray.data
from pyarrow import compute, dataset, fs, parquet
from ray.data.block import BlockMetadata
from ray.data.checkpoint import CheckpointConfig
from ray.data.datasource import Datasource, ReadTask
from ray.exceptions import RayError

from fmnist_edge.batch import FIELDS, classify_sources, expand, is_picture, table_row
from fmnist_edge.classifier import Classifier
from fmnist_edge.decoding import quiet_standard_error
from fmnist_edge.errors import ClusterError, DataError, FmnistEdgeError, ImageError, OutputError, UsageError, printable
from fmnist_edge.image_files import MAX_FILE_BYTES, too_many_bytes
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL

RETRIES: Final = 3  # of one part; without a limit, an image that crashes its decoder is tried for ever
PARTS: Final = 8  # for each worker, where that makes them neither smaller nor larger than these:
SMALLEST, LARGEST = 1_000, 10_000  # images; a part costs some 30 ms of its own, and is done again after a kill
READS_AHEAD: Final = 32  # files that a worker fetches at once: at 20 ms each, 1,600 a second
ROWS_AT_ONCE: Final = 128  # image files of a storage that a worker holds; of 3 MB each, 400 MB
GROUP_CUTS: Final = 16  # parts of a row group at most: each of them decodes the group up to its own rows
BLOCK_BYTES: Final = 16 * 2**20  # of a column of images that are classified at once
OBJECT_STORE_BYTES: Final = 200 * 2**20  # what it can't hold, Ray waits for or puts on disk
_KEPT: Final = "what is done is kept, run it again to go on"
_STORAGE_ERRORS: Final = (OSError, pyarrow.ArrowException)
_TYPES: Final = {"index": pyarrow.int8(), "confidence": pyarrow.float64()}
SCHEMA: Final = pyarrow.schema([(name, _TYPES.get(name, pyarrow.string())) for name in FIELDS])
_Part: TypeAlias = "tuple[_Place, range, int, int, int]"  # Parquet file, row groups, where they start, first row, end
_ITEMS: Final = pyarrow.schema([("path", pyarrow.binary()), ("image", pyarrow.binary()), ("error", pyarrow.string())])
_POOL: Final = ThreadPoolExecutor(READS_AHEAD)


class _Place(NamedTuple):
    """A file or folder in a storage: as its pyarrow filesystem takes it, and as the user wrote it but for keys."""

    filesystem: Any
    path: str
    shown: str
    is_local: bool = False

    def child(self, name: str) -> _Place:
        return self._replace(path=f"{self.path}/{name}", shown=f"{self.shown}/{name}")

    def kind(self) -> Any:
        with _storage("read", self):
            return self.filesystem.get_file_info(self.path).type

    def entries(self) -> dict[str, bool]:
        """Return the names in this folder, sorted, and whether each is a folder; none if it is missing."""
        with _storage("list", self):
            found = self.filesystem.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
        return dict(sorted((info.base_name, info.type == fs.FileType.Directory) for info in found))


@contextmanager
def _storage(verb: str, place: _Place, kind: type[FmnistEdgeError] = DataError) -> Iterator[None]:
    """Turn what a storage raises into an error of ours."""
    try:
        yield
    except _STORAGE_ERRORS as error:
        hint = "" if place.is_local else "; check the address, the credentials and the network"
        raise kind(f"cannot {verb} {place.shown}: {_reason(error)}{hint}") from error


def _reason(error: BaseException, most: int = 300) -> str:
    text = re.sub(r"\s*\(Request ID:[^)]*\)|\nFailed to (?s:.*)", "", str(error))  # what AWS and Ray add
    return " ".join(text.split())[:most] or type(error).__name__


def open_place(location: str, endpoint: str | None = None) -> _Place:
    """Return the place of a path or of a URI that pyarrow knows, s3:// at `endpoint`. Raises UsageError, DataError."""
    if "://" not in location:
        path = os.path.abspath(location)  # noqa: PTH100 (keeps symlinks)
        return _Place(fs.LocalFileSystem(), path, location.rstrip("/"), is_local=True)
    shown = re.sub(r"://[^/@]*:[^/@]*@", "://", location.partition("?")[0]).rstrip("/")
    if endpoint and location.startswith("s3://"):
        scheme, _, host = endpoint.rstrip("/").rpartition("://")
        location += f"{'&' if '?' in location else '?'}endpoint_override={host}&scheme={scheme or 'https'}"
    try:
        filesystem, path = fs.FileSystem.from_uri(location)
        return _Place(filesystem, path.rstrip("/"), shown)
    except (ValueError, TypeError, OSError) as error:
        kind = DataError if isinstance(error, OSError) else UsageError
        raise kind(f"cannot open {shown}: {_reason(error).replace(location, shown)}") from error


class Lake(NamedTuple):
    """What to classify and whereto: a folder, an image, or with `column` Parquet files."""

    images: _Place
    results: _Place
    column: str | None = None
    model: tuple[str, bytes] | None = None  # name and content: the file need not be on the machines of the workers


def classify_lake(lake: Lake, workers: int | None, batch_size: int | None, bar: bool) -> tuple[int, int]:
    """Classify what the results do not hold yet, on the Ray cluster $RAY_ADDRESS or on one of this machine.

    `workers` are processes, by default one for each CPU; `bar` shows Ray's progress. Returns the numbers of answers and
    of errors in the results. Raises FmnistEdgeError; what is done stays done.
    """
    _begin(lake)
    _clean(lake.results)
    short = "/tmp" if Path("/tmp").is_dir() else None  # paths of Ray's sockets must be short
    folder = tempfile.TemporaryDirectory(prefix="fmnist-ray-", dir=short, ignore_cleanup_errors=True)
    try:
        with folder, _connect(workers, folder.name), warnings.catch_warnings(action="ignore"):  # for max_retries
            _run(lake, batch_size, workers, bar)
    finally:
        with suppress(FmnistEdgeError):
            _clean(lake.results)
    return _end(lake.results)


def _begin(lake: Lake) -> None:
    """Write the settings down, or compare them with those of the results. Raises UsageError, DataError, OutputError."""
    images, results = lake.images, lake.results
    inner, outer = f"{results.path}/", f"{images.path}/"
    if images.filesystem.equals(results.filesystem) and (inner.startswith(outer) or outer.startswith(inner)):
        raise UsageError(f"{results.shown} and {images.shown} overlap: results would be taken for images")
    if images.kind() == fs.FileType.NotFound:
        raise DataError(f"there is nothing at {images.shown}: no such file, folder or bucket")
    if lake.column is None and images.path.endswith(".parquet"):
        raise UsageError(f"{images.shown} is a Parquet file: name its column of images with --column")
    source = images.path if images.is_local else images.shown
    model = lake.model[1] if lake.model else EMBEDDED_CLASSIFIER.read_bytes() + EMBEDDED_PHOTO_MODEL.read_bytes()
    versions = {name: version(name) for name in ("fmnist-edge", "onnxruntime", "pillow")}
    settings = {"source": source, "column": lake.column, "model": sha256(model).hexdigest(), **versions}
    note = results.child("_run/settings.json")
    if note.kind() == fs.FileType.NotFound:
        if any(name[0] not in "._" for name in results.entries()):
            raise UsageError(f"{results.shown} holds files of something else; choose another --out")
        _write(note, lambda file: file.write(json.dumps(settings).encode()))
        return
    with _storage("read", note), note.filesystem.open_input_file(note.path) as file:
        before = json.loads(file.read())
    for name in [name for name, now in settings.items() if before.get(name) != now]:
        told = f"{name}: {before.get(name)}, now {settings[name]}"
        raise UsageError(f"{results.shown} holds results of another run ({told}); choose another --out")
    _delete(results.child("_SUCCESS"))


def _write(place: _Place, write: Callable[[Any], Any]) -> None:
    with _storage("write", place, OutputError):
        if place.is_local:
            place.filesystem.create_dir(place.path.rpartition("/")[0])
        with place.filesystem.open_output_stream(place.path) as stream:
            write(stream)


def _clean(results: _Place) -> None:
    """Undo what was begun and not committed: a pending checkpoint voids all files that bear its name."""
    for pending in list(_files(results.child("_run/done"), ".pending.parquet")):
        begin = pending.path.removesuffix(".pending.parquet")
        written = [results.child(name) for name in results.entries() if name.startswith(f"{Path(begin).name}-")]
        for place in [pending._replace(path=f"{begin}.parquet"), *written, pending]:
            _delete(place)
    _delete(results.child("_run/listing"))


def _delete(place: _Place) -> None:
    with _storage("delete", place, OutputError), suppress(FileNotFoundError):
        is_folder = place.kind() == fs.FileType.Directory
        (place.filesystem.delete_dir if is_folder else place.filesystem.delete_file)(place.path)


def _end(results: _Place) -> tuple[int, int]:
    """Mark the results as complete, as Spark and Hadoop do, and count answers and errors."""
    _write(results.child("_SUCCESS"), lambda _: None)
    with _storage("read", results):
        rows = dataset.dataset(results.path, SCHEMA, "parquet", results.filesystem)
        failed = rows.count_rows(filter=compute.field("error_code").is_valid())
        return rows.count_rows() - failed, failed


def _connect(workers: int | None, folder: str) -> Any:
    """Connect to $RAY_ADDRESS, or start a cluster here, until the `with` of what this returns ends."""
    address = os.environ.get("RAY_ADDRESS")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # of the C++ half, which writes to standard error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    own = {"address": "local", "num_cpus": workers, "object_store_memory": OBJECT_STORE_BYTES, "_temp_dir": folder}
    options = {} if address else own | {"include_dashboard": False}
    try:
        if address and ":" in address:  # Ray itself would wait for minutes without a word
            host, _, port = address.rpartition("/")[2].rpartition(":")
            socket.create_connection((host, int(port)), 10).close()
        with quiet_standard_error():
            return ray.init(log_to_driver=False, logging_level="CRITICAL", **options)
    except Exception as error:  # Ray raises many kinds, and Exception itself where a start takes too long
        raise ClusterError(f"no Ray cluster at {address or 'this machine'}: {_reason(error)}") from error


def _run(lake: Lake, batch_size: int | None, workers: int | None, bar: bool) -> None:
    """Classify what is left. Raises FmnistEdgeError: what a worker raised, or what Ray says."""
    cpus = int(ray.cluster_resources().get("CPU", 1))
    if workers and workers > cpus:
        raise UsageError(f"--workers {workers}: the Ray cluster has {cpus} CPUs")
    parts = list(_parts(lake, batch_size, workers or cpus))
    if not parts:
        return
    context, results, done = ray.data.DataContext.get_current(), lake.results, lake.results.child("_run/done")
    context.enable_progress_bars, context.target_max_block_size = bar, BLOCK_BYTES
    context.execution_options.resource_limits = ray.data.ExecutionResources(cpu=workers or cpus)
    context.checkpoint_config = CheckpointConfig(  # in a folder of this run, or Ray filters by those of all runs
        "path", done.child(str(len(done.entries()))).path, override_filesystem=done.filesystem,
        delete_checkpoint_on_success=False,
    )  # fmt: skip
    images = _Images(parts, lake.column, ray.put(_done(done)))
    same = {"max_retries": RETRIES}  # for all three, or Ray does not fuse them
    try:
        items = ray.data.read_datasource(images, override_num_blocks=len(parts), ray_remote_args=same)
        rows = items.map_batches(_classify, fn_args=(lake,), batch_format="pyarrow", **same)
        rows.write_parquet(results.path, filesystem=results.filesystem, ray_remote_args=same)
    except (RayError, *_STORAGE_ERRORS) as error:
        raise _cause(error, results) from error


def _cause(error: BaseException, results: _Place) -> FmnistEdgeError:
    """Return our own error that a worker raised, out of what Ray wrapped around it, or one that says what Ray says."""
    inner: Any = error
    while inner is not None:
        if isinstance(inner, FmnistEdgeError) and not isinstance(inner, RayError):
            return type(inner)(_reason(inner, 1000))
        if isinstance(inner, _STORAGE_ERRORS) and not isinstance(inner, RayError):
            return OutputError(f"cannot write {results.shown}: {_reason(inner)}; {_KEPT}")
        inner = getattr(inner, "cause", None) or inner.__cause__
    return ClusterError(f"Ray gave up: {_reason(error)}; {_KEPT}")


def _done(folder: _Place) -> Any:
    """Return the digests of all paths that are done, sorted, as numpy S16 [n]: 16 bytes an image. Raises DataError."""
    digests = [np.zeros(1, "S16")]
    for file in _files(folder):
        with _storage("read", file):
            table = parquet.read_table(file.path, columns=["path"], filesystem=file.filesystem)
        digests.append(_digests(table["path"].to_pylist()))
    return np.sort(np.concatenate(digests))


def _digests(paths: Iterable[str]) -> Any:
    return np.frombuffer(b"".join(blake2b(path.encode(), digest_size=16).digest() for path in paths), "S16")


def _parts(lake: Lake, batch_size: int | None, workers: int) -> Iterator[_Part]:
    """Yield the parts of a source. Raises DataError, OutputError, UsageError."""
    files = list(_tables(lake, batch_size or LARGEST))
    even = sum(starts[-1] for _, starts in files) // (PARTS * workers)
    for file, starts in files:
        size = max(batch_size or min(max(even, SMALLEST), LARGEST), max(np.diff(starts), default=0) // GROUP_CUTS)
        cuts = np.linspace(0, starts[-1], -(-starts[-1] // size) + 1, dtype=int)
        for first, end in pairwise(cuts):
            begin, last = np.searchsorted(starts, [first, end - 1], "right") - 1
            yield file, range(begin, last + 1), starts[begin], first, end


def _tables(lake: Lake, size: int) -> Iterator[tuple[_Place, Any]]:
    """Yield Parquet files and where their row groups start, and end: a column's, or the listing of a folder."""
    items = iter(()) if lake.column else _listed(lake.images)
    for number, rows in enumerate(iter(lambda: list(islice(items, size)), [])):
        file = lake.results.child(f"_run/listing/{number:08}.parquet")
        _write(file, partial(parquet.write_table, pyarrow.Table.from_pylist(rows, _ITEMS)))
        yield file, np.array([0, len(rows)])
    for file in _files(lake.images, ".parquet") if lake.column else ():
        with _storage("read", file), file.filesystem.open_input_file(file.path) as stream:
            metadata = parquet.ParquetFile(stream).metadata
        columns = metadata.schema.to_arrow_schema().names
        if lake.column not in columns:
            raise UsageError(f"{file.shown} has no column {lake.column!r}; it has {', '.join(columns)}")
        yield file, np.cumsum([0, *(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))])


def _listed(images: _Place) -> Iterator[dict[str, Any]]:
    """Yield an item for each file, as `classify -r` visits them."""
    yield from ({"path": file.shown.encode()} for file in (() if images.is_local else _files(images)))
    for found in expand([images.path], recursive=True) if images.is_local else ():
        shown = images.shown + found.path[len(images.path) :]
        yield {"path": os.fsencode(shown), "error": found.error and f"{found.error.code}: {found.error}"}


def _files(place: _Place, suffix: str = "") -> Iterator[_Place]:
    """Yield a file, or those in a folder and below it, but no hidden ones. Raises DataError."""
    if place.kind() == fs.FileType.File:
        yield place
        return
    for name, is_folder in place.entries().items():
        if not name.startswith(".") and (is_folder or name.endswith(suffix)):
            yield from _files(place.child(name), suffix) if is_folder else [place.child(name)]


class _Images(Datasource):
    """The images of parts, but for those that are done: a read task for each part, whatever parallelism Ray wants."""

    def __init__(self, parts: list[_Part], column: str | None, done: Any) -> None:
        unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        self._tasks = [ReadTask(partial(_read, part, column, done), unknown) for part in parts]

    def get_read_tasks(self, *_: Any, **__: Any) -> list[ReadTask]:
        return self._tasks

    def estimate_inmemory_data_size(self) -> None: ...


def _read(part: _Part, column: str | None, done: Any) -> Iterator[Any]:
    """Yield the items of a part whose digests `done`, an ObjectRef, does not hold, in tables of some rows."""
    (file, groups, row, first, end), known, columns = part, ray.get(done), [column] if column else None
    with _storage("read", file), file.filesystem.open_input_file(file.path) as stream:
        source = parquet.ParquetFile(stream, pre_buffer=False, buffer_size=1 << 20)  # holds two pages, not a row group
        for batch in source.iter_batches(ROWS_AT_ONCE, row_groups=groups, columns=columns):
            numbers = np.arange(row, row + len(batch))
            row += len(batch)
            if row <= first:
                continue
            if column:
                paths = [f"{file.shown}#{number}".encode() for number in numbers]
                images = batch.column(0).cast(pyarrow.binary())
                batch = pyarrow.record_batch([paths, images, pyarrow.nulls(len(paths), "string")], schema=_ITEMS)
            digests = _digests(printable(os.fsdecode(path)) for path in batch["path"].to_pylist())
            is_new = known.take(np.searchsorted(known, digests), mode="clip") != digests
            is_ours = (first <= numbers) & (numbers < end)
            yield pyarrow.Table.from_batches([batch.filter(pyarrow.array(is_new & is_ours))])
            if row >= end:
                return


@cache
def _classifier(model: tuple[str, bytes] | None) -> Classifier:
    """Return the classifier of this process, which Ray keeps for all its parts."""
    with tempfile.TemporaryDirectory() as folder:
        if model is None:
            return Classifier()
        Path(folder, model[0]).write_bytes(model[1])
        return Classifier(Path(folder, model[0]))


def _classify(items: Any, lake: Lake) -> Iterator[Any]:
    """Yield the rows of a table of items, in tables."""
    each = map if lake.column or lake.images.is_local else _ahead
    results = classify_sources(_classifier(lake.model), filter(None, each(partial(_source, lake), items.to_pylist())))
    while rows := [*map(table_row, islice(results, SMALLEST))]:
        yield pyarrow.Table.from_pylist(rows, SCHEMA)


def _ahead(read: Callable[[Any], Any], items: list[Any]) -> Iterator[Any]:
    """Do as `map`, but begin to read those that follow."""
    begun: deque[Any] = deque()
    for item in items:
        begun.append(_POOL.submit(read, item))
        if len(begun) == ROWS_AT_ONCE:
            yield begun.popleft().result()
    yield from (one.result() for one in begun)


def _source(lake: Lake, item: dict[str, Any]) -> tuple[str, bytes | str | ImageError] | None:
    """Return path and picture or what ails it alone; None for a file that `classify -r` skips in a folder."""
    images, shown = lake.images, os.fsdecode(item["path"])
    if item["error"]:
        return shown, ImageError(*item["error"].split(": ", 1))
    if lake.column:
        return shown, ImageError("missing-file", "no image in this row") if item["image"] is None else item["image"]
    path = images.path + shown[len(images.shown) :]
    if images.is_local:
        return shown, path
    try:
        with images.filesystem.open_input_file(path) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return shown, ImageError("missing-file", "no such file")
    except _STORAGE_ERRORS as error:
        images.kind()  # raises DataError if the storage does not answer: that is no matter of one image
        return shown, ImageError("unreadable-file", f"cannot read the file: {_reason(error)}")
    source = content if len(content) <= MAX_FILE_BYTES else too_many_bytes()
    return (shown, source) if path == images.path or is_picture(path, content) else None
