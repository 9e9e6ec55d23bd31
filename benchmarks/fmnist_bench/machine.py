"""Where figures come from: CPU, cores, load, versions."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from fmnist_edge import __version__

# Flags that decide how fast these networks run (x86: SDM volume 2; arm64: the kernel's elf_hwcaps).
_FLAGS: Final = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm", "sve", "sme")
_PACKAGES: Final = (
    *("numpy", "onnxruntime", "pillow", "tensorflow", "keras", "onnx", "tf2onnx"),
    *("ai-edge-litert", "openvino", "pytest-benchmark"),
)


def load_average() -> float | None:
    """Return how many processes wanted a core in the last minute; None where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def machine() -> dict[str, Any]:
    """Return the CPU's name and what decides its speed, by py-cpuinfo where it is installed."""
    try:
        from cpuinfo import get_cpu_info

        known = get_cpu_info()
    except ModuleNotFoundError:
        known = {}
    return {
        "cpu": known.get("brand_raw") or platform.processor() or platform.machine(),
        "instruction_sets": [flag for flag in _FLAGS if flag in known.get("flags", ())],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "system": f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of what was measured, as far as it is installed."""
    found = {"python": platform.python_version(), "fmnist-edge": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
