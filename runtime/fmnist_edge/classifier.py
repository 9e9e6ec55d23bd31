"""The classifier: the models behind a small, checked interface that takes any picture."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fmnist_edge.contract import (
    IMAGE_SIDE,
    INPUT_NAME,
    LABELS,
    MASK_NAME,
    OUTPUT_NAME,
    PHOTO_MAX_SIDE,
    PHOTO_NAME,
)
from fmnist_edge.errors import ImageError, ModelError, UsageError
from fmnist_edge.fast_png import read_plain_png
from fmnist_edge.image_files import MAX_PIXELS, read_file
from fmnist_edge.images import ImageSource, fit, on_dark
from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, EMBEDDED_PHOTO_MODEL
from fmnist_edge.session import BoundSession, facts_of, failed_run, kind_of, open_session

if TYPE_CHECKING:
    import PIL.Image

Route: TypeAlias = Literal["auto", "photo", "dataset"]

# Images that go through the session at once: with their hidden layer they fit a core's second cache. Measured for
# 10,000 images out of memory: 1.9 ms in parts of 1,000 or 500, 2.2 of 250, 2.3 of 5,000, 2.8 ms in one.
CHUNK: Final = 1000


class Classifier:
    """Classifies images: those of the dataset's form by the classifier, all others by the photo model.

    Safe to share between threads; pickles as its arguments, so every process makes sessions of its own, once.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        threads: int = 1,
        route: Route = "auto",
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        """Open `model`, or both embedded ones, with `threads` onnxruntime threads.

        `route` "auto" takes 28x28 grey pictures for images of the dataset and all others for photos; "photo" and
        "dataset" take all for one. A `model` of one kind knows one route only. Pictures of more than `max_pixels`
        are refused (see `decode`).
        Raises ModelError if the file is missing, is no ONNX model, or breaks its contract; UsageError for a route
        that the model does not know.
        """
        self.path = Path(model) if model is not None else EMBEDDED_CLASSIFIER
        self.threads = threads
        self.max_pixels = max_pixels
        self.labels: tuple[str, ...] = LABELS
        self._arguments = (model, threads, route, max_pixels)
        self._lock = threading.Lock()
        self._photo_model: PhotoModel | None = None
        self._session: Any = None
        self._outputs = [OUTPUT_NAME]
        self._bound = threading.local()
        self.route = self._open(model, route)

    def _open(self, model: str | os.PathLike[str] | None, route: Route) -> Route:
        """Open what the route needs at once; the embedded photo model waits for the first photo."""
        session = open_session(self.path, threads=self.threads) if model is not None or route != "photo" else None
        if model is None:
            self._session = session
            return route
        only: Route = "photo" if kind_of(session) == "photo" else "dataset"
        if route not in ("auto", only):
            raise UsageError(f"{self.path} classifies {_WHAT[only]} only; choose another model for the route '{route}'")
        if only == "photo":
            self._photo_model = PhotoModel(self.path, threads=self.threads, session=session)
        else:
            self._session = session
        return only

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return probabilities, float32 [n, 10], for uint8 [n, 28, 28] images as in the dataset.

        0 is the black ground, 255 the brightest garment. Raises ImageError for any other dtype or shape, UsageError
        if this classifier takes photos only.
        """
        if (
            not isinstance(images, np.ndarray)
            or images.dtype != np.uint8
            or images.ndim != 3
            or images.shape[1:] != (IMAGE_SIDE, IMAGE_SIDE)
        ):
            raise _wrong_array(images)
        if self._session is None:
            raise UsageError("this classifier takes photos only: use classify()")
        if len(images) == 1:
            return self._run_one(images)
        if len(images) <= CHUNK:
            return self._run(images)
        return np.concatenate([self._run(images[at : at + CHUNK]) for at in range(0, len(images), CHUNK)])

    def _run_one(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            return self._bound_session().run(images)
        except Exception as error:
            raise failed_run(self.path, error) from error

    def _run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            probabilities: NDArray[np.float32] = self._session.run(self._outputs, {INPUT_NAME: images})[0]
        except Exception as error:
            raise failed_run(self.path, error) from error
        if len(probabilities) != len(images):
            raise failed_run(self.path, ValueError(f"{len(probabilities)} answers for {len(images)} images"))
        return probabilities

    def classify(self, image: ImageSource) -> Prediction:
        """Classify one image: a path, the bytes of an image file, a PIL image, or an array.

        Arrays are uint8 [height, width] grey or [height, width, 3] RGB, 0..255.
        Raises ImageError if it cannot be read or is no picture.
        """
        begun = self.begin(image)
        if isinstance(begun, Prediction):
            return begun
        return Prediction(self.predict(begun[None])[0], self.labels, begun)

    def begin(self, image: ImageSource) -> NDArray[np.uint8] | Prediction:
        """Return an image of the dataset ready for `predict`, uint8 [28, 28], or the answer for any other picture.

        So that callers with many images can run those of the dataset in batches. Raises ImageError.
        """
        if isinstance(image, (str, os.PathLike)):
            image = read_file(image)
        if self.route != "photo" and self.max_pixels >= IMAGE_SIDE**2 and isinstance(image, bytes):
            pixels = read_plain_png(image)
            if pixels is not None:
                return on_dark(pixels)
        from fmnist_edge.decoding import decode, is_first_of_several  # not above: plain images can do without Pillow

        picture = decode(image, max_pixels=self.max_pixels)
        first = is_first_of_several(picture)
        if self.route == "dataset" or (self.route == "auto" and looks_like_the_dataset(picture)):
            fitted = fit(picture)
            return Prediction(self.predict(fitted[None])[0], self.labels, fitted, None, 0.0, first) if first else fitted
        prediction = self._photos().classify(np.asarray(picture.convert("RGB")))
        return replace(prediction, first_of_several=True) if first else prediction

    def _bound_session(self) -> BoundSession:
        """Return this thread's buffers for one image."""
        try:
            bound: BoundSession = self._bound.session
        except AttributeError:
            bound = self._bound.session = BoundSession(self._session)
        return bound

    def _photos(self) -> PhotoModel:
        with self._lock:
            if self._photo_model is None:
                self._photo_model = PhotoModel(EMBEDDED_PHOTO_MODEL, threads=self.threads)
            return self._photo_model

    def __reduce__(self) -> tuple[Any, ...]:
        return (_reopen, self._arguments)

    def __repr__(self) -> str:
        return f"Classifier({str(self.path)!r}, threads={self.threads}, route={self.route!r})"


_WHAT = {"photo": "photos", "dataset": "28x28 images"}


def looks_like_the_dataset(picture: PIL.Image.Image) -> bool:
    """Tell whether a decoded picture has the dataset's form: 28x28 pixels without colour."""
    if picture.size != (IMAGE_SIDE, IMAGE_SIDE):
        return False
    if picture.mode == "L":
        return True
    channels = np.asarray(picture)
    return bool((channels == channels[..., :1]).all())


_REVIVED: Final[dict[tuple[Any, ...], Classifier]] = {}
_REVIVED_LOCK: Final = threading.Lock()


def _reopen(model: str | os.PathLike[str] | None, threads: int, route: Route, max_pixels: int) -> Classifier:
    """Return this process's classifier for the arguments: Spark and Dask unpickle one for each task.

    The key holds the file's time and size, so that a model that was replaced is loaded anew.
    """
    status = Path(model).stat() if model is not None and Path(model).exists() else None
    key = (model and os.fspath(model), status and (status.st_mtime_ns, status.st_size), threads, route, max_pixels)
    with _REVIVED_LOCK:
        if key not in _REVIVED:
            _REVIVED[key] = Classifier(model, threads=threads, route=route, max_pixels=max_pixels)
        return _REVIVED[key]


def _wrong_array(images: object) -> ImageError:
    """Say what is wrong with an array and how to mend it."""
    if not isinstance(images, np.ndarray):
        return ImageError("wrong-type", f"expected a numpy array, got {type(images).__name__}")
    if images.ndim == 2 and images.shape == (IMAGE_SIDE, IMAGE_SIDE):
        hint = "add a batch dimension: images[None]"
    elif images.ndim == 4 and images.shape[1:] == (IMAGE_SIDE, IMAGE_SIDE, 1):
        hint = "drop the channel dimension: images[..., 0]"
    elif images.dtype != np.uint8 and np.issubdtype(images.dtype, np.floating):
        hint = "pass grey levels 0..255, as (images * 255).astype(numpy.uint8) if yours lie in 0..1; the model scales"
    elif images.dtype != np.uint8:
        hint = "convert with images.astype(numpy.uint8) if the values lie in 0..255"
    else:
        hint = "fit the images to 28x28 first, or use classify()"
    return ImageError("wrong-array", f"expected uint8 [n, 28, 28], got {images.dtype} {list(images.shape)}; {hint}")


class PhotoModel:
    """Classifies photos with an .onnx file that keeps the photo contract. Safe to share between threads."""

    def __init__(self, model: Path = EMBEDDED_PHOTO_MODEL, *, threads: int = 1, session: Any = None) -> None:
        """Open `model` with `threads` onnxruntime threads, or take its `session` if it is open.

        Raises ModelError if it is no photo model.
        """
        self._path = model
        self._session = open_session(model, threads=threads) if session is None else session
        if kind_of(self._session) != "photo":
            raise ModelError(f"{model} is a classifier of 28x28 images, not a photo model")
        self.threshold = _threshold(facts_of(self._session).get("unsure_below", 0.0), model)

    def classify(self, photo: NDArray[np.uint8]) -> Prediction:
        """Classify a photo, uint8 [height, width, 3] RGB, 0..255, with sides of 1..1024 pixels.

        Raises ImageError for any other dtype or shape.
        """
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or 0 in photo.shape:
            found = f"{photo.dtype} {list(photo.shape)}"
            raise ImageError("wrong-array", f"expected a photo as uint8 [height, width, 3], got {found}")
        if max(photo.shape) > PHOTO_MAX_SIDE:
            limit = f"reduce its long side to {PHOTO_MAX_SIDE} pixels or fewer"
            raise ImageError("too-large", f"a photo of {photo.shape[1]}x{photo.shape[0]}: {limit}")
        try:
            outputs = self._session.run([OUTPUT_NAME, INPUT_NAME, MASK_NAME], {PHOTO_NAME: photo})
        except Exception as error:
            raise failed_run(self._path, error) from error
        return Prediction(outputs[0][0], LABELS, outputs[1], outputs[2], self.threshold)


def _threshold(value: object, model: Path) -> float:
    """Return the confidence below which answers are unsure, as the model's metadata have it."""
    if isinstance(value, (int, float)) and 0 <= value <= 1:
        return float(value)
    raise ModelError(f"{model} does not keep the contract: unsure_below is {value!r}, no number in 0..1")


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer for one image."""

    probabilities: NDArray[np.float32]
    """float32 [10], sums to 1, in the order of `LABELS`."""
    labels: tuple[str, ...] = LABELS
    """The names of the classes."""
    image: NDArray[np.uint8] | None = None
    """What the network saw: uint8 [28, 28], the garment bright on black."""
    mask: NDArray[np.uint8] | None = None
    """Of a photo, where the garment was found: uint8 [96, 96] over the whole photo; None for a dataset image."""
    threshold: float = 0.0
    """The confidence below which the model's makers call its answer unsure, 0..1; 0 for dataset images."""
    first_of_several: bool = False
    """The file holds several frames (an animation, a scan of several pages); the answer is for the first."""

    @cached_property
    def index(self) -> int:
        """The number of the best class, 0..9; of equal ones the first."""
        return int(np.argmax(self.probabilities))

    @property
    def label(self) -> str:
        """The name of the best class."""
        return self.labels[self.index]

    @property
    def confidence(self) -> float:
        """The probability of the best class, 0..1."""
        return float(self.probabilities[self.index])

    def top(self, count: int) -> list[tuple[int, float]]:
        """Return the `count` best classes as (index, probability), best first, ties by index."""
        if count == 1:
            return [(self.index, self.confidence)]
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(int(index), float(self.probabilities[index])) for index in order]
