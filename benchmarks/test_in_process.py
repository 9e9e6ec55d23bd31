"""The in-process figures by hand: `pytest benchmarks` after a `make bench-quick`; one family, a few runs."""

from __future__ import annotations

from fmnist_bench.measuring.in_process import test_one_image, test_png_to_label, test_ten_thousand

__all__ = ["test_one_image", "test_png_to_label", "test_ten_thousand"]
