"""Conversion: from a Keras file to fp32 and int8 ONNX files that are proved to agree with it. Needs [convert]."""
