"""The version of the package; the model has a version of its own (see the model's JSON)."""

from typing import Final

__version__: Final = "0.1.0"
