"""Classifier and Prediction, the public API: the embedded models, or your own, for pictures of any kind."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.errors import ImageError, ModelError, UsageError
from fmnist_edge.image_files import MAX_PIXELS, ImageSource, read_file, read_plain_png, read_stream
from fmnist_edge.images import check_batch, fit, on_dark_background
from fmnist_edge.model_info import (
    EMBEDDED_CLASSIFIER,
    EMBEDDED_PHOTO_MODEL,
    IMAGE_SIDE,
    INPUT_NAME,
    LABELS,
    OUTPUT_NAME,
    PHOTO_NAME,
    SAW_NAME,
    UNSURE,
)
from fmnist_edge.session import BoundSession, failed_run, kind_of, metadata_of, open_session

if TYPE_CHECKING:
    import PIL.Image

Route: TypeAlias = Literal["auto", "photo", "dataset"]

# Images that go through the session at once: with their hidden layer they fit a core's second cache. Measured for
# 10,000 images out of memory: 1.9 ms in parts of 1,000 or 500, 2.2 of 250, 2.3 of 5,000, 2.8 ms in one.
CHUNK: Final = 1000


@dataclass(frozen=True, eq=False, repr=False)
class Prediction:
    """The answer for one picture."""

    probabilities: NDArray[np.float32]
    """float32 [10], sums to 1, in the order of `labels`."""
    labels: tuple[str, ...] = LABELS
    """The names of the classes."""
    model: str = ""
    """The name of the model file that answered."""
    unsure_below: float = 0.0
    """The confidence, 0..1, below which the answer is unsure."""
    image: NDArray[np.uint8] | None = None
    """What the dataset classifier was given: uint8 [28, 28], the garment bright on black; None for a photo."""
    saw: NDArray[np.float32] | None = None
    """Where the photo model saw the best class: float32 [rows, columns], 0..1, over the whole photo; None for a picture
    that the dataset classifier answered."""
    first_of_several: bool = False
    """The file holds several frames (an animation, a scan of several pages); the answer is for the first."""

    @cached_property
    def index(self) -> int:
        """The number of the best class, 0..9; of equal ones the first."""
        return int(np.argmax(self.probabilities))

    @property
    def class_name(self) -> str:
        """The name of the best class, however unsure the answer is."""
        return self.labels[self.index]

    @property
    def label(self) -> str:
        """The name of the best class, or "unsure"."""
        return UNSURE if self.unsure else self.class_name

    @property
    def confidence(self) -> float:
        """The probability of the best class, 0..1."""
        return float(self.probabilities[self.index])

    @property
    def unsure(self) -> bool:
        """Whether the confidence is below `unsure_below`."""
        return self.confidence < self.unsure_below

    def top(self, count: int) -> list[tuple[int, float]]:
        """Return the `count` best classes as (index, probability), best first, ties by index."""
        if count == 1:
            return [(self.index, self.confidence)]
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(int(index), float(self.probabilities[index])) for index in order]

    def __repr__(self) -> str:
        best = f"{self.class_name!r}, confidence={self.confidence:.4f}"
        return f"Prediction({best}, unsure={self.unsure}, model={self.model!r})"


@dataclass(frozen=True)
class _Model:
    """An open model file."""

    path: Path
    session: Any
    unsure_below: float
    own: threading.local = field(default_factory=threading.local)
    """Each thread's buffers for one image."""


class Classifier:
    """Classifies pictures: those of 28x28 pixels by the dataset classifier, all others by the photo model.

    Safe to share between threads; pickles as its arguments, so every process makes sessions of its own, once.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        threads: int = 1,
        route: Route = "auto",
        max_pixels: int = MAX_PIXELS,
        unsure_below: float | None = None,
    ) -> None:
        """Open the .onnx file `model`, or the embedded models if it is None.

        `threads` (at least 1) is how many threads onnxruntime uses for one picture or batch.
        `route` "auto" gives pictures of 28x28 pixels to the dataset classifier and all others to the photo model;
        "dataset" and "photo" give every picture to one. Your own `model` has one kind and takes every picture.
        Pictures of more than `max_pixels` pixels (at least 1) are refused, see `decoding.decode`.
        `unsure_below` (0..1) is the confidence below which an answer is unsure, in place of the model's own.
        Raises ModelError if the file is missing, isn't an ONNX model, or breaks its contract; UsageError for arguments
        out of range, or a route that the model does not know.
        """
        _check_arguments(threads, route, max_pixels, unsure_below)
        self.path = Path(model) if model is not None else EMBEDDED_CLASSIFIER
        self.threads = threads
        self.max_pixels = max_pixels
        self.unsure_below = unsure_below
        self.labels: tuple[str, ...] = LABELS
        self._arguments = (None if model is None else os.fspath(model), threads, route, max_pixels, unsure_below)
        self._lock = threading.Lock()
        self._dataset: _Model | None = None
        self._photo: _Model | None = None
        self.route: Route = route
        if model is None:
            if route != "photo":  # the embedded photo model waits for the first photo
                self._dataset = self._opened(EMBEDDED_CLASSIFIER)
            return
        opened = self._opened(self.path)
        if kind_of(opened.session) == "photo":
            self.route, self._photo = "photo", opened
        else:
            self.route, self._dataset = "dataset", opened
        if route not in ("auto", self.route):
            what = "photos" if self.route == "photo" else "28x28 images"
            raise UsageError(f"{self.path} classifies {what} only; choose another model for the route '{route}'")

    def _opened(self, path: Path) -> _Model:
        session = open_session(path, threads=self.threads)
        own = self.unsure_below
        return _Model(path, session, _threshold(metadata_of(session), path) if own is None else own)

    def classify(self, image: ImageSource) -> Prediction:
        """Classify one picture: a path, bytes of an image file, a file open in binary mode, a PIL image, or an array.

        Arrays are uint8 0..255 or bool: [height, width] grey, or [height, width, channels] with 1 (grey), 2 (grey and
        alpha), 3 (RGB) or 4 (RGBA) channels; a leading dimension of 1 is dropped.
        Raises ImageError, which names the file, if it cannot be read or isn't a picture; ModelError if the model fails.
        """
        try:
            begun = self.begin(image)
        except ImageError as error:
            if (name := _name_of(image)) is None:
                raise
            raise ImageError(error.code, error.message, name) from error
        return begun if isinstance(begun, Prediction) else self.prediction(self.predict(begun[None])[0], begun)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return probabilities, float32 [n, 10], for uint8 [n, 28, 28] images as in the dataset.

        0 is the black background, 255 the brightest garment. The fast path: nothing is decoded, fitted or negated.
        Raises ImageError for any other dtype or shape, UsageError if this classifier takes photos only.
        """
        check_batch(images)
        model = self._dataset
        if model is None:
            raise UsageError("this classifier takes photos only: use classify()")
        if len(images) == 1:
            return _run_one(model, images)
        if len(images) <= CHUNK:
            return _run(model, images)
        return np.concatenate([_run(model, images[at : at + CHUNK]) for at in range(0, len(images), CHUNK)])

    def begin(self, image: ImageSource) -> NDArray[np.uint8] | Prediction:
        """Return a picture for the dataset classifier ready for `predict`, uint8 [28, 28], or the answer for a photo.

        With it, callers with many pictures run those of the dataset in batches and call `prediction` for each.
        Raises ImageError.
        """
        if isinstance(image, (str, os.PathLike)):
            image = read_file(image)
        elif hasattr(image, "read"):
            image = read_stream(cast(IO[bytes], image))
        if self.route != "photo" and self.max_pixels >= IMAGE_SIDE**2 and isinstance(image, bytes):
            pixels = read_plain_png(image)
            if pixels is not None:
                return on_dark_background(pixels)
        from fmnist_edge.decoding import decode, is_first_of_several  # not above: plain images can do without Pillow

        picture = decode(image, max_pixels=self.max_pixels)
        first = is_first_of_several(picture)
        if self.route == "photo" or (self.route == "auto" and picture.size != (IMAGE_SIDE, IMAGE_SIDE)):
            return self._classified_photo(picture, first)
        fitted = fit(picture)
        return self.prediction(self.predict(fitted[None])[0], fitted, first_of_several=True) if first else fitted

    def prediction(
        self, probabilities: NDArray[np.float32], image: NDArray[np.uint8], *, first_of_several: bool = False
    ) -> Prediction:
        """Return the Prediction for a row of what `predict` returned, float32 [10], and its image, uint8 [28, 28].

        Raises UsageError if this classifier takes photos only.
        """
        model = self._dataset
        if model is None:
            raise UsageError("this classifier takes photos only: use classify()")
        return Prediction(
            probabilities, self.labels, model.path.name, model.unsure_below, image, first_of_several=first_of_several
        )

    def _classified_photo(self, picture: PIL.Image.Image, first_of_several: bool) -> Prediction:
        model = self._photo_model()
        try:
            pixels = np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
            probabilities, saw = model.session.run([OUTPUT_NAME, SAW_NAME], {PHOTO_NAME: pixels})
        except Exception as error:
            raise failed_run(model.path, error) from error
        return Prediction(
            probabilities[0], self.labels, model.path.name, model.unsure_below, None, saw, first_of_several
        )

    def _photo_model(self) -> _Model:
        with self._lock:
            if self._photo is None:
                self._photo = self._opened(EMBEDDED_PHOTO_MODEL)
            return self._photo

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopen, self._arguments)

    def __repr__(self) -> str:
        return f"Classifier({str(self.path)!r}, threads={self.threads}, route={self.route!r})"


def _check_arguments(threads: int, route: str, max_pixels: int, unsure_below: float | None) -> None:
    """Raise UsageError for what is out of range."""
    if route not in get_args(Route):
        raise UsageError(f"route is {route!r}; choose one of {', '.join(map(repr, get_args(Route)))}")
    for name, value in (("threads", threads), ("max_pixels", max_pixels)):
        if not isinstance(value, int) or value < 1:
            raise UsageError(f"{name} is {value!r}; give a whole number of at least 1")
    if unsure_below is not None and not 0 <= unsure_below <= 1:
        raise UsageError(f"unsure_below is {unsure_below!r}; give a probability, 0..1")


def _threshold(metadata: dict[str, Any], model: Path) -> float:
    """Return the confidence below which answers are unsure, as the model's metadata have it; 0 without."""
    value = metadata.get("unsure_below", 0.0)
    if isinstance(value, (int, float)) and 0 <= value <= 1:
        return float(value)
    raise ModelError(f"{model} does not keep the contract: unsure_below is {value!r}, not a number in 0..1")


def _name_of(image: ImageSource) -> str | None:
    """Return the name of the file that an image comes from, if there is one."""
    if isinstance(image, (str, os.PathLike)):
        return str(image)
    name = getattr(image, "name", None)
    return name if isinstance(name, str) else None


def _run_one(model: _Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run one image through buffers that are bound once for each thread."""
    try:
        bound: BoundSession | None = getattr(model.own, "session", None)
        if bound is None:
            bound = model.own.session = BoundSession(model.session)
        return bound.run(images)
    except Exception as error:
        raise failed_run(model.path, error) from error


def _run(model: _Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    try:
        probabilities: NDArray[np.float32] = model.session.run([OUTPUT_NAME], {INPUT_NAME: images})[0]
    except Exception as error:
        raise failed_run(model.path, error) from error
    if len(probabilities) != len(images):
        raise failed_run(model.path, ValueError(f"{len(probabilities)} answers for {len(images)} images"))
    return probabilities


_REOPENED: Final[dict[tuple[Any, ...], Classifier]] = {}
_REOPENED_LOCK: Final = threading.Lock()


def _reopen(
    model: str | None, threads: int, route: Route, max_pixels: int, unsure_below: float | None = None
) -> Classifier:
    """Return this process's classifier for the arguments: Spark and Dask unpickle one for each task.

    The key holds the file's time and size, so that a model that was replaced is loaded anew.
    """
    status = Path(model).stat() if model is not None and os.path.exists(model) else None
    version = status and (status.st_mtime_ns, status.st_size)
    key = (model, version, threads, route, max_pixels, unsure_below)
    with _REOPENED_LOCK:
        if key not in _REOPENED:
            _REOPENED[key] = Classifier(
                model, threads=threads, route=route, max_pixels=max_pixels, unsure_below=unsure_below
            )
        return _REOPENED[key]
