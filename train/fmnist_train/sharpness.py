"""Sharpness-aware training: step by the gradient at the worst nearby weights, so that a flat minimum is found."""

from __future__ import annotations

from typing import Any, Final

from fmnist_train.backend import keras, tf

TINY: Final = 1e-12  # under the square root: where the gradient is zero, nothing is climbed


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
