"""Embedded colour profiles: applied where they say something, left out where they do not."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms

from fmnist_edge.decoding import decode


def lab_like_profile() -> bytes:
    """Return an RGB profile whose red and blue are swapped: a wrong reading cannot be overlooked."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {}
    for number in range(int.from_bytes(profile[128:132], "big")):
        entry = 132 + 12 * number
        tags[bytes(profile[entry : entry + 4])] = entry
    for name in (b"rXYZ", b"bXYZ"):
        assert name in tags
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile).replace(b"s\0R\0G\0B", b"t\0e\0s\0t").replace(b"\0s\0R\0G\0B", b"\0t\0e\0s\0t")


def encoded(colour: tuple[int, int, int], profile: bytes | None) -> bytes:
    content = BytesIO()
    PIL.Image.new("RGB", (40, 30), colour).save(content, "PNG", icc_profile=profile)
    return content.getvalue()


def test_the_colours_of_a_foreign_profile_become_srgb() -> None:
    red = np.asarray(decode(encoded((250, 10, 20), lab_like_profile())))[0, 0]
    assert red[2] > 200
    assert red[0] < 60


def test_srgb_and_no_profile_leave_every_pixel_as_it_is() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (None, srgb):
        assert np.asarray(decode(encoded((250, 10, 20), profile)))[0, 0].tolist() == [250, 10, 20]


@pytest.mark.parametrize("profile", [b"no profile", b"\0" * 200, lab_like_profile()[:300]])
def test_a_damaged_profile_is_left_out(profile: bytes) -> None:
    assert np.asarray(decode(encoded((250, 10, 20), profile)))[0, 0].tolist() == [250, 10, 20]


def test_a_profile_applies_once_to_a_picture_with_transparency() -> None:
    picture = PIL.Image.new("RGBA", (40, 30), (250, 10, 20, 255))
    picture.info["icc_profile"] = lab_like_profile()
    assert np.asarray(decode(picture))[0, 0][2] > 200
