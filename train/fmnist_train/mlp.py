"""The network: 784-128(ReLU)-10(softmax), with the scaling of the pixels inside."""

from __future__ import annotations

from typing import Any, Final

from fmnist_edge.contract import IMAGE_SIDE, INPUT_NAME, LABELS, OUTPUT_NAME
from fmnist_train.backend import keras
from fmnist_train.sharpness import SharpnessAwareModel

NAME: Final = "fmnist-mlp"
HIDDEN_UNITS: Final = 128
HIDDEN: Final = "hidden"
SCALING: Final = 1 / 255  # grey levels 0..255 to 0..1


def build_model(name: str = NAME) -> Any:
    """Return the freshly initialised network as it is saved: a keras.Model of that name, not compiled.

    Input `image`: uint8 [batch, 28, 28], 0..255, garment bright on black. Output: float32 [batch, 10],
    softmax probabilities in the order of LABELS. 101,770 parameters. Weights are drawn from Keras's global
    seed (`keras.utils.set_random_seed`). Every name is given, so that nothing depends on what the process
    built before.
    """
    image = keras.Input(shape=(IMAGE_SIDE, IMAGE_SIDE), dtype="uint8", name=INPUT_NAME)
    signal = keras.layers.Rescaling(SCALING, name="rescaling")(image)
    signal = keras.layers.Flatten(name="flatten")(signal)
    signal = keras.layers.Dense(HIDDEN_UNITS, activation="relu", name=HIDDEN)(signal)
    probabilities = keras.layers.Dense(len(LABELS), activation="softmax", name=OUTPUT_NAME)(signal)
    return keras.Model(image, probabilities, name=name)


def build_training_model(model: Any, input_dropout: float, sharpness_radius: float = 0.0) -> Any:
    """Return a second model on the very layers of `model`, with what only training needs between them.

    Its weights are those of `model`: training one trains the other, and the saved file holds no trace of it.
    """
    image = keras.Input(shape=(IMAGE_SIDE, IMAGE_SIDE), dtype="uint8", name=INPUT_NAME)
    signal = model.get_layer("flatten")(model.get_layer("rescaling")(image))
    if input_dropout > 0:
        signal = keras.layers.Dropout(input_dropout, name="input-dropout")(signal)
    probabilities = model.get_layer(OUTPUT_NAME)(model.get_layer(HIDDEN)(signal))
    if sharpness_radius == 0:
        return keras.Model(image, probabilities, name=f"{NAME}-training")
    trainer = SharpnessAwareModel(image, probabilities, name=f"{NAME}-training")
    trainer.radius = sharpness_radius
    return trainer
