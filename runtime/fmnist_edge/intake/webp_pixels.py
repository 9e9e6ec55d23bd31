"""The pixels of a WebP in three quarters of the memory that Pillow takes for them.

libwebp's decoder for animations, which Pillow uses for every file, holds two canvases of four bytes a pixel; Pillow
keeps it while it copies the pixels twice. Here it goes before the second copy.
"""

from __future__ import annotations

from typing import Any

import PIL.Image


def take_pixels(image: Any) -> PIL.Image.Image:
    """Return the first frame of an opened WebP, which cannot be used after this, with what the file says of it.

    Raises what Pillow raises on damaged bytes. The decoder is no public part of Pillow (the same from 10.1 to 13):
    should it change, Pillow's own way is taken, and the test of the memory says so.
    """
    decoder, rawmode = getattr(image, "_decoder", None), getattr(image, "rawmode", None)
    if decoder is None or rawmode is None:
        image.load()
        return image  # type: ignore[no-any-return]
    frame = decoder.get_next()
    if frame is None:
        raise OSError("cannot decode the frame")
    del decoder
    image._decoder = None
    picture = PIL.Image.frombytes(image.mode, image.size, frame[0], "raw", rawmode)
    picture.info.update(image.info)
    return picture
