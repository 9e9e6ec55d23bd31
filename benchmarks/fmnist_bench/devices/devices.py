"""The devices of the matrix, each with the methods to run it on this machine. Nothing is installed twice."""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
TOOLS: Final = Path("build/devices/tools").absolute()
PROGRAM: Final = str(HERE / "program.py")
PIP: Final = ("-m", "pip", "install", "-q", "--only-binary=:all:")
NPM: Final = {"web": ("onnxruntime-web@1.30.0", "playwright-core@1.65.1"), "node": ("onnxruntime-node@1.30.0",)}
ARM_PACKAGES: Final = (
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6", "libgcc-s1", "libstdc++6"),
    *("libcrypt1", "zlib1g", "libssl3", "libffi8", "libbz2-1.0", "liblzma5", "libexpat1", "libuuid1"),
)
# What /proc/cpuinfo says there: part number and features (Arm's Main ID Register; Linux's arm64 elf_hwcaps).
ARM_CPUS: Final = {
    "cortex-a53": ("0xd03", "fp asimd evtstrm crc32 cpuid"),
    "cortex-a72": ("0xd08", "fp asimd evtstrm crc32 cpuid"),
    "neoverse-n1": ("0xd0c", "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm asimddp"),
}


class NotAvailableError(Exception):
    """This machine can't run a device; the message says why and what would help."""


@dataclass(frozen=True)
class Command:
    """How to run the workload on a device."""

    line: tuple[str, ...]  # the workload's arguments are appended
    how: str  # for the table: how the device is emulated, or that it isn't
    environment: Mapping[str, str] = field(default_factory=dict)
    slow: bool = False  # emulated: fewer images, and its times say nothing


Method = Callable[[], Command]
"""Installs what it needs and returns the command; raises NotAvailableError where this machine lacks it."""


@dataclass(frozen=True)
class Device:
    """A row of the matrix."""

    name: str
    examples: str  # hardware or software of this kind
    methods: tuple[Method, ...]  # the best first
    features: Mapping[str, bool] = field(
        default_factory=dict
    )  # of the CPU: which a library must see, and which it must not
    fault: str | None = None  # a planted fault that must give wrong answers on this device
    photo: bool = True  # whether it can run the photo model, which needs opset 18
    floats: bool = False  # whether it computes the classifier in float: equal labels, close probabilities
    quick: bool = False  # whether `make devices-quick` runs it


def native() -> Command:
    """Run on this machine's own CPU with this environment's onnxruntime."""
    vnni = ", VNNI" if {"avx512_vnni", "avx_vnni"} & set(cpu_fact("flags").split()) else ""
    return Command((sys.executable, PROGRAM), f"as it is{vnni}")


def masked(level: str, needs: str) -> Command:
    """Hide the newer instructions from CPUID: at full speed, the libraries choose their older kernels."""
    if missing := {"cpuid_fault", needs} - set(cpu_fact("flags").split()):
        raise NotAvailableError(f"this CPU has no {' and no '.join(sorted(missing))} (see /proc/cpuinfo)")
    library = TOOLS / "cpuid_mask.so"
    run([program("cc", "gcc", "libc6-dev"), "-O1", "-shared", "-fPIC", "-o", str(library), str(HERE / "cpuid_mask.c")])
    environment = {"LD_PRELOAD": str(library), "CPUID_MASK": level}
    if subprocess.run(["/bin/true"], env=environment, capture_output=True).returncode == 99:  # as cpuid_mask.c has it
        raise NotAvailableError("the kernel refuses CPUID faulting here (arch_prctl ARCH_SET_CPUID)")
    return Command((sys.executable, PROGRAM), "newer instructions hidden from CPUID", environment)


def emulated(cpu: str) -> Command:
    """Emulate an older x86 CPU with qemu."""
    if platform.machine() != "x86_64":
        raise NotAvailableError("needs an x86-64 machine, whose Python qemu can run")
    qemu = program("qemu-x86_64-static", "qemu-user-static")
    environment = {"OPENBLAS_CORETYPE": cpu}  # on some hosts it takes the wrong kernels, and crashes
    return Command((qemu, "-cpu", cpu, sys.executable, PROGRAM), f"qemu-user -cpu {cpu}", environment, slow=True)


def arm64(cpu: str) -> Command:
    """Emulate an Arm CPU: Debian's arm64 Python, and the wheels that a Raspberry Pi would install."""
    qemu, folder = program("qemu-aarch64-static", "qemu-user-static"), TOOLS / "arm64"
    root = once(folder / "root", _unpack_arm_python)
    site = once(folder / f"site-{version('onnxruntime')}-{version('numpy')}", _install_arm_wheels)
    # onnxruntime reads the CPU's name here when it is imported, and crashes on the host's x86 one.
    part, features = ARM_CPUS[cpu]
    identity = f"CPU implementer: 0x41\nCPU architecture: 8\nCPU variant: 0x0\nCPU part: {part}\nCPU revision: 4\n"
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc" / "cpuinfo").write_text(f"processor: 0\nFeatures: {features}\n{identity}".replace(": ", "\t: "))
    environment = {"PYTHONHOME": "/usr", "PYTHONPATH": str(site), "OPENBLAS_NUM_THREADS": "1"}
    line = (qemu, "-cpu", cpu, "-L", str(root), "-E", "LD_LIBRARY_PATH=/usr/lib/aarch64-linux-gnu")
    return Command((*line, f"{root}/usr/bin/python3.11", PROGRAM), f"qemu-user -cpu {cpu}", environment, slow=True)


def _unpack_arm_python(root: Path) -> None:
    """Fetch Debian's arm64 packages with apt's own checks, in a private state folder, and unpack them into `root`."""
    apt = root.parent / "apt"
    for name in ("state/lists/partial", "cache/archives/partial", "debs"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    options = [f"-oDir::State={apt}/state", f"-oDir::State::status={apt}/status", f"-oDir::Cache={apt}/cache"]
    options += ["-oAPT::Architecture=arm64", "-oAPT::Architectures::=arm64", "-oAPT::Sandbox::User=root"]
    run(["apt-get", *options, "update", "-qq"])
    run(["apt-get", *options, "download", "-qq", *ARM_PACKAGES], folder=apt / "debs")
    for package in sorted((apt / "debs").glob("*.deb")):
        run(["dpkg", "-x", str(package), str(root)])


def _install_arm_wheels(site: Path) -> None:
    """Install the arm64 wheels of this environment's own versions into `site`."""
    tags = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
    pip = [*PIP, "--no-deps", "--target", str(site), "--python-version", "3.11", *(f"--platform={tag}" for tag in tags)]
    run([sys.executable, *pip, *(f"{name}=={version(name)}" for name in ("numpy", "onnxruntime"))])


def old_runtime(release: str, pythons: tuple[str, ...]) -> Command:
    """Run a release of onnxruntime on the first of these Python versions ("3.10", ...) that this machine has."""
    interpreter = next((found for name in pythons if (found := find_python(name))), None)
    if interpreter is None:
        raise NotAvailableError(f"needs a Python {pythons[-1]} to {pythons[0]} on the path or in pyenv's versions")

    def install(folder: Path) -> None:
        run([interpreter, "-m", "venv", "--clear", str(folder)])
        # Wheels before onnxruntime 1.19 were compiled against numpy 1.
        run([str(folder / "bin" / "python"), *PIP, f"onnxruntime=={release}", "numpy<2"])

    return Command((str(once(TOOLS / f"onnxruntime-{release}", install) / "bin" / "python"), PROGRAM), "as it is")


def find_python(name: str) -> str | None:
    """Return an interpreter of a version like "3.9" from pyenv or from the path."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    folders = os.pathsep.join(map(str, pyenv.glob(f"{name}.*/bin")))
    return shutil.which("python", path=folders) or shutil.which(f"python{name}")


def javascript(package: str, wanted: str, how: str, *, chromium: bool = False) -> Command:
    """Run onnxruntime-node or onnxruntime-web (WebAssembly, one thread) in Node, or the latter in headless Chromium."""
    node, npm = (program(name, "nodejs", "npm") for name in ("node", "npm"))
    environment = {"CHROMIUM": program("chromium", "chromium")} if chromium else {}

    def install(folder: Path) -> None:
        # No package's script is run: that of onnxruntime-node would download GPU libraries.
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
        run([npm, "install", "--prefix", str(folder), *options, *NPM[wanted]])

    folder = once(TOOLS / f"npm-{wanted}", install) / "node_modules" / package
    return Command((node, str(HERE / "program.mjs"), str(folder)), how, environment)


def program(name: str, *packages: str) -> str:
    """Return the path of a program, after installing its Debian packages if it is missing."""
    if not shutil.which(name):
        run(["apt-get", "update", "-qq"])
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages])
    return shutil.which(name) or name


def once(folder: Path, install: Callable[[Path], None]) -> Path:
    """Return a folder that `install` fills, unless it already has."""
    done = folder / ".installed"
    if not done.exists():
        sys.stderr.write(f"  installing {folder.relative_to(TOOLS)}\n")
        folder.mkdir(parents=True, exist_ok=True)
        install(folder)
        done.touch()
    return folder


def run(command: Sequence[str], folder: Path | None = None) -> None:
    """Run an install step. Raises NotAvailableError with its last line if it fails."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        words = last_line(getattr(error, "stderr", None) or str(error))
        raise NotAvailableError(f"needs `{Path(command[0]).name} ... {command[-1]}`: {words}") from error


def last_line(text: str) -> str:
    """Return the last line that isn't blank."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no message")


def cpu_fact(name: str) -> str:
    """Return an entry of /proc/cpuinfo, such as "model name" or "flags"; "" on other systems."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    found = re.search(rf"^{name}\s*: (.*)$", text, re.MULTILINE)
    return found[1] if found else ""


_do = functools.partial  # a method with its arguments
_HASWELL, _NEHALEM = _do(emulated, "Haswell"), _do(emulated, "Nehalem")
_AS_HASWELL, _AS_NEHALEM = (_do(masked, "avx2", "avx2"), _HASWELL), (_do(masked, "sse", "sse4_2"), _NEHALEM)
_NO_VNNI = {"AVX512F": True, "AVX512VNNI": False}
_AVX2, _SSE = {"AVX2": True, "AVX512F": False}, {"SSE42": True, "AVX": False}
_NO_DOT, _DOT = {"ASIMD": True, "ASIMDDP": False}, {"ASIMDDP": True}
_WEB, _NODE = _do(javascript, "onnxruntime-web", "web"), _do(javascript, "onnxruntime-node", "node", "native in Node")
_CHROMIUM = _do(_WEB, "WebAssembly in headless Chromium", chromium=True)
_WIDE, _DEEP = "full-range", "minus-128"
_OLD, _NEWER = ("3.9", "3.8", "3.7"), ("3.12", "3.11", "3.10")
# fmt: off
DEVICES: Final = (
    # This machine comes first: the answers of the others to pictures are compared with its own.
    Device("this machine", "with what is in constraints.txt", (native,), quick=True),
    Device("x86-64 with AVX-512, no VNNI", "Intel Skylake-X", (_do(masked, "avx512", "avx512f"),), _NO_VNNI, _WIDE),
    Device("x86-64 with AVX2", "Intel Haswell to Comet Lake, AMD Zen 1 to 3", _AS_HASWELL, _AVX2, _WIDE, quick=True),
    Device("x86-64 with SSE4.2", "Intel Nehalem, Atom", _AS_NEHALEM, _SSE, quick=True),
    Device("Arm Cortex-A53", "Raspberry Pi 3", (_do(arm64, "cortex-a53"),), _NO_DOT, _DEEP, quick=True),
    Device("Arm Cortex-A72", "Raspberry Pi 4", (_do(arm64, "cortex-a72"),), _NO_DOT, _DEEP),
    Device("Arm Neoverse N1", "servers, phones since 2018", (_do(arm64, "neoverse-n1"),), _DOT),
    Device("WebAssembly in Node", "services without native code", (_do(_WEB, "WebAssembly in Node"),), quick=True),
    Device("WebAssembly in Chromium", "browsers", (_CHROMIUM,), quick=True),
    Device("Node", "services", (_NODE,)),
    Device("onnxruntime 1.8", "of 2021", (_do(old_runtime, "1.8.1", _OLD),), photo=False, floats=True),
    Device("onnxruntime 1.11", "of 2022", (_do(old_runtime, "1.11.1", _OLD),), photo=False),
    Device("onnxruntime 1.14", "of 2023, the first with opset 18", (_do(old_runtime, "1.14.1", _OLD),), quick=True),
    Device("onnxruntime 1.16", "of 2023", (_do(old_runtime, "1.16.3", ("3.11", "3.10", *_OLD)),)),
    Device("onnxruntime 1.20", "of 2024", (_do(old_runtime, "1.20.1", _NEWER),)),
    Device("onnxruntime 1.23", "of 2025", (_do(old_runtime, "1.23.2", _NEWER),)),
)
