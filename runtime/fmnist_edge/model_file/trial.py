"""Trying a stranger's model out before it is used: in bounded time and memory, on an empty picture."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

from fmnist_edge.contract import IMAGE_SIDE, INPUT_NAME, LABELS, MASK_NAME, MASK_SIDE, OUTPUT_NAME, PHOTO_NAME
from fmnist_edge.errors import ModelError

# The shipped models take a few milliseconds and megabytes for what is asked of them here; a large convolutional network
# may well take hundreds of megabytes for a batch.
SECONDS: Final = 10.0
MEMORY_BYTES: Final = 2**30
_GRACE: Final = 1.0  # seconds for a node to hear that it should end
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


def try_out(opened: Callable[[], Any], is_photo_model: Callable[[Any], bool], model: Path) -> None:
    """Open a session and run it once. Raises ModelError if that fails, takes too long, or gives no probabilities.

    `opened` returns a session without optimizations, which would compute with constants while it is opened.
    """
    run_options = onnxruntime.RunOptions()
    outcome: list[Any] = []

    def attempt() -> None:
        try:
            session = opened()
            outcome.append(_answers(session, is_photo_model(session), run_options))
        except Exception as error:  # handed over, below
            outcome.append(error)

    # A node that hears nothing cannot be stopped from outside, so it is left behind: a thread that no exit waits for.
    thread = threading.Thread(target=attempt, name="model-trial", daemon=True)
    thread.start()
    thread.join(SECONDS)
    if thread.is_alive():
        run_options.terminate = True
        thread.join(_GRACE)
        raise ModelError(f"{model} gives no answer within {SECONDS:g} s: it is not used")
    _judge(outcome[0], model)


def _answers(session: Any, is_photo: bool, run_options: Any) -> list[Any]:
    if is_photo:
        photo = np.zeros((*_PHOTO_SIDES, 3), np.uint8)
        return list(session.run([OUTPUT_NAME, INPUT_NAME, MASK_NAME], {PHOTO_NAME: photo}, run_options))
    images = np.zeros((_BATCH, IMAGE_SIDE, IMAGE_SIDE), np.uint8)
    return list(session.run([OUTPUT_NAME], {INPUT_NAME: images}, run_options))


def _judge(outcome: Any, model: Path) -> None:
    if isinstance(outcome, ModelError):
        raise outcome
    if isinstance(outcome, Exception):
        detail = str(outcome).splitlines()[0] if str(outcome) else type(outcome).__name__
        raise ModelError(f"{model} cannot be run: {detail}") from outcome
    shapes = [tuple(array.shape) for array in outcome]
    expected = [(_BATCH, len(LABELS))]
    if len(outcome) > 1:
        expected = [(1, len(LABELS)), (IMAGE_SIDE, IMAGE_SIDE), (MASK_SIDE, MASK_SIDE)]
    if shapes != expected:
        raise ModelError(f"{model} does not keep the contract: it answers with {shapes}, not {expected}")
    if not np.allclose(outcome[0].sum(axis=1), 1, atol=1e-3) or (outcome[0] < 0).any():
        raise ModelError(f"{model} does not keep the contract: its answers are no probabilities")
