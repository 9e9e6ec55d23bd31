"""What training does to an image before the network sees it."""

from __future__ import annotations

from typing import Any

from fmnist_train.backend import tf


def mirror(images: Any, chosen: Any) -> Any:
    """Return uint8 [n, 28, 28] images with the chosen ones (bool [n]) mirrored left to right.

    A garment mirrored is a garment, and shoes, which all point left in the dataset, should not have to.
    """
    return tf.where(chosen[:, None, None], tf.reverse(images, axis=[2]), images)
