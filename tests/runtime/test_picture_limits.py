"""What a picture may cost: bombs of every kind are refused by their headers, large pictures averaged down."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import PIL.Image
import pytest

from fmnist_edge import ImageError
from fmnist_edge.decoding import decode
from fmnist_edge.image_files import MAX_PIXELS
from fmnist_edge.model_info import LEAST_SIDE
from tests.runtime.jpeg_bombs import flat_jpeg
from tests.runtime.pictures import encoded, png_header


def code_of(source: Any) -> str:
    with pytest.raises(ImageError) as caught:
        decode(source)
    return caught.value.code


@pytest.mark.parametrize(("width", "height"), [(5001, 5000), (60_000, 60_000), (2**31 - 1, 1), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_by_its_header(width: int, height: int) -> None:
    assert width * height > MAX_PIXELS
    assert code_of(png_header(width, height)) == "too-large"


def test_a_bomb_that_pillow_refuses_itself_is_called_so_too() -> None:
    claims = struct.pack("<I", (16382 << 14) | 16382)  # 16383x16383, the largest that WebP allows
    data = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f" + claims + b"\0" * 9
    assert code_of(data) == "too-large"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (flat_jpeg(12_000, 9_000, interleaved=False, cut=True), "take 655 MB to decode"),
        (flat_jpeg(1_000, 800, scans=101), "more than 100 scans"),
    ],
)
def test_a_small_jpeg_that_would_take_much_memory_or_time_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        decode(data)
    assert caught.value.code == "too-large"


def test_jpegs_of_the_same_kind_are_decoded_where_they_are_small() -> None:
    for data in (flat_jpeg(1_000, 800, interleaved=False), flat_jpeg(1_000, 800), flat_jpeg(1_000, 800, scans=12)):
        assert decode(data, least_side=1000).size == (1000, 800)


def test_a_photo_of_a_hundred_megapixels_is_decoded_at_reduced_scale() -> None:
    assert decode(flat_jpeg(12_000, 9_000)).size == (137, 103)


def test_a_tiff_with_tiles_larger_than_pictures_may_be_is_refused() -> None:
    tiff = encoded(PIL.Image.new("L", (32, 32)), "TIFF")
    assert decode(tiff).size == (32, 32)
    entries = struct.unpack_from("<H", tiff, struct.unpack_from("<I", tiff, 4)[0])[0]
    start = struct.unpack_from("<I", tiff, 4)[0]
    added = b"".join(struct.pack("<HHII", tag, 4, 1, 60_000) for tag in (322, 323))
    table = tiff[start + 2 : start + 2 + 12 * entries]
    sorted_table = b"".join(sorted((table[at : at + 12] for at in range(0, len(table), 12)), key=_tag)) + added
    moved = (
        tiff[:4] + struct.pack("<I", len(tiff)) + tiff[8:] + struct.pack("<H", entries + 2) + sorted_table + bytes(4)
    )
    with pytest.raises(ImageError, match="60000x60000 is more than"):
        decode(moved)


def _tag(entry: bytes) -> int:
    return int.from_bytes(entry[:2], "little")


@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1), (1, 4_000_000), (2500, 2500), (1025, 700)])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "I;16"])
def test_a_picture_of_any_shape_is_averaged_as_it_would_be_in_one_piece(size: tuple[int, int], mode: str) -> None:
    factor = max(1, max(size) // LEAST_SIDE)
    levels = np.random.default_rng(5).integers(0, 256, (min(size[1], 2500), min(size[0], 2500)), np.uint8)
    grey = PIL.Image.fromarray(levels).resize(size, PIL.Image.Resampling.NEAREST)
    if mode in ("I", "I;16"):
        image = PIL.Image.fromarray(np.asarray(grey).astype(np.int32 if mode == "I" else np.uint16) * 257)
    else:
        image = grey.convert(mode)
    whole = grey if mode in ("I", "I;16") else image.convert("L" if mode == "1" else "RGB")
    expected = np.asarray((whole.reduce(factor) if factor > 1 else whole).convert("L")).astype(int)
    assert np.abs(np.asarray(decode(image).convert("L")).astype(int) - expected).max() <= 2


def test_transparency_that_was_laid_on_its_ground_is_not_handed_on() -> None:
    """It would be applied to the picture once more, and Pillow would warn of it."""
    palette = PIL.Image.new("P", (1500, 1500), 1)
    palette.putpalette([0, 0, 200, 0, 90, 0])
    picture = decode(encoded(palette, "PNG", transparency=b"\xff\x00"))
    assert "transparency" not in picture.info
    assert np.array_equal(np.asarray(decode(picture)), np.asarray(picture))
    assert (np.asarray(picture) == 255).all()


def test_the_limit_is_the_callers_to_choose() -> None:
    picture = PIL.Image.new("L", (200, 100))
    with pytest.raises(ImageError, match=r"more than 19,999 pixels.*--max-pixels, max_pixels="):
        decode(picture, max_pixels=19_999)
    assert decode(picture, max_pixels=20_000).size == (200, 100)
    with pytest.raises(ImageError, match="truncated"):  # past the limit's check, and then it has no pixels
        decode(png_header(6000, 5000), max_pixels=30_000_000)


def test_a_large_picture_is_averaged_down() -> None:
    assert LEAST_SIDE <= max(decode(np.zeros((100, 5000), np.uint8)).size) < 2 * LEAST_SIDE
    assert decode(encoded(PIL.Image.new("RGBA", (1500, 2500), "red"))).size == (79, 132)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_past_the_limit_is_decoded_at_reduced_scale(progressive: bool) -> None:
    large = PIL.Image.new("L", (8000, 4000))
    assert decode(encoded(large, "JPEG", progressive=progressive)).size == (143, 72)
