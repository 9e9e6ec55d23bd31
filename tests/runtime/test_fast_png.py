"""The short way to the pixels of a dataset's PNG: it is taken, it gives Pillow's bits, and it leaves all else alone."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fmnist_edge import Classifier, ImageError, image_files
from fmnist_edge.image_files import read_plain_png
from fmnist_edge.images import load_image, on_dark_background

IMAGES = arrays(np.uint8, (28, 28))


def png(image: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(np.asarray(image)).save(file, "PNG", **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_rows(rows: bytes) -> bytes:
    """Return a PNG of 28x28 grey pixels whose filtered rows are these bytes."""
    header = struct.pack(">IIBBBBB", 28, 28, 8, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@settings(max_examples=60)
@given(IMAGES, st.integers(0, 9))
def test_the_short_way_is_taken_and_gives_every_pixel(image: np.ndarray, level: int) -> None:
    found = read_plain_png(png(image, compress_level=level))
    assert found is not None, "this Pillow has changed: every file takes the long way"
    assert np.array_equal(found, image)


@settings(max_examples=40)
@given(arrays(np.uint8, (28, 29)), st.integers(0, 4))
def test_every_filter_of_png_is_undone_as_pillow_does(rows: np.ndarray, kind: int) -> None:
    rows[:, 0] = kind
    data = with_rows(rows.tobytes())
    with PIL.Image.open(io.BytesIO(data)) as picture:
        expected = np.asarray(picture)
    assert np.array_equal(read_plain_png(data), expected)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        png(np.zeros((28, 27), np.uint8)),
        png(np.zeros((28, 28, 3), np.uint8)),
        png(np.zeros((28, 28), np.uint8), transparency=0),
        png(np.zeros((28, 28), np.uint8), dpi=(72, 72)),
        png(np.zeros((28, 28), np.uint8))[:-20],
        png(np.zeros((28, 28), np.uint8)) + b"more",
        with_rows(bytes(28 * 29))[:-40] + with_rows(bytes(28 * 29))[-12:],
        with_rows(b"\x05" * (28 * 29)),
    ],
    ids=["empty", "size", "colour", "transparent", "resolution", "cut", "more", "chunk", "filter"],
)
def test_other_files_are_left_to_the_long_way(data: bytes) -> None:
    assert read_plain_png(data) is None


def test_with_a_pillow_that_lacks_the_calls_every_file_takes_the_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    data = png(np.zeros((28, 28), np.uint8))
    assert read_plain_png(data) is not None
    monkeypatch.setattr(image_files, "_imaging", object())
    assert read_plain_png(data) is None


@settings(max_examples=60)
@given(st.binary(max_size=12), st.integers(0, 2**31))
def test_damage_changes_neither_answer_nor_error(noise: bytes, seed: int) -> None:
    good = bytearray(png(np.random.default_rng(seed).integers(0, 256, (28, 28), np.uint8)))
    at = seed % len(good)
    good[at : at + len(noise)] = noise
    assert outcome(bytes(good)) == outcome_of_the_long_way(bytes(good))


@pytest.mark.parametrize("rows", [0, 1, 14, 27, 29, 100])
def test_too_few_or_too_many_rows_are_what_they_are_to_pillow(rows: int) -> None:
    data = with_rows(b"\x01" + bytes(range(28)) + bytes(29 * (rows - 1)) if rows else b"")
    assert outcome(data) == outcome_of_the_long_way(data)


def outcome(data: bytes) -> bytes | str:
    begun = None
    try:
        begun = CLASSIFIER.begin(data)
    except ImageError as error:
        return error.code
    return begun.tobytes() if isinstance(begun, np.ndarray) else begun.probabilities.tobytes()


def outcome_of_the_long_way(data: bytes) -> bytes | str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fmnist_edge.classifier.read_plain_png", lambda _: None)
        return outcome(data)


CLASSIFIER = Classifier()


@settings(max_examples=60)
@given(arrays(np.uint8, st.tuples(st.integers(1, 28), st.integers(1, 28)), elements=st.integers(100, 156)))
def test_the_background_is_the_mean_of_the_outermost_pixels(image: np.ndarray) -> None:
    outermost = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
    assume(int(outermost.max()) - int(outermost.min()) > 32 or min(image.shape) < 5)  # else it may be a frame
    expected = image if outermost.mean() <= 127.5 else 255 - image
    assert np.array_equal(on_dark_background(image), expected)


@settings(max_examples=30)
@given(IMAGES)
def test_a_light_background_is_negated_on_the_short_way_as_well(image: np.ndarray) -> None:
    begun = CLASSIFIER.begin(png(image))
    assert np.array_equal(begun, load_image(png(image)))
