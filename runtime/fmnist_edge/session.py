"""The onnxruntime session: opening one, a smoke test of models that users bring, refusing what breaks the contracts."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

# onnxruntime's official builds report usage (its Privacy.md); a classifier at the edge must not, unless asked to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.errors import ModelError
from fmnist_edge.model_info import (
    EMBEDDED_CLASSIFIER,
    EMBEDDED_PHOTO_MODEL,
    IMAGE_SIDE,
    INPUT_NAME,
    LABELS,
    OUTPUT_NAME,
    PHOTO_NAME,
    SAW_NAME,
    decode_metadata,
    read_model,
    sha256_of,
)


@contextmanager
def quiet_onnxruntime() -> Iterator[None]:
    """Drop one line from what is printed on standard error while onnxruntime is imported in this block.

    Where a graphics card isn't a PCI device (Raspberry Pi, Jetson, WSL, virtual machines), onnxruntime 1.23 and 1.24
    warn of it before any setting can stop them, and people take it for a failure. Everything else is printed when the
    block ends.
    """
    try:
        kept, held = os.dup(2), os.memfd_create("stderr")
    except (OSError, AttributeError):  # it is closed, or this is not Linux, where the warning comes from
        yield
        return
    _flush_standard_error()
    os.dup2(held, 2)
    try:
        yield
    finally:
        _flush_standard_error()
        os.dup2(kept, 2)
        with os.fdopen(held, "rb") as file, suppress(OSError):  # standard error is a closed pipe
            file.seek(0)
            os.write(2, b"".join(line for line in file if b"GPU device discovery failed" not in line))
        os.close(kept)


def _flush_standard_error() -> None:
    if sys.stderr:
        sys.stderr.flush()


with quiet_onnxruntime():
    import onnxruntime

Kind: TypeAlias = Literal["classifier", "photo"]

_IMAGE: Final = (INPUT_NAME, "tensor(uint8)", (None, IMAGE_SIDE, IMAGE_SIDE))
_PHOTO: Final = (PHOTO_NAME, "tensor(uint8)", (None, None, 3))
_OUTPUTS: Final[dict[Kind, list[tuple[str, str, tuple[int | None, ...]]]]] = {
    "classifier": [(OUTPUT_NAME, "tensor(float)", (None, len(LABELS)))],
    "photo": [(OUTPUT_NAME, "tensor(float)", (1, len(LABELS))), (SAW_NAME, "tensor(float)", (None, None))],
}


def open_session(model: Path, *, threads: int = 1, optimized: bool = True) -> Any:
    """Return an onnxruntime InferenceSession on the CPU for a classifier or photo model file.

    `optimized=False` turns graph optimizations off, which the parity gate measures as well. A file that did not come
    with this package is validated and smoke-tested first; one in onnxruntime's own format, `.ort`, which a deploy kit
    may hold, cannot be validated.
    Raises ModelError if the file is missing, isn't an ONNX model, breaks its contract, or fails the smoke test.
    """
    options = _options(threads, optimized)
    if model in (EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL):
        return _opened(read_model(model), options, model)
    from fmnist_edge.onnx_reader import model_bytes, validated_content  # not above: the shipped models need neither

    own_format = model.suffix == ".ort"
    content = model_bytes(model) if own_format else validated_content(model)
    plain = _options(1, optimized=False)  # optimizations would compute with constants while the session is opened
    for one in (plain, options):
        # The name decides, so that nothing hides from validation in an .onnx file.
        one.add_session_config_entry("session.load_model_format", "ORT" if own_format else "ONNX")
        limit_memory(one)
    _smoke_test(content, plain, model)
    return _opened(content, options, model)


def _options(threads: int, optimized: bool) -> Any:
    options = session_options(threads)
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _opened(content: bytes, options: Any, model: Path) -> Any:
    """Return a session whose inputs, outputs and labels are those of a contract. Raises ModelError."""
    try:
        session = onnxruntime.InferenceSession(content, sess_options=options, providers=["CPUExecutionProvider"])
        _check_contract(session, model)
    except ModelError:
        raise
    except Exception as error:  # onnxruntime raises a dozen types of its own, with no common base
        raise ModelError(f"{model} is not a model that onnxruntime can load: {_first_line(error)}") from error
    return session


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def session_options(threads: int = 1) -> Any:
    """Return onnxruntime's options for `threads` threads, and no log lines: errors come as exceptions."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return options


def kind_of(session: Any) -> Kind:
    """Tell which contract an open session keeps."""
    return "photo" if session.get_inputs()[0].name == PHOTO_NAME else "classifier"


def failed_run(model: Path, error: Exception) -> ModelError:
    """Return what to raise when onnxruntime cannot run a model that it could load, as for want of memory."""
    return ModelError(f"{model} cannot be run: {_first_line(error)}")


def metadata_of(session: Any) -> dict[str, Any]:
    """Return the decoded metadata of a model."""
    return decode_metadata(session.get_modelmeta().custom_metadata_map)


def _check_contract(session: Any, model: Path) -> None:
    """Raise ModelError unless inputs, outputs and labels are those of a classifier or of a photo model."""
    inputs = [_signature(node) for node in session.get_inputs()]
    outputs = [_signature(node) for node in session.get_outputs()]
    if inputs not in ([_IMAGE], [_PHOTO]):
        raise _breaks(model, f"its inputs are {inputs}, neither {_IMAGE} nor {_PHOTO}")
    missing = [output for output in _OUTPUTS[kind_of(session)] if output not in outputs]
    if missing:
        raise _breaks(model, f"its outputs are {outputs}, without {missing}")
    labels = metadata_of(session).get("labels")
    if labels != list(LABELS):
        raise _breaks(model, f"its labels are {labels}, not those of Fashion-MNIST")


def _signature(node: Any) -> tuple[str, str, tuple[int | None, ...]]:
    """Return name, element type and shape of an input or output; a free dimension is None."""
    return node.name, node.type, tuple(side if isinstance(side, int) else None for side in node.shape)


def _breaks(model: Path, what: str) -> ModelError:
    return ModelError(
        f"{model} does not keep the contract: {what}; `fmnist-edge convert {model} -o DIR` makes one that does"
    )


# The shipped models take a few milliseconds and megabytes for what is asked of them here; a large convolutional network
# may well take hundreds of megabytes for a batch.
SECONDS: Final = 10.0
MEMORY_BYTES: Final = 2**30
_GRACE: Final = 1.0  # seconds that a node gets to end when it is told to
_BATCH: Final = 2
_PHOTO_SIDES: Final = (48, 64)

_lock = threading.Lock()
_registered = False


def limit_memory(options: Any) -> None:
    """Make a session take its memory from a store that holds MEMORY_BYTES and no more (one for the whole process)."""
    global _registered
    with _lock:
        if not _registered:
            store = onnxruntime.OrtMemoryInfo(
                "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
            )
            # Strategy 1 takes what is asked for; the other doubles, and would end at half of the limit.
            settings = onnxruntime.OrtArenaCfg({"max_mem": MEMORY_BYTES, "arena_extend_strategy": 1})
            onnxruntime.create_and_register_allocator(store, settings)
            _registered = True
    options.add_session_config_entry("session.use_env_allocators", "1")


def _smoke_test(content: bytes, options: Any, model: Path) -> None:
    """Open a session and run it once. Raises ModelError if that fails, takes too long, or gives no probabilities."""
    run_options = onnxruntime.RunOptions()
    outcome: list[list[Any] | Exception] = []

    def attempt() -> None:
        try:
            outcome.append(_answers(_opened(content, options, model), run_options))
        except Exception as error:  # raised below, in the caller's thread
            outcome.append(error)

    # A node that ignores `terminate` cannot be stopped: it is left behind in a thread that no exit waits for.
    thread = threading.Thread(target=attempt, name="model-smoke-test", daemon=True)
    thread.start()
    thread.join(SECONDS)
    if thread.is_alive():
        run_options.terminate = True
        thread.join(_GRACE)
        raise ModelError(f"{model} gives no answer within {SECONDS:g} s: it is not used")
    if isinstance(outcome[0], ModelError):
        raise outcome[0]
    if isinstance(outcome[0], Exception):
        raise failed_run(model, outcome[0]) from outcome[0]
    _check_answers(outcome[0], model)


def _answers(session: Any, run_options: Any) -> list[Any]:
    if kind_of(session) == "photo":
        photo = np.zeros((*_PHOTO_SIDES, 3), np.uint8)
        return list(session.run([OUTPUT_NAME, SAW_NAME], {PHOTO_NAME: photo}, run_options))
    images = np.zeros((_BATCH, IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    return list(session.run([OUTPUT_NAME], {INPUT_NAME: images}, run_options))


def _check_answers(answers: list[Any], model: Path) -> None:
    """Raise ModelError unless the answers are probabilities, with a map where it is a photo model."""
    fault, expected = None, (1 if len(answers) > 1 else _BATCH, len(LABELS))
    if answers[0].shape != expected:
        fault = f"it answers with {answers[0].shape}, not {expected}"
    elif any(array.ndim != 2 or array.size == 0 for array in answers):
        fault = f"its map of what it saw is {answers[1].shape}"
    elif not np.allclose(answers[0].sum(axis=1), 1, atol=1e-3) or (answers[0] < 0).any():
        fault = "its answers are not probabilities"
    if fault:
        raise ModelError(f"{model} does not keep the contract: {fault}")


class BoundSession:
    """A classifier's session with memory for one image and one answer. Not to be shared between threads."""

    def __init__(self, session: Any) -> None:
        self._run = session.run_with_iobinding
        self._image = np.zeros((1, IMAGE_SIDE, IMAGE_SIDE), np.uint8)
        self._probabilities = np.zeros((1, len(LABELS)), np.float32)
        self._binding = session.io_binding()
        for bind, name, array in (
            (self._binding.bind_input, INPUT_NAME, self._image),
            (self._binding.bind_output, OUTPUT_NAME, self._probabilities),
        ):
            bind(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

    def run(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities, float32 [1, 10], for an image, uint8 [1, 28, 28]."""
        np.copyto(self._image, image)
        self._run(self._binding)
        return self._probabilities.copy()


def inspect_model(model: Path | None = None) -> dict[str, Any]:
    """Return path, bytes, SHA-256 and the metadata of a model file (the embedded classifier by default).

    Raises ModelError if it is missing or breaks the contract.
    """
    path = model or EMBEDDED_CLASSIFIER
    metadata = metadata_of(open_session(path))
    first = [key for key in ("name", "version", "kind", "precision") if key in metadata]
    return {
        "file": str(path),
        "bytes": len(read_model(path)),
        "sha256": sha256_of(path),
        **{key: metadata[key] for key in (*first, *sorted(metadata.keys() - set(first)))},
    }
