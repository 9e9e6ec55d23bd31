"""The dataset classifier: its network, sharpness-aware training, and batches that a seed and an epoch decide."""

from __future__ import annotations

from typing import Any, Final

from fmnist_edge.dataset import Split
from fmnist_edge.model_info import IMAGE_SIDE, INPUT_NAME, LABELS, OUTPUT_NAME
from fmnist_train.backend import keras, tf
from fmnist_train.recipes import Recipe

NAME: Final = "fmnist-mlp"
HIDDEN_UNITS: Final = 128
HIDDEN: Final = "hidden"
SCALING: Final = 1 / 255  # grey levels 0..255 to 0..1
TINY: Final = 1e-12  # under the square root: where the gradient is zero, nothing is climbed


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


class SharpnessAwareModel(keras.Model):
    """A Keras model whose `fit` minimizes the loss at the top of a small ball around its weights.

    Foret et al. 2021, algorithm 1: climb `radius` along the gradient, take the gradient there, go back, and give it to
    the optimizer. Both gradients see the same batch and dropout mask; an epoch's figures are those of the second.
    Twice the work a step.
    """

    radius: float = 0.0
    """How far to climb, in the Euclidean norm of all weights together."""

    def train_step(self, data: Any) -> dict[str, Any]:
        """Do one step on a batch of (images, labels) and return the metrics so far."""
        images, labels = data
        climb = self._climb(images, labels)
        gradients, predictions, loss = self._gradients(images, labels)
        for weight, part in zip(self.trainable_variables, climb, strict=True):
            weight.assign_sub(part)
        self.optimizer.apply(gradients, self.trainable_variables)
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(images)[0])
        return dict(self.compute_metrics(images, labels, predictions))

    def _climb(self, images: Any, labels: Any) -> list[Any]:
        """Move the weights up the gradient and return by how much; the next dropout mask is the same again."""
        masks = [layer.seed_generator.state for layer in self.layers if isinstance(layer, keras.layers.Dropout)]
        before = [tf.identity(mask) for mask in masks]
        gradients, _, _ = self._gradients(images, labels)
        scale = self.radius / tf.sqrt(sum(tf.reduce_sum(tf.square(part)) for part in gradients) + TINY)
        climb = [scale * part for part in gradients]
        for weight, part in zip(self.trainable_variables, climb, strict=True):
            weight.assign_add(part)
        for mask, state in zip(masks, before, strict=True):
            mask.assign(state)
        return climb

    def _gradients(self, images: Any, labels: Any) -> tuple[list[Any], Any, Any]:
        """Return gradients, predictions and loss of a batch at the weights as they are."""
        with tf.GradientTape() as tape:
            predictions = self(images, training=True)
            loss = self.compute_loss(x=images, y=labels, y_pred=predictions, training=True)
        return tape.gradient(loss, self.trainable_weights), predictions, loss


class EpochClock(keras.callbacks.Callback):
    """Tells the batches which epoch it is: Keras makes a new iterator each epoch, after this has run."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the epoch, counted from 0."""
        self.epoch.assign(epoch)


class DropoutClock(keras.callbacks.Callback):
    """Makes dropout, too, a function of seed and epoch.

    A dropout layer keeps a seed and the number of masks it has drawn, one a step. Keras saves neither with the
    weights (3.15), so a resumed training would draw the masks of the first epochs again: set the number.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set how many masks have been drawn before this epoch."""
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.Dropout):
                state = layer.seed_generator.state
                state.assign([keras.ops.convert_to_numpy(state)[0], epoch * self._steps])


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Return the number of batches that `images` images make; the last may be smaller."""
    return -(-images // batch_size)


def draw_order(images: int, seed: int, epoch: Any) -> Any:
    """Return the order in which an epoch sees the images: a permutation of 0..images-1, int32 [images]."""
    return tf.random.experimental.stateless_shuffle(tf.range(images), seed=_key(seed, epoch, stream=0))


def draw_flips(images: int, seed: int, epoch: Any) -> Any:
    """Return which positions of an epoch are mirrored: bool [images], each with probability 1/2."""
    return tf.random.stateless_uniform([images], seed=_key(seed, epoch, stream=1)) < 0.5


def training_batches(split: Split, recipe: Recipe, seed: int, epoch: Any) -> Any:
    """Return a tf.data.Dataset of one epoch: (uint8 [n, 28, 28] images, int32 [n] labels) batches.

    `epoch` is read when an iterator is made (an int, or the variable of an EpochClock).
    """
    images, labels = tf.constant(split.images), tf.constant(split.labels.astype("int32"))
    count, size = len(split.labels), recipe.batch_size

    def one_epoch(_: Any) -> Any:
        order, flips = draw_order(count, seed, epoch), draw_flips(count, seed, epoch)

        def batch(start: Any) -> tuple[Any, Any]:
            chosen = order[start : start + size]
            batch_images = tf.gather(images, chosen)
            if recipe.horizontal_flips:
                batch_images = mirror(batch_images, flips[start : start + size])
            return batch_images, tf.gather(labels, chosen)

        return tf.data.Dataset.range(0, count, size).map(batch)

    steps = tf.data.experimental.assert_cardinality(steps_per_epoch(count, size))
    return tf.data.Dataset.range(1).flat_map(one_epoch).apply(steps)


def _key(seed: int, epoch: Any, stream: int) -> Any:
    """Return the key, int64 [2], of one of the random streams of an epoch."""
    return tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64) * 2 + stream])


def mirror(images: Any, chosen: Any) -> Any:
    """Return uint8 [n, 28, 28] images with the chosen ones (bool [n]) mirrored left to right.

    A garment mirrored is a garment, and shoes, which all point left in the dataset, should not have to.
    """
    return tf.where(chosen[:, None, None], tf.reverse(images, axis=[2]), images)
