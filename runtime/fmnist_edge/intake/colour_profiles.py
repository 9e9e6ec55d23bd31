"""Colours as sRGB, whatever profile a file brings: phones write Display P3, scanners and print shops worse."""

from __future__ import annotations

from io import BytesIO
from typing import Final

import PIL.Image

PROFILE: Final = "icc_profile"  # Pillow's key for the embedded ICC profile
_RESULT_MODES: Final = {"RGB": "RGB", "RGBA": "RGBA", "CMYK": "RGB"}


def in_srgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return an RGB, RGBA or CMYK image with its profile applied, as sRGB; any other, or one without, as it is.

    A damaged profile, or one for another kind of pixels, says nothing and is left out.
    """
    profile = image.info.get(PROFILE)
    if not profile or image.mode not in _RESULT_MODES:
        return image
    from PIL import ImageCms  # not above: most pictures need none of it, and every start would pay for it

    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return image
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target, outputMode=_RESULT_MODES[image.mode])
    except (ImageCms.PyCMSError, OSError):
        return image
    if converted is None:
        return image
    converted.info = {key: value for key, value in image.info.items() if key != PROFILE}
    return converted
