"""Training: from pictures to a Keras file. Needs the extra [train].

The dataset classifier: `recipes` say what to do, `mlp` is the network, `fit` trains it from start to end. The photo
model: `stock` and `augment` make its batches, `cnn` is the network, `photo_fit` trains it.
"""
