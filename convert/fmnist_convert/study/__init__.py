"""The quantization study: ways to quantize the shipped classifier, measured side by side (docs/quantization.md)."""
