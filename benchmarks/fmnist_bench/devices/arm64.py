"""Arm CPUs by qemu-user: Debian's arm64 Python unpacked into a folder, and the arm64 wheels that a Pi would install."""

from __future__ import annotations

import functools
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

from fmnist_bench.devices.device import Command, Method
from fmnist_bench.devices.tools import PROGRAMS, NotAvailableError, Tools, note, run

PYTHON: Final = "3.11"  # Debian 12's
DEBIAN_PACKAGES: Final = (
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib"),
    *("libc6", "libgcc-s1", "libstdc++6", "libcrypt1", "zlib1g", "libssl3", "libffi8"),
    *("libbz2-1.0", "liblzma5", "libexpat1", "libuuid1"),
)
WHEELS: Final = ("numpy", "onnxruntime")
PLATFORMS: Final = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")


def arm64(cpu: str) -> Method:
    """Emulate an Arm CPU; there must be a file of its /proc/cpuinfo beside the programs."""
    return functools.partial(_arm64, cpu)


def _arm64(cpu: str, tools: Tools) -> Command:
    qemu = tools.program("qemu-aarch64-static", "qemu-user-static")
    root, site = tools.folder / "arm64" / "root", tools.folder / "arm64" / "site"
    _unpacked_debian(root)
    _unpacked_wheels(site)
    # onnxruntime reads the CPU's name here when it is imported, and crashes on the host's x86 one.
    (root / "proc").mkdir(exist_ok=True)
    shutil.copy(PROGRAMS / "cpuinfo" / cpu, root / "proc" / "cpuinfo")
    line = (qemu, "-cpu", cpu, "-L", str(root), "-E", "LD_LIBRARY_PATH=/usr/lib/aarch64-linux-gnu")
    python = str(root / "usr" / "bin" / f"python{PYTHON}")
    environment = {"PYTHONHOME": "/usr", "PYTHONPATH": str(site), "OPENBLAS_NUM_THREADS": "1"}
    return Command(
        (*line, python, str(PROGRAMS / "run_onnxruntime.py")), f"qemu-user -cpu {cpu}", environment, slow=True
    )


def _unpacked_debian(root: Path) -> None:
    """Fetch Debian's arm64 packages with apt's own checks, in a private state folder, and unpack them into `root`."""
    done = root / "unpacked"
    if done.exists():
        return
    if not shutil.which("apt-get"):
        raise NotAvailableError("needs Debian 12's apt-get, for the arm64 Python")
    note("fetching Debian's arm64 Python")
    apt = root.parent / "apt"
    for folder in ("state/lists/partial", "cache/archives/partial", "debs"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures::": "arm64",
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "APT::Sandbox::User": "root",
    }
    options = [argument for key, value in settings.items() for argument in ("-o", f"{key}={value}")]
    run(["apt-get", *options, "update", "-qq"], "apt-get update for arm64")
    run(["apt-get", *options, "download", "-qq", *DEBIAN_PACKAGES], "apt-get download", folder=apt / "debs")
    for package in sorted((apt / "debs").glob("*.deb")):
        run(["dpkg", "-x", str(package), str(root)], f"unpacking {package.name}")
    done.touch()


def _unpacked_wheels(site: Path) -> None:
    """Fetch the arm64 wheels of this environment's own versions and unpack them into `site`."""
    wanted = [f"{name}=={version(name)}" for name in WHEELS]
    done = site / "unpacked"
    if done.exists() and done.read_text().split() == wanted:
        return
    note(f"fetching the arm64 wheels of {' and '.join(wanted)}")
    shutil.rmtree(site, ignore_errors=True)
    wheels = site.parent / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    python = ["--python-version", PYTHON, "--implementation", "cp", "--abi", f"cp{PYTHON.replace('.', '')}"]
    platforms = [argument for platform in PLATFORMS for argument in ("--platform", platform)]
    pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
    run([*pip, "--only-binary=:all:", *platforms, *python, "-d", str(wheels), *wanted], "pip download for arm64")
    for wheel in sorted(wheels.glob("*.whl")):
        run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(site)], f"unpacking {wheel.name}")
    done.write_text("\n".join(wanted))
