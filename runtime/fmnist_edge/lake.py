"""A lake of images: any number of them, in any storage, classified through Ray Data into Parquet files.

    read_datasource(Images)  ->  map_batches(Worker)  ->  write_parquet(results), with a CheckpointConfig

A part is what one read task reads and one result file answers: rows of a Parquet file. A folder is first listed into
Parquet files of paths. docs/lake.md says what needs the pieces that stand here beside Ray's own.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import blake2b, sha256
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when ray is imported
import numpy as np
import pyarrow
import ray.data
from pyarrow import compute, dataset, fs, parquet
from ray.data.block import BlockMetadata
from ray.data.checkpoint import CheckpointConfig
from ray.data.checkpoint.checkpoint_filter import IdColumnCheckpointManager
from ray.data.datasource import Datasource, ReadTask
from ray.exceptions import RayError

from fmnist_edge.batch import FIELDS, classify_sources, expand, is_picture, table_row
from fmnist_edge.classifier import Classifier
from fmnist_edge.decoding import quiet_standard_error
from fmnist_edge.errors import ClusterError, DataError, FmnistEdgeError, ImageError, OutputError, UsageError, printable
from fmnist_edge.image_files import MAX_FILE_BYTES, too_many_bytes
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL

WORKER_CPUS: Final = 0.5  # so that a reader and a writer, with half of that, find room beside it on one logical CPU
RETRIES: Final = 3  # of one part; without a limit, an image that crashes its decoder is tried for ever
READS_AHEAD: Final = 32  # files that a worker fetches at once: at 20 ms each, 1,600 a second
ROWS_AT_ONCE: Final = 128  # image files of a storage that a worker holds; of 3 MB each, 400 MB
GROUP_CUTS: Final = 16  # parts of a row group at most: each of them decodes the group up to its own rows
BLOCK_BYTES: Final = 16 * 2**20  # of a column of images that a worker gets at once
OBJECT_STORE_BYTES: Final = 200 * 2**20  # what it can't hold, Ray waits for or puts on disk
_NO_IMAGE: Final = "missing-file: no image in this row"
_KEPT: Final = "what is done is kept, run it again to go on"
_STORAGE_ERRORS: Final = (OSError, pyarrow.ArrowException)
_TYPES: Final = {"index": pyarrow.int8(), "confidence": pyarrow.float64()}
SCHEMA: Final = pyarrow.schema([(name, _TYPES.get(name, pyarrow.string())) for name in FIELDS])
_Part: TypeAlias = "tuple[_Place, int, int, int, int]"  # file, row group, row where that begins, first row, end
_ITEMS: Final = pyarrow.schema([("path", pyarrow.binary()), ("image", pyarrow.binary()), ("error", pyarrow.string())])


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


def classify_lake(lake: Lake, workers: int | None = None, batch_size: int = 1000, bar: bool = False) -> tuple[int, int]:
    """Classify what the results do not hold yet, on the Ray cluster $RAY_ADDRESS or on one of this machine.

    `workers` are processes, by default one for each CPU; `bar` shows Ray's progress. Returns how many rows of the
    results are answers and how many errors. Raises FmnistEdgeError; what is done stays done.
    """
    _begin(lake)
    _clean(lake.results)
    short = "/tmp" if Path("/tmp").is_dir() else None  # paths of Ray's sockets must be short
    folder = tempfile.TemporaryDirectory(prefix="fmnist-ray-", dir=short, ignore_cleanup_errors=True)
    try:
        with folder, _connect(workers, folder.name):
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
    """Undo what was begun and not committed: a pending checkpoint voids all files that bear its name.

    Ray resumes nearly so. But a kill amid a rename in S3, a copy and a deletion, leaves a committed checkpoint beside
    the pending one: Ray deletes the results, keeps the committed checkpoint, and the rows are lost.
    """
    done, pending = results.child("_run/done"), ".pending.parquet"
    for name in [name for name in done.entries() if name.endswith(pending)]:
        part = name.removesuffix(pending)
        written = [results.child(file) for file in results.entries() if file.startswith(f"{part}-")]
        for place in [done.child(f"{part}.parquet"), *written, done.child(name)]:
            _delete(place)
    _delete(results.child("_run/listing"))


def _delete(place: _Place) -> None:
    with _storage("delete", place, OutputError), suppress(FileNotFoundError):
        if place.kind() == fs.FileType.Directory:
            place.filesystem.delete_dir(place.path)
        else:
            place.filesystem.delete_file(place.path)


def _end(results: _Place) -> tuple[int, int]:
    """Mark the results as complete, as Spark and Hadoop do, and count answers and errors."""
    _write(results.child("_SUCCESS"), lambda _: None)
    files = [results.child(name).path for name in results.entries() if name.endswith(".parquet")]
    with _storage("read", results):
        rows = dataset.dataset(files, SCHEMA, "parquet", filesystem=results.filesystem) if files else None
        failed = rows.count_rows(filter=compute.field("error_code").is_valid()) if rows else 0
        return (rows.count_rows() if rows else 0) - failed, failed


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


def _run(lake: Lake, batch_size: int, workers: int | None, bar: bool) -> None:
    """Classify what is left. Raises FmnistEdgeError: what a worker raised, or what Ray says."""
    cpus = int(ray.cluster_resources().get("CPU", 1))
    if workers and workers > cpus:
        raise UsageError(f"--workers {workers}: the Ray cluster has {cpus} CPUs")
    parts = list(_parts(lake, batch_size))
    if not parts:
        return
    context, results = ray.data.DataContext.get_current(), lake.results
    context.enable_progress_bars, context.target_max_block_size = bar, BLOCK_BYTES
    context.checkpoint_config = CheckpointConfig(
        "path", results.child("_run/done").path, override_filesystem=results.filesystem,
        delete_checkpoint_on_success=False, checkpoint_manager_cls=_NoFilter,
    )  # fmt: skip
    images = _Images(parts, lake.column, ray.put(_done(results)))
    try:
        items = ray.data.read_datasource(images, override_num_blocks=len(parts), num_cpus=WORKER_CPUS / 2)
        with warnings.catch_warnings(action="ignore"):  # Ray has no other way yet to limit retries
            rows = items.map_batches(
                Worker, fn_constructor_args=(lake,), batch_format="pyarrow",
                num_cpus=WORKER_CPUS, max_task_retries=RETRIES,
                compute=ray.data.ActorPoolStrategy(size=min(workers or cpus, len(parts))),
            )  # fmt: skip
        rows.write_parquet(results.path, filesystem=results.filesystem, ray_remote_args={"num_cpus": WORKER_CPUS / 2})
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


class _NoFilter(IdColumnCheckpointManager):
    """Tells Ray of nothing to filter: `_read` leaves out what is done."""

    def load_checkpoint(self, *_: Any, **__: Any) -> tuple[None, int]:
        return None, 0


def _done(results: _Place) -> Any:
    """Return the digests of all paths that are done, sorted, as numpy S16 [n]: 16 bytes an image. Raises DataError."""
    folder, digests = results.child("_run/done"), [np.zeros(1, "S16")]
    for name in folder.entries():
        with _storage("read", folder):
            table = parquet.read_table(folder.child(name).path, columns=["path"], filesystem=folder.filesystem)
        digests.append(_digests(table["path"].to_pylist()))
    return np.sort(np.concatenate(digests))


def _digests(paths: Iterable[str]) -> Any:
    return np.frombuffer(b"".join(blake2b(path.encode(), digest_size=16).digest() for path in paths), "S16")


def _parts(lake: Lake, batch_size: int) -> Iterator[_Part]:
    """Yield the parts of a source; a folder is listed first. Raises DataError, OutputError, UsageError."""
    items = iter(()) if lake.column else _listed(lake.images)
    for number, batch in enumerate(iter(lambda: list(islice(items, batch_size)), [])):
        file = lake.results.child(f"_run/listing/{number:08}.parquet")
        _write(file, partial(parquet.write_table, pyarrow.Table.from_pylist(batch, _ITEMS)))
        yield file, 0, 0, 0, len(batch)
    for file in () if lake.column is None else _files(lake.images, ".parquet"):
        with _storage("read", file), file.filesystem.open_input_file(file.path) as stream:
            metadata, before = parquet.ParquetFile(stream).metadata, 0
        columns = metadata.schema.to_arrow_schema().names
        if lake.column not in columns:
            raise UsageError(f"{file.shown} has no column {lake.column!r}; it has {', '.join(columns)}")
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            step = max(batch_size, -(-rows // GROUP_CUTS))
            for first in range(before, before + rows, step):
                yield file, group, before, first, min(first + step, before + rows)
            before += rows


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
        if is_folder and not name.startswith("."):
            yield from _files(place.child(name), suffix)
        elif not name.startswith(".") and name.endswith(suffix):
            yield place.child(name)


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
    (file, group, row, first, end), known, columns = part, ray.get(done), [column] if column else None
    with _storage("read", file), file.filesystem.open_input_file(file.path) as stream:
        source = parquet.ParquetFile(stream, pre_buffer=False, buffer_size=1 << 20)  # holds two pages, not a row group
        for batch in source.iter_batches(ROWS_AT_ONCE, row_groups=[group], columns=columns):
            numbers = np.arange(row, row + len(batch))
            row += len(batch)
            if row <= first:
                continue
            if column:
                paths = [f"{file.shown}#{number}".encode() for number in numbers]
                errors = [None if is_there else _NO_IMAGE for is_there in batch.column(0).is_valid().to_pylist()]
                batch = pyarrow.record_batch([paths, batch.column(0).cast(pyarrow.binary()), errors], schema=_ITEMS)
            digests = _digests(printable(os.fsdecode(path)) for path in batch["path"].to_pylist())
            is_new = known.take(np.searchsorted(known, digests), mode="clip") != digests
            is_ours = (first <= numbers) & (numbers < end)
            yield pyarrow.Table.from_batches([batch.filter(pyarrow.array(is_new & is_ours))])
            if row >= end:
                return


class Worker:
    """One process with one classifier; Ray keeps it as an actor and starts it again when its process dies."""

    def __init__(self, lake: Lake) -> None:
        self._images, self._pool = lake.images, ThreadPoolExecutor(READS_AHEAD)
        with tempfile.TemporaryDirectory() as folder:  # the model is read when the block ends
            path = Path(folder) / lake.model[0] if lake.model else None
            if lake.model and path:
                path.write_bytes(lake.model[1])
            self._classifier = Classifier(path)

    def __call__(self, items: Any) -> Iterator[Any]:
        """Yield the rows of a table of items; what is not on a disk is fetched, several at once."""
        for start in range(0, len(items), ROWS_AT_ONCE):
            each = map if self._images.is_local else self._pool.map
            sources = filter(None, each(self._source, items.slice(start, ROWS_AT_ONCE).to_pylist()))
            yield pyarrow.Table.from_pylist([*map(table_row, classify_sources(self._classifier, sources))], SCHEMA)

    def _source(self, item: dict[str, Any]) -> tuple[str, bytes | str | ImageError] | None:
        """Return path and picture or what ails it alone; None for a file that `classify -r` skips in a folder."""
        shown = os.fsdecode(item["path"])
        if item["error"]:
            return shown, ImageError(*item["error"].split(": ", 1))
        path = self._images.path + shown[len(self._images.shown) :]
        if item["image"] is not None or self._images.is_local:
            return shown, path if item["image"] is None else item["image"]
        try:
            with self._images.filesystem.open_input_file(path) as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return shown, ImageError("missing-file", "no such file")
        except _STORAGE_ERRORS as error:
            self._images.kind()  # raises DataError if the storage does not answer: that is no matter of one image
            return shown, ImageError("unreadable-file", f"cannot read the file: {_reason(error)}")
        source = content if len(content) <= MAX_FILE_BYTES else too_many_bytes()
        return (shown, source) if path == self._images.path or is_picture(path, content) else None
