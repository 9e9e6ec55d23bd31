"""Benchmarks: what the models cost on a device, measured against alternatives."""
