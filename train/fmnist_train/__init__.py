"""Training: from the dataset to a Keras file. Needs the extra [train]."""
