"""The photo model: one ONNX graph from the pixels of a photo to probabilities, preprocessing inside."""
