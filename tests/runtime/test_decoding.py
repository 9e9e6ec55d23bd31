"""Decoding: every form of picture comes out upright and opaque, and everything else is an ImageError."""

from __future__ import annotations

import importlib.util
import io
import re
import struct
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fmnist_edge import ImageError
from fmnist_edge.decoding import decode, is_first_of_several
from fmnist_edge.images import load_image
from tests.runtime import png_suite
from tests.runtime.pictures import CODES, LOSSLESS, encoded, garment, heic

MODES = [
    "1",
    "L",
    "LA",
    "La",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBX",
    "RGBa",
    "CMYK",
    "YCbCr",
    "HSV",
    "LAB",
    "I",
    "I;16",
    "F",
]
FILES = {form: encoded(garment(), form, **options) for form, options in LOSSLESS.items()} | {
    "JPEG": encoded(garment(), "JPEG", quality=90),
    "progressive JPEG": encoded(garment(), "JPEG", progressive=True),
    "interlaced GIF": encoded(garment(), "GIF", interlace=True),
    "deflated TIFF": encoded(garment(), "TIFF", compression="tiff_adobe_deflate"),
}
PIL.Image.init()
if "AVIF" in PIL.Image.SAVE:  # Pillow reads and writes it since 11.3
    FILES["AVIF"] = encoded(garment(), "AVIF")
if importlib.util.find_spec("pillow_heif"):
    FILES["HEIC"] = heic(garment(), quality=90)


def code_of(source: Any) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(source)
    assert str(caught.value).isprintable()
    return caught.value.code


def colours(image: PIL.Image.Image) -> Any:
    return np.asarray(decode(encoded(image, "PNG")))


needs_heic = pytest.mark.skipif("HEIC" not in FILES, reason="needs the extra [heic]")


# HEIC


@needs_heic
def test_heic_is_decoded_within_the_same_limits() -> None:
    picture = PIL.Image.fromarray(np.repeat(np.uint8([[20] * 40, [200] * 40]), 30, axis=0)).convert("RGB")
    decoded = np.asarray(decode(heic(picture, quality=90))).astype(int)
    assert np.abs(decoded - np.asarray(picture)).max() < 9
    with pytest.raises(ImageError, match="40x60 is more than 2,399 pixels") as caught:
        decode(heic(picture), max_pixels=2399)
    assert caught.value.code == "too-large"


def test_heic_without_its_library_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"pip install .*\[heic\]") as caught:
        load_image(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    assert caught.value.code == "not-an-image"


# Modes


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_gives_an_8_bit_picture_or_a_clear_error(mode: str) -> None:
    if mode == "F":
        assert code_of(PIL.Image.new(mode, (5, 4))) == "unreadable-image"
    else:
        picture = decode(PIL.Image.new(mode, (5, 4)))
        assert (picture.mode in ("L", "RGB"), picture.size) == (True, (5, 4))


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bit_grey_keeps_its_upper_byte(form: str) -> None:
    deep = garment().astype(np.uint16) * 257
    assert np.array_equal(load_image(encoded(deep, form)), garment())


def test_8_bit_levels_in_a_deeper_picture_are_taken_as_such() -> None:
    assert np.array_equal(load_image(PIL.Image.fromarray(garment().astype(np.int32))), garment())


def test_levels_past_16_bits_are_refused() -> None:
    assert code_of(PIL.Image.fromarray(np.full((3, 3), 70000, np.int32))) == "unreadable-image"


def test_a_palette_a_1_bit_and_a_cmyk_picture_keep_their_colours() -> None:
    blue = PIL.Image.new("RGB", (4, 4), (0, 0, 255))
    assert (colours(blue.quantize(4)) == (0, 0, 255)).all()
    assert (colours(PIL.Image.new("1", (4, 4), 1)) == 255).all()
    assert (np.asarray(decode(encoded(blue.convert("CMYK"), "TIFF"))) == (0, 0, 255)).all()


ANIMATED = ["GIF", "TIFF", "PNG", "WEBP", *(["AVIF"] if "AVIF" in FILES else [])]


@pytest.mark.parametrize("form", ANIMATED)
def test_the_first_frame_of_several_is_taken_and_said_to_be_so(form: str) -> None:
    other = PIL.Image.new("L", (28, 28), 255)
    film = encoded(garment(), form, save_all=True, append_images=[other], **LOSSLESS.get(form, {}))
    assert np.abs(load_image(film).astype(int) - garment()).max() < 40  # AVIF is not exact
    assert is_first_of_several(decode(film))
    assert not is_first_of_several(decode(FILES[form]))


def test_damage_behind_the_first_frame_spoils_nothing() -> None:
    film = encoded(garment(), "GIF", save_all=True, append_images=[PIL.Image.new("L", (28, 28), 255)])
    one = len(FILES["GIF"])
    for cut in range(one, len(film), 7):
        assert np.array_equal(load_image(film[:cut]), garment())


@pytest.mark.parametrize(("transform", "name"), [(0, "CMYK"), (2, "YCCK")])
def test_cmyk_and_ycck_jpegs_keep_their_colours(transform: int, name: str) -> None:
    """As Adobe writes them, upside down, with a mark that says whether inks became brightness and colour."""
    inks = PIL.Image.new("CMYK", (32, 32), (255, 0, 0, 0))  # cyan
    if transform == 2:
        mixed = PIL.Image.new("RGB", (32, 32), (255, 0, 0)).convert("YCbCr")  # the same as brightness and colour
        planes = [plane.point(lambda level: 255 - level) for plane in mixed.split()]
        inks = PIL.Image.merge("CMYK", [*planes, PIL.Image.new("L", (32, 32), 0)])
    data = encoded(inks, "JPEG", quality=100)
    mark = data.index(b"Adobe") + 11
    data = data[:mark] + bytes([transform]) + data[mark + 1 :]
    assert np.abs(np.asarray(decode(data)).astype(int) - (0, 255, 255)).max() <= 4, name


@pytest.mark.parametrize(("kind", "bits"), png_suite.KINDS)
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("transparent", [False, True])
def test_every_kind_of_png_comes_out_as_it_was(kind: int, bits: int, interlaced: bool, transparent: bool) -> None:
    with_alpha = kind in (png_suite.GREY_ALPHA, png_suite.COLOUR_ALPHA)
    data = png_suite.png(kind, bits, interlaced=interlaced, transparent=transparent and not with_alpha)
    grey = np.asarray(decode(data).convert("L")).astype(int)
    expected = png_suite.levels(bits).astype(int)
    if transparent and not with_alpha:  # black is laid on white; unless all that is left is bright and grey
        black = expected == 0
        assert np.unique(grey[black]).tolist() in ([0], [255])
        grey, expected = grey[~black], expected[~black]
    assert np.abs(grey - expected).max() <= 1


# Transparency


@pytest.mark.parametrize("level", [0, 90, 255])
@pytest.mark.parametrize("colour", [(10, 20, 30), (250, 240, 30)])
def test_a_transparent_colour_picture_is_laid_on_white(level: int, colour: tuple[int, int, int]) -> None:
    clear = PIL.Image.new("RGBA", (4, 4), (level, 0, 0, 0))
    clear.putpixel((0, 0), (*colour, 255))
    pixels = colours(clear)
    assert tuple(pixels[0, 0]) == colour
    assert (pixels[1:] == 255).all()


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_a_garment_of_the_dataset_cut_out_of_its_ground_comes_back(form: str) -> None:
    cut_out = PIL.Image.merge("LA", [PIL.Image.new("L", (28, 28), 255), PIL.Image.fromarray(garment())])
    options = LOSSLESS[form] if form != "WEBP" else {"lossless": True, "exact": True}
    image = cut_out.convert("RGBA") if form == "WEBP" else cut_out
    assert np.array_equal(load_image(encoded(image, form, **options)), garment())


def test_a_dark_grey_drawing_on_nothing_is_laid_on_white_and_so_turned() -> None:
    drawing = PIL.Image.merge("LA", [PIL.Image.new("L", (28, 28), 0), PIL.Image.fromarray(garment())])
    assert np.array_equal(load_image(drawing), garment())


def test_a_transparent_palette_entry_is_laid_on_white() -> None:
    image = PIL.Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 200, 0, 90, 0])
    image.putpixel((2, 2), 0)
    pixels = np.asarray(decode(encoded(image, "PNG", transparency=1)))
    assert (tuple(pixels[2, 2]), tuple(pixels[0, 0])) == ((0, 0, 200), (255, 255, 255))


# Orientation


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_brings_the_picture_upright(form: str, orientation: int) -> None:
    upright = PIL.Image.fromarray(
        np.kron(np.arange(1, 7, dtype=np.uint8).reshape(3, 2) * 40, np.ones((16, 16))).astype(np.uint8)
    )
    stored = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what the camera did: the inverse transposition
    turn = stored.get(orientation)
    image = upright if turn is None else upright.transpose(PIL.Image.Transpose(turn))
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image.convert("RGB"), form, exif=exif.tobytes())
    decoded = np.asarray(decode(data).convert("L")).astype(int)
    assert decoded.shape == (48, 32)
    assert np.abs(decoded - np.asarray(upright)).mean() < 3
    again = np.asarray(decode(decode(data)).convert("L"))
    assert np.array_equal(again, decoded)


def damaged_exif() -> bytes:
    return encoded(garment(), "JPEG", quality=100, exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01")


def test_a_damaged_exif_block_spoils_no_picture_and_warns_nobody() -> None:
    with pytest.warns(UserWarning, match="EXIF"):
        PIL.Image.open(io.BytesIO(damaged_exif())).getexif()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.abs(load_image(damaged_exif()).astype(int) - garment()).mean() < 3


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
@pytest.mark.parametrize("block", [b"no block", b"II*\0"])
def test_what_is_no_exif_block_at_all_spoils_no_picture(form: str, block: bytes) -> None:
    data = encoded(garment(), form, exif=b"Exif\0\0" + block, **LOSSLESS[form])
    with pytest.raises((SyntaxError, struct.error)):
        PIL.Image.open(io.BytesIO(data)).getexif()
    assert np.array_equal(load_image(data), garment())


def test_threads_that_decode_at_once_leave_the_warning_filters_as_they_were() -> None:
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(load_image, [damaged_exif()] * 200))
    assert list(warnings.filters) == before


QUIET = """
import sys
from fmnist_edge import ImageError
from fmnist_edge.decoding import is_first_of_several
from fmnist_edge.images import load_image
try:
    load_image(sys.stdin.buffer.read())
except ImageError as error:
    print(error.code, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("form", "options", "old", "new"),
    [
        ("L", {"compression": "tiff_adobe_deflate"}, b"\x78\x9c", b"\x78\x9d"),
        ("RGB", {}, struct.pack("<HHIHH", 277, 3, 1, 3, 0), struct.pack("<HHIHH", 277, 3, 1, 99, 0)),
    ],
    ids=["printed by libtiff", "logged by Pillow"],
)
def test_what_is_said_of_a_damaged_tiff_reaches_nobody(form: str, options: Any, old: bytes, new: bytes) -> None:
    whole = encoded(PIL.Image.fromarray(garment()).convert(form), "TIFF", **options)
    assert whole.count(old) == 1
    run = subprocess.run([sys.executable, "-c", QUIET], input=whole.replace(old, new), capture_output=True)
    assert run.stderr == b"unreadable-image\n"


# Arrays and types


@pytest.mark.parametrize(
    ("array", "hint"),
    [
        (np.zeros((28, 28)), "array * 255"),
        (np.zeros((28, 28), np.uint16), "astype"),
        (np.zeros((3, 40, 50), np.uint8), "transpose(1, 2, 0)"),
        (np.zeros((40, 50, 5), np.uint8), "predict takes"),
        (np.zeros((5, 28, 28), np.uint8), "predict takes"),
        (np.zeros((0, 28), np.uint8), "no pixel"),
        (np.array("shirt.png"), "astype"),
    ],
)
def test_an_array_that_is_no_picture_is_refused_with_a_hint(array: Any, hint: str) -> None:
    with pytest.raises(ImageError, match=re.escape(hint)) as caught:
        load_image(array)
    assert caught.value.code == "wrong-array"


@pytest.mark.parametrize(
    ("array", "mode"),
    [
        (garment(), "L"),
        (garment()[..., None], "L"),
        (garment()[None], "L"),
        (garment()[None, ..., None], "L"),
        (garment() > 99, "L"),
        (np.repeat(garment()[..., None], 3, axis=2), "RGB"),
        (np.stack([garment(), np.full((28, 28), 255, np.uint8)], axis=2), "RGB"),
        (np.repeat(garment()[..., None], 4, axis=2) | np.uint8([0, 0, 0, 255]), "RGB"),
    ],
)
def test_an_array_whose_meaning_is_plain_is_taken(array: Any, mode: str) -> None:
    picture = decode(array)
    expected = np.where(garment() > 99, 255, 0) if array.dtype == bool else garment()
    assert picture.mode == mode
    assert np.array_equal(np.asarray(picture.convert("L")), expected)


@pytest.mark.parametrize("source", [None, 7, ["a.png"], {}])
def test_what_can_be_no_image_is_refused(source: Any) -> None:
    assert code_of(source) == "wrong-type"


def test_bytes_of_any_kind_and_images_of_any_kind_are_taken() -> None:
    data = FILES["PNG"]
    opened = PIL.Image.open(io.BytesIO(data))
    for source in (data, bytearray(data), memoryview(data), io.BytesIO(data), opened, garment()):
        assert np.array_equal(load_image(source), garment())  # type: ignore[arg-type]


def test_a_picture_that_is_passed_in_is_not_changed() -> None:
    picture = PIL.Image.fromarray(garment()).convert("P")
    before = (picture.mode, picture.tobytes(), dict(picture.info))
    load_image(picture)
    assert (picture.mode, picture.tobytes(), dict(picture.info)) == before


# Damage


@pytest.mark.parametrize("form", FILES)
def test_a_file_cut_at_any_length_is_an_error_or_still_the_whole_picture(form: str) -> None:
    whole = load_image(FILES[form])
    for length in range(len(FILES[form])):
        try:
            assert np.array_equal(load_image(FILES[form][:length]), whole), length
        except ImageError as error:
            assert error.code in CODES


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty-file"),
        (b"hello", "not-an-image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not-an-image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "not-an-image"),
        (b"\x89PNG\r\n\x1a\n", "unreadable-image"),
        (b"\xff\xd8\xff\xd9", "unreadable-image"),
    ],
)
def test_what_is_no_picture_is_named_for_what_it_is(data: bytes, code: str) -> None:
    assert code_of(data) == code


@settings(max_examples=400)
@given(st.binary(max_size=300), st.sampled_from(sorted(FILES)), st.integers(0, 400), st.booleans())
@example(b"\xff" * 4, "TIFF", 4, False)
def test_no_bytes_raise_anything_but_an_image_error(noise: bytes, form: str, at: int, replace: bool) -> None:
    """Real files with noise written into them, and noise behind a real beginning."""
    real = FILES[form]
    data = real[:at] + noise + (real[at + len(noise) :] if replace else b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            image = load_image(data)
        except ImageError as error:
            assert error.code in CODES
            assert str(error).isprintable()
        else:
            assert (image.shape, image.dtype) == ((28, 28), np.uint8)


@given(st.sampled_from(MODES), st.integers(1, 60), st.integers(1, 60), st.binary(min_size=1, max_size=40))
def test_any_mode_size_and_content_gives_a_fitted_picture(mode: str, width: int, height: int, content: bytes) -> None:
    blank = PIL.Image.new(mode, (width, height))
    needed = len(blank.tobytes())
    image = PIL.Image.frombytes(mode, (width, height), (content * (needed // len(content) + 1))[:needed])
    try:
        fitted = load_image(image)
    except ImageError as error:
        assert (mode in ("F", "I"), error.code) == (True, "unreadable-image")
    else:
        assert (fitted.shape, fitted.dtype) == ((28, 28), np.uint8)
