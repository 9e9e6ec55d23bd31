"""From contenders to samples: in-process figures by pytest-benchmark, whole processes by a launcher."""
