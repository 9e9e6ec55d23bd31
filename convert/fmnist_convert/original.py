"""The original: a network in the file that a person brings, validated, loaded, and run as at inference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fmnist_convert.input_form import FORM_NAMES, InputForm, plausible_shapes
from fmnist_convert.validation import KerasFile, Kind, model_kind, model_sha256, read_h5_file, read_keras_archive
from fmnist_edge.errors import ModelError, UsageError
from fmnist_edge.model_info import LABELS

OutputKind: TypeAlias = Literal["probabilities", "logits", "scores"]
Answer: TypeAlias = Callable[[NDArray[Any]], NDArray[np.float32]]

_PROBE_IMAGES: Final = 32
_PHOTO_SIDE: Final = 48  # pixels; networks of RGB pictures of at least this side keep the photo contract


@dataclass(frozen=True)
class Original:
    """A classifier of ten classes as its owner trained it. Its input form is set when it was given or measured."""

    path: Path
    kind: Kind
    sha256: str
    """Of the file, or of all files of a folder."""
    record: dict[str, Any]  # what this project's training wrote into the file (recipe, seed, accuracies, ...), or {}
    input_shape: tuple[int | None, ...] | None  # of one image, as the file declares it; None where it declares nothing
    dtype: str
    """Of the input: "float32", "uint8", ..."""
    answer: Answer  # the network itself in inference mode: [n, *image] of `dtype` to float32 [n, 10]
    output: OutputKind = "probabilities"
    """What it gives: probabilities; logits (also log probabilities); or scores, ten values in 0..1 of their own."""
    model: Any = None  # the Keras model, or the TensorFlow function of a SavedModel; None for an .onnx file
    output_index: int = 0  # which of the model's outputs has the ten classes
    graph: Any = None  # the onnx.ModelProto of an .onnx file with a free batch dimension; else None
    form: InputForm | None = None
    form_name: str | None = None  # the name that --input-form gave
    notes: list[str] = field(default_factory=list)  # sentences for people on what was changed while loading

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Return the shapes of one image that it could take."""
        return plausible_shapes(self.input_shape)

    @property
    def is_photo(self) -> bool:
        """Tell whether it is a network for photos: RGB pictures of at least 48x48 pixels."""
        shape = self.input_shape or ()
        return len(shape) == 3 and shape[2] == 3 and (shape[0] or 0) >= _PHOTO_SIDE

    def float_predict(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        """Return probabilities, float32 [n, 10], for images in the network's own input form."""
        return as_probabilities(self.answer(batch), self.output)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return probabilities, float32 [n, 10], for images of the dataset, uint8 [n, 28, 28].

        Raises ValueError if the input form is not known yet.
        """
        if self.form is None:
            raise ValueError("the input form is not known: use with_measured_form first")
        if not len(images):
            return np.zeros((0, len(LABELS)), np.float32)
        return self.float_predict(self.form.apply(images))


def as_probabilities(values: NDArray[np.float32], output: OutputKind) -> NDArray[np.float32]:
    """Return what a network gives, float32 [n, 10], as probabilities."""
    if output == "probabilities":
        return values
    if output == "scores":
        return np.asarray(values / np.maximum(values.sum(axis=1, keepdims=True), 1e-12), np.float32)
    shifted = values.astype(np.float64) - values.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)


def open_original(path: Path, *, input_form: str | None = None) -> Original:
    """Validate and load a .keras or .h5 file, a SavedModel folder, or an .onnx file; no code from it is run.

    `input_form` is one of `FORM_NAMES`. Raises UsageError for another name; ModelError, with one line on what the file
    is and what to do, unless it classifies one 28x28 image into ten classes.
    """
    if input_form not in (None, *FORM_NAMES):
        raise UsageError(f"no input form {input_form!r}: choose one of {', '.join(FORM_NAMES)}")
    kind = model_kind(path)
    if kind == "onnx":
        from fmnist_convert.float_onnx import open_onnx as opened
    elif kind == "saved-model":
        from fmnist_convert.saved_model import open_saved_model as opened
    else:
        opened = _open_keras
    return opened(path, kind, model_sha256(path), input_form)


def _open_keras(path: Path, kind: Kind, sha256: str, form_name: str | None) -> Original:
    file: KerasFile = read_keras_archive(path) if kind == "keras" else read_h5_file(path)
    from fmnist_convert.keras_model import build_network, inference

    model, notes = build_network(path, file)
    if len(model.inputs) != 1:
        raise ModelError(several_inputs(path, [f"{one.name} {_shown(one.shape)}" for one in model.inputs]))
    output = ten_classes(path, [one.shape for one in model.outputs])
    answer = inference(model, output)
    shape = tuple(model.inputs[0].shape[1:])
    dtype = str(model.inputs[0].dtype)
    original = Original(
        path, kind, sha256, file.record, shape, dtype, answer, model=model, output_index=output, notes=notes
    )
    return finished(original, form_name)


def finished(original: Original, form_name: str | None) -> Original:
    """Return a loaded original with what it gives found out, and its given form. Raises ModelError."""
    if original.is_photo:
        return original
    shapes = original.shapes
    if not shapes:
        raise ModelError(
            f"{original.path} takes {_shown((None, *(original.input_shape or ())))}, which is not an image of 28x28 "
            "pixels: only [28, 28], [28, 28, 1], [1, 28, 28], [784], the same with three channels, or 32x32 convert"
        )
    original = replace(original, output=_output_kind(original, shapes[0]), form_name=form_name)
    if form_name is not None and len(shapes) == 1:
        original = replace(original, form=InputForm(form_name, shapes[0], original.dtype))
    return original


def several_inputs(path: Path, names: Sequence[str]) -> str:
    """Return the line that refuses a network of several inputs."""
    return (
        f"{path} takes {len(names)} inputs ({', '.join(names)}): only a network of one image can be converted; save "
        "the part of it that takes the image"
    )


def ten_classes(path: Path, shapes: Sequence[Sequence[int | None]]) -> int:
    """Return the first output that has ten values an image. Raises ModelError."""
    for at, shape in enumerate(shapes):
        if prod(side or 0 for side in shape[1:]) == len(LABELS):
            return at
    raise ModelError(
        f"{path} gives {' and '.join(_shown(shape) for shape in shapes)}, not ten classes: only a classifier of "
        "Fashion-MNIST's ten can be converted; train one that ends in ten values"
    )


def _shown(shape: Sequence[int | None]) -> str:
    return f"[{', '.join('batch' if not at and not s else str(s or '?') for at, s in enumerate(shape))}]"


def _output_kind(original: Original, shape: tuple[int, ...]) -> OutputKind:
    """Tell by noise images what a network gives: rows of probabilities, ten scores in 0..1, or logits."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (_PROBE_IMAGES, 28, 28)).astype(np.uint8)
    images[: _PROBE_IMAGES // 2] //= random.integers(1, 255, (_PROBE_IMAGES // 2, 1, 1)).astype(np.uint8)
    names = ("0..1", "0..255") if np.dtype(original.dtype).kind == "f" else ("0..255",)
    forms = [InputForm(name, shape, original.dtype) for name in names]
    values = np.concatenate([original.answer(form.apply(images)) for form in forms])
    values = values[np.isfinite(values).all(axis=1)]
    if (values < 0).any() or (values > 1 + 1e-3).any():
        return "logits"
    return "probabilities" if np.allclose(values.sum(axis=1), 1, atol=1e-3) else "scores"
