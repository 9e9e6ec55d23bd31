"""Where the figures come from: CPU, instruction sets, cores, governor, versions."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from fmnist_bench.measuring.plan import cores
from fmnist_edge import __version__

# Flags of /proc/cpuinfo that decide how fast these networks run (x86: SDM volume 2; arm64: kernel's elf_hwcaps).
_FLAGS: Final = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm", "sve", "sme")
_PACKAGES: Final = (
    "numpy",
    "onnxruntime",
    "pillow",
    "click",
    "tensorflow",
    "keras",
    "ai-edge-litert",
    "openvino",
    "pytest-benchmark",
)


def machine() -> dict[str, Any]:
    """Return what is known of this machine; what the system does not tell is left out."""
    info = _cpuinfo()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    facts = {
        "cpu": _cpu_name(info),
        "architecture": platform.machine(),
        "instruction_sets": [flag for flag in _FLAGS if flag in flags],
        "cores": cores(),
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory_bytes": _memory(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "hypervisor": "yes" if "hypervisor" in flags else None,
    }
    return {name: value for name, value in facts.items() if value not in (None, "")}


def load_average() -> float | None:
    """Return how many processes wanted a core in the last minute; None where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def versions() -> dict[str, str]:
    """Return the versions of Python and of what was measured, as far as it is installed."""
    found = {"python": platform.python_version(), "fmnist-edge": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _cpuinfo() -> dict[str, str]:
    """Return the first processor's part of /proc/cpuinfo; empty elsewhere than on Linux."""
    pairs = (line.partition(":") for line in _text("/proc/cpuinfo").split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _cpu_name(info: dict[str, str]) -> str:
    """Return the CPU's name, with the numbers of its kind where the name says nothing."""
    name = info.get("model name") or _text("/proc/device-tree/model").strip("\0") or platform.processor() or "unknown"
    kind = [info[key] for key in ("cpu family", "model", "stepping") if key in info]
    return f"{name} ({'-'.join(kind)})" if kind else name


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if sys.platform != "win32" else None
    except (ValueError, OSError):
        return None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
