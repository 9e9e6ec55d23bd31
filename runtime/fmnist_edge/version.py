"""The version of the package; the model has a version of its own (see the model's JSON)."""

__version__ = "0.1.0"
