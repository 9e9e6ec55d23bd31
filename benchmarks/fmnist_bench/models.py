"""The model files of the backends, made from one original, once, in the user's cache; and what they were run on.

`python -m fmnist_bench.models ORIGINAL FOLDER` makes the files.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from fmnist_bench import environment
from fmnist_bench.backends import BACKENDS, FORM, FP32, INT8, KERAS, LITERT_FP32, LITERT_INT8, WEIGHTS
from fmnist_edge import LABELS, ModelError, __version__
from fmnist_edge.dataset import load_split, user_cache
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, read_side_json, sha256_of

if TYPE_CHECKING:
    from fmnist_convert.original import Original

_REFERENCE: Final = "original.npy"  # the original's probabilities of the test images, float32 [10000, 10]
_RECORD: Final = "prepared.json"  # written last: a folder without it is made again
_COMMITTED: Final = Path(__file__).parents[2] / "train" / "artifacts" / "fmnist-mlp.keras"
# LiteRT's guide to post-training quantization asks for 100 to 500; these are training images, never test ones.
_CALIBRATION_IMAGES: Final = 1000
# Flags that determine how fast these networks run (x86: SDM volume 2; arm64: the kernel's elf_hwcaps).
_FLAGS: Final = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm", "sve", "sme")
_PACKAGES: Final = (
    *("numpy", "onnxruntime", "pillow", "tensorflow", "keras", "onnx", "tf2onnx"),
    *("ai-edge-litert", "openvino", "pytest-benchmark"),
)


@dataclass(frozen=True)
class Prepared:
    """The files to open the backends with."""

    int8: Path = EMBEDDED_CLASSIFIER  # the int8 .onnx file that is measured
    original: Path | None = None
    folder: Path = Path()

    def file(self, key: str) -> Path:
        """Return the model file of a backend; raises LookupError that says why there is none."""
        backend = BACKENDS[key]
        if backend.missing():
            raise LookupError(f"{backend.needs} is not installed")
        if backend.file == INT8:
            return self.int8
        if self.original is None:
            raise LookupError("needs the original: give --original")
        missing: dict[str, str] = json.loads((self.folder / _RECORD).read_bytes())
        if backend.file in missing:
            raise LookupError(missing[backend.file])
        return self.folder / backend.file

    def parity(self, answers: NDArray[np.float32]) -> dict[str, Any]:
        """Compare answers to the test images, float32 [10000, 10], with the original's; {} without an original."""
        if self.original is None:
            return {}
        from fmnist_convert.original import as_probabilities
        from fmnist_convert.parity import measure_parity

        if np.abs(answers.sum(axis=1) - 1).max() > 0.1:  # a Keras model that ends in logits
            answers = as_probabilities(answers, "logits")
        return measure_parity(answers, np.load(self.folder / _REFERENCE), load_split("test").labels).figures()

    def about(self, load_before: float | None) -> dict[str, Any]:
        """Return what a report says in addition to times."""
        missing = {}
        for key, backend in BACKENDS.items():
            try:
                self.file(key)
            except LookupError as error:
                missing[backend.title] = str(error)
        model = {"name": self.int8.name, "bytes": self.int8.stat().st_size, "sha256": sha256_of(self.int8)}
        loads = [load_before, load_average()]
        return {"model": model, "missing": missing, "machine": machine(), "versions": versions(), "load": loads}


def prepare(original: Path | None = None, model: Path | None = None) -> Prepared:
    """Make the files from `original`, unless the cache has them; `model` is the int8 file made from it.

    By default, that is the shipped file and the checkout's original. Raises ModelError for a file that is missing or
    can't be prepared, and for an original that the shipped file was not made from.
    """
    for path in (original, model):
        if path is not None and not path.exists():
            raise ModelError(f"no model at {path}")
    if original is None and model is None and _COMMITTED.is_file():
        original = _COMMITTED
    if original is None:
        return Prepared(model or EMBEDDED_CLASSIFIER)
    made_from = read_side_json(EMBEDDED_CLASSIFIER)["original"]["sha256"]
    if model is None and (original.is_dir() or sha256_of(original) != made_from):
        raise ModelError(f"{EMBEDDED_CLASSIFIER.name} was not made from {original}: give --model, the file that was")
    folder = _folder(original)
    if not (folder / _RECORD).is_file():
        _make_apart(original, folder)
    return Prepared(model or EMBEDDED_CLASSIFIER, original, folder)


def _folder(original: Path) -> Path:
    """Return the cache folder for an original and for the versions of what makes its files."""
    files = sorted(original.rglob("*")) if original.is_dir() else [original]
    content = b"".join(file.read_bytes() for file in files if file.is_file())
    key = hashlib.sha256(repr(versions()).encode() + Path(__file__).read_bytes() + content).hexdigest()[:16]
    return (user_cache() or Path(tempfile.gettempdir()) / "fmnist-edge") / "bench" / key


def _make_apart(original: Path, folder: Path) -> None:
    """Make the files in a separate process: TensorFlow takes half a gigabyte and logs to standard error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        command = [sys.executable, "-m", "fmnist_bench.models", str(original), f"{scratch}/made"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
        if done.returncode != 0:
            raise ModelError(f"cannot prepare {original}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
        shutil.rmtree(folder, ignore_errors=True)
        Path(scratch, "made").rename(folder)


def make(path: Path, folder: Path) -> None:
    """Write every backend's file for the original at `path`, and for those that can't be made, the reason."""
    from fmnist_convert.export import export_fp32
    from fmnist_convert.input_form import with_measured_form
    from fmnist_convert.original import open_original

    folder.mkdir()
    original, _ = with_measured_form(open_original(path), load_split("train"))
    np.save(folder / _REFERENCE, original.predict(load_split("test").images))
    (folder / FORM).write_text(json.dumps(vars(original.form)), encoding="utf-8")

    def fp32() -> None:
        exported = export_fp32(original)
        entry = exported.metadata_props.add()
        entry.key, entry.value = "labels", json.dumps(LABELS)
        (folder / FP32).write_bytes(exported.SerializeToString())

    steps: dict[str, Callable[[], object]] = {
        FP32: fp32,
        KERAS: lambda: original.model.save(folder / KERAS),
        WEIGHTS: lambda: _write_weights(original, folder / WEIGHTS),
        LITERT_FP32: lambda: (folder / LITERT_FP32).write_bytes(_litert(original, int8=False)),
        LITERT_INT8: lambda: (folder / LITERT_INT8).write_bytes(_litert(original, int8=True)),
    }
    missing = {}
    for name, step in steps.items():
        try:
            step()
        except Exception as error:  # each converter raises errors of its own; the other backends don't need this file
            missing[name] = f"no {name}: {(str(error).strip() or repr(error)).splitlines()[0]}"
    (folder / _RECORD).write_text(json.dumps(missing), encoding="utf-8")


def _of_unit_images(original: Original) -> tuple[list[Any], float, float]:
    """Return a Keras model's layers without its own scaling, and the scale and offset for images in 0..1."""
    if not hasattr(original.model, "layers") or original.form is None or original.form.padding:
        raise ValueError(f"{original.path.name} isn't a Keras model of 28x28 images")
    layers = [layer for layer in original.model.layers if type(layer).__name__ != "InputLayer"]
    scale, offset = original.form.scale
    if type(layers[0]).__name__ == "Rescaling":
        own = layers.pop(0)
        scale, offset = scale * float(own.scale), offset * float(own.scale) + float(own.offset)
    return layers, 255 * scale, offset


def _write_weights(original: Original, target: Path) -> None:
    """Write kernels and biases, for images in 0..1, of a chain of dense layers with ReLU between them."""
    layers, scale, offset = _of_unit_images(original)
    dense = [layer for layer in layers if layer.count_params()]
    others = {type(layer).__name__ for layer in layers} - {"Flatten", "Reshape", "Dropout", "Dense", "Softmax"}
    if others or {layer.activation.__name__ for layer in dense[:-1]} - {"relu"}:
        raise ValueError("the network is not a chain of dense layers with ReLU")
    arrays = {}
    for at, layer in enumerate(dense):
        arrays[f"kernel{at}"], arrays[f"bias{at}"] = layer.get_weights()
    arrays["bias0"] = arrays["bias0"] + offset * arrays["kernel0"].sum(axis=0)
    arrays["kernel0"] = scale * arrays["kernel0"]
    np.savez(target, **arrays)


def _litert(original: Original, *, int8: bool) -> bytes:
    """Convert as LiteRT's guide says, for float images in 0..1, so that the int8 file can take uint8 images."""
    from fmnist_convert.backend import keras, tf

    layers, scale, offset = _of_unit_images(original)
    assert original.form is not None
    image = answer = keras.Input((28, 28), dtype="float32")
    if (round(scale, 6), offset) != (1.0, 0.0):
        answer = keras.layers.Rescaling(scale, offset)(answer)
    answer = keras.layers.Reshape(original.form.shape)(answer)
    for layer in layers:
        answer = layer(answer)
    if original.output == "logits":
        answer = keras.layers.Softmax()(answer)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(image, answer))
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = _calibration
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.float32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content: bytes = converter.convert()
    return content


def _calibration() -> Iterator[list[Any]]:
    for image in load_split("train").images[:_CALIBRATION_IMAGES]:
        yield [image[None].astype(np.float32) / 255]


def load_average() -> float | None:
    """Return the load average of the last minute; None if the system has none."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def machine() -> dict[str, Any]:
    """Return the CPU's name and what determines its speed, from py-cpuinfo if it is installed."""
    try:
        from cpuinfo import get_cpu_info

        known = get_cpu_info()
    except ModuleNotFoundError:
        known = {}
    return {
        "cpu": known.get("brand_raw") or platform.processor() or platform.machine(),
        "instruction_sets": [flag for flag in _FLAGS if flag in known.get("flags", ())],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that are measured."""
    found = {"python": platform.python_version(), "fmnist-edge": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]))
