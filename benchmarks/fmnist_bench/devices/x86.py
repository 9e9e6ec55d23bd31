"""This machine's own CPU: as it is, with instructions hidden from programs, or replaced by an emulated older one."""

from __future__ import annotations

import functools
import platform
import subprocess
import sys
from pathlib import Path
from typing import Final

from fmnist_bench.devices.device import Command, Method
from fmnist_bench.devices.tools import PROGRAMS, NotAvailableError, Tools, run

PYTHON_PROGRAM: Final = str(PROGRAMS / "run_onnxruntime.py")
MASK_REFUSED: Final = 99  # exit code of programs/cpuid_mask.c where the kernel or the CPU cannot fault on CPUID


def as_it_is(_tools: Tools) -> Command:
    """Run with this environment's own onnxruntime."""
    vnni = ", VNNI" if cpu_flags() & {"avx512_vnni", "avx_vnni"} else ""
    return Command((sys.executable, PYTHON_PROGRAM), f"as it is: {cpu_name()}{vnni}")


def masked(level: str, needs: str = "") -> Method:
    """Hide the newer instructions from CPUID: the CPU is real and fast, the libraries choose their older kernels."""
    return functools.partial(_masked, level, needs)


def emulated(cpu: str) -> Method:
    """Emulate an older x86 CPU with qemu."""
    return functools.partial(_emulated, cpu)


def _masked(level: str, needs: str, tools: Tools) -> Command:
    flags = cpu_flags()
    if "cpuid_fault" not in flags:
        raise NotAvailableError("this CPU cannot hide instructions (no cpuid_fault in /proc/cpuinfo)")
    if needs and needs not in flags:
        raise NotAvailableError(f"this CPU has no {needs} to run")
    environment = {"LD_PRELOAD": str(_built_mask(tools)), "CPUID_MASK": level}
    if subprocess.run(["/bin/true"], env=environment, capture_output=True).returncode == MASK_REFUSED:
        raise NotAvailableError("the kernel refuses CPUID faulting here (arch_prctl ARCH_SET_CPUID)")
    return Command((sys.executable, PYTHON_PROGRAM), "newer instructions hidden from CPUID", environment)


def _built_mask(tools: Tools) -> Path:
    source, library = PROGRAMS / "cpuid_mask.c", tools.folder / "cpuid_mask.so"
    if not library.exists() or library.stat().st_mtime < source.stat().st_mtime:
        compiler = tools.program("cc", "gcc", "libc6-dev")
        run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(source)], "compiling cpuid_mask.c")
    return library


def _emulated(cpu: str, tools: Tools) -> Command:
    if platform.machine() != "x86_64" or sys.platform != "linux":
        raise NotAvailableError("needs a Linux x86-64 machine, whose Python qemu can run")
    qemu = tools.program("qemu-x86_64-static", "qemu-user-static")
    return Command((qemu, "-cpu", cpu, sys.executable, PYTHON_PROGRAM), f"qemu-user -cpu {cpu}", slow=True)


def cpu_flags() -> frozenset[str]:
    """Return the features that Linux lists for this CPU; none elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.split(":")[1] for line in lines if line.startswith("flags")), "").split())


def cpu_name() -> str:
    """Return the CPU's name for people, or its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
