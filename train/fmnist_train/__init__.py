"""Training: from the dataset to a Keras file. Needs the extra [train].

Read it in the order of the work: `recipes` say what to do, `training` does it from start to end.
"""
