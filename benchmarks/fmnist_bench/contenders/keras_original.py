"""The Keras original: as the tutorial runs it, called, and traced."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from fmnist_bench.contenders.opened import Opened

# Images in a step of `predict`, where there are many: its default of 32 would be several times slower.
BATCH: Final = 1000


def predicted(model: Path, threads: int) -> Opened:
    """Open for `model.predict`, what the tutorial does."""
    original = _load(model, threads)
    return Opened(
        lambda images: original.predict(images, verbose=0),
        lambda images: original.predict(images, batch_size=BATCH, verbose=0),
    )


def called(model: Path, threads: int) -> Opened:
    """Open for `model(x)`."""
    original = _load(model, threads)

    def run(images: Any) -> Any:
        return original(images).numpy()

    return Opened(run, run)


def traced(model: Path, threads: int) -> Opened:
    """Open for a tf.function around the model."""
    original = _load(model, threads)
    import tensorflow as tf

    function = tf.function(original, input_signature=[tf.TensorSpec((None, 28, 28), tf.uint8)])

    def run(images: Any) -> Any:
        return function(images).numpy()

    return Opened(run, run)


_loaded: dict[tuple[Path, int], Any] = {}


def _load(model: Path, threads: int) -> Any:
    """Load the file, once a process; TensorFlow takes its number of threads but once, too."""
    if (model, threads) not in _loaded:
        import tensorflow as tf
        from keras.saving import load_model

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        _loaded[model, threads] = load_model(model, compile=False)
    return _loaded[model, threads]
