"""Where the fuzzer begins: small real files of every kind that is taken, and some that are refused."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import PIL.Image

from tests.runtime import png_suite
from tests.runtime.jpeg_bombs import flat_jpeg
from tests.runtime.pictures import encoded, garment, heic

SAMPLES: Final = Path(__file__).parents[3] / "samples"
LARGEST: Final = 1 << 15  # bytes of a seed, and of what is made of it


def image_seeds() -> Iterator[bytes]:
    """Yield image files: every format, mode and way to store it that Pillow can write, and those it cannot."""
    yield from (path.read_bytes() for path in sorted(SAMPLES.rglob("*.[pj][np]g")))
    yield from png_suite.every_png()
    picture = PIL.Image.fromarray(garment())
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I", "I;16", "F"):
        for form in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"):
            yield from _encoded(_in_mode(picture, mode), form)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield from _encoded(picture.convert("RGB"), "TIFF", compression=compression)
    for compression in ("group4", "tiff_ccitt"):
        yield from _encoded(picture.convert("1"), "TIFF", compression=compression)
    for form in ("GIF", "PNG", "WEBP", "TIFF", "AVIF"):
        yield from _encoded(picture, form, save_all=True, append_images=[picture.rotate(90)])
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    for form in ("JPEG", "PNG", "WEBP", "TIFF"):
        yield from _encoded(picture.convert("RGB"), form, exif=exif.tobytes())
    yield from _encoded(picture.convert("RGB"), "JPEG", progressive=True)
    yield from (heic(picture.convert(mode), quality=quality) for mode in ("L", "RGB", "RGBA") for quality in (10, 90))
    yield from (flat_jpeg(40, 30, interleaved=interleaved) for interleaved in (True, False))
    yield from (b"P3 2 2 255 1 2 3 4 5 6 7 8 9 10 11 12", b"P1 2 2 1 0 0 1", b"\0\0\0\x18ftypheic", b"<svg/>", b"")


def model_seeds() -> Iterator[bytes]:
    """Yield model files: the shipped classifier, and small networks that keep the contract or break it."""
    import onnx

    from fmnist_edge.model_info import EMBEDDED_CLASSIFIER
    from tests.runtime import networks as strange

    node = onnx.helper.make_node
    yield EMBEDDED_CLASSIFIER.read_bytes()
    for operator in ("Identity", "Softmax", "Relu", "Neg", "Sigmoid", "Transpose", "Shape"):
        yield strange.model_of(strange.nodes_with(node(operator, ["e"], ["x"]), last="x")).SerializeToString()
    yield strange.shaped(2, 10).SerializeToString()
    yield strange.outside("weights.bin").SerializeToString()
    loop = node("Loop", ["", "true", "e"], ["l"], body=strange.subgraph())
    yield strange.model_of(strange.nodes_with(loop, last="l")).SerializeToString()
    yield _small_int8().SerializeToString()


def pillow_seeds(archive: Path) -> Iterator[bytes]:
    """Yield the small test pictures in a source distribution of Pillow, its fuzzers' findings among them."""
    with tarfile.open(archive) as files:
        for member in files:
            if "/Tests/images/" in member.name and member.isfile() and member.size <= LARGEST:
                file = files.extractfile(member)
                assert file is not None
                yield file.read()


def _in_mode(picture: PIL.Image.Image, mode: str) -> PIL.Image.Image:
    if mode == "LAB":
        return PIL.Image.new("LAB", (28, 28), (90, 10, 200))
    return picture.convert("L").convert(mode) if mode != "I;16" else PIL.Image.fromarray(garment().astype(np.uint16))


def _encoded(picture: PIL.Image.Image, form: str, **options: Any) -> Iterator[bytes]:
    """Yield a file, if the format can hold the picture."""
    try:
        yield encoded(picture, form, **options)
    except (OSError, KeyError, ValueError, io.UnsupportedOperation):
        return


def _small_int8() -> Any:
    """Return the operators of the shipped classifier with a layer of three units: small enough to be changed often."""
    import onnx

    from tests.runtime import networks as strange

    node, constant, rng = onnx.helper.make_node, strange.constant, np.random.default_rng(0)
    nodes = [
        node("DequantizeLinear", ["image", "scale", "zero"], ["real"]),
        node("Flatten", ["real"], ["flat"]),
        node("DequantizeLinear", ["kernel", "scale", "zero8"], ["weights"]),
        node("Gemm", ["flat", "weights"], ["hidden"]),
        node("Relu", ["hidden"], ["positive"]),
        node("Gemm", ["positive", "last", "bias"], ["logits"]),
        node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    return strange.model_of(
        nodes,
        constant("scale", np.float32(0.004)),
        constant("zero", np.uint8(0)),
        constant("zero8", np.int8(0)),
        constant("kernel", rng.integers(-99, 99, (784, 3)).astype(np.int8)),
        constant("last", rng.normal(size=(3, 10)).astype(np.float32)),
        constant("bias", np.zeros(10, np.float32)),
    )
