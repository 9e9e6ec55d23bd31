"""The rows of the matrix."""

from __future__ import annotations

from typing import Final

from fmnist_bench.devices.arm64 import arm64
from fmnist_bench.devices.device import Device, Promise
from fmnist_bench.devices.javascript import chromium_wasm, node_native, node_wasm
from fmnist_bench.devices.old_runtimes import onnxruntime
from fmnist_bench.devices.standard import reference_evaluator
from fmnist_bench.devices.x86 import as_it_is, emulated, masked

FULL_RANGE: Final = "full-range"
MINUS_128: Final = "minus-128"
NO_AVX512: Final = {"AVX2": True, "AVX512F": False}
NO_AVX: Final = {"SSE42": True, "AVX": False}

# First comes this machine: its answers on photos are what the other devices' are compared with.
DEVICES: Final = (
    Device("this machine", "with what is in constraints.txt", (as_it_is,), quick=True),
    Device(
        "x86-64 with AVX-512, no VNNI",
        "Intel Skylake-X",
        (masked("avx512", needs="avx512f"),),
        features={"AVX512F": True, "AVX512VNNI": False},
        fault=FULL_RANGE,
    ),
    Device(
        "x86-64 with AVX2",
        "Intel Haswell to Comet Lake, AMD Zen 1 to 3",
        (masked("avx2", needs="avx2"), emulated("Haswell")),
        features=NO_AVX512,
        fault=FULL_RANGE,
        quick=True,
    ),
    Device(
        "x86-64 with SSE4.2",
        "Intel Nehalem, Atom",
        (masked("sse"), emulated("Nehalem")),
        features=NO_AVX,
        quick=True,
    ),
    Device("emulated Haswell", "AVX2", (emulated("Haswell"),), features=NO_AVX512, fault=FULL_RANGE),
    Device("emulated Nehalem", "SSE4.2", (emulated("Nehalem"),), features=NO_AVX),
    Device(
        "Arm Cortex-A53",
        "Raspberry Pi 3",
        (arm64("cortex-a53"),),
        features={"ASIMD": True, "ASIMDDP": False},
        fault=MINUS_128,
        quick=True,
    ),
    Device(
        "Arm Cortex-A72",
        "Raspberry Pi 4",
        (arm64("cortex-a72"),),
        features={"ASIMD": True, "ASIMDDP": False},
        fault=MINUS_128,
    ),
    Device(
        "Arm Neoverse N1", "servers, phones since 2018", (arm64("neoverse-n1"),), features={"ASIMDDP": True}, quick=True
    ),
    Device("WebAssembly in Node", "services without native code", (node_wasm,), quick=True),
    Device("WebAssembly in Chromium", "browsers", (chromium_wasm,), quick=True),
    Device("Node", "services", (node_native(),)),
    Device(
        "onnxruntime 1.8",
        "of 2021",
        (onnxruntime("1.8.1", ("3.9", "3.8", "3.7")),),
        promise=Promise.FLOAT_PATH,
    ),
    Device("onnxruntime 1.11", "of 2022", (onnxruntime("1.11.1", ("3.9", "3.8", "3.7")), node_native("node-1.11"))),
    Device("onnxruntime 1.16", "of 2023", (onnxruntime("1.16.3", ("3.11", "3.10", "3.9", "3.8")),), quick=True),
    Device("onnxruntime 1.20", "of 2024", (onnxruntime("1.20.1", ("3.12", "3.11", "3.10")),), quick=True),
    Device("onnx.reference", "the standard's own evaluator", (reference_evaluator,), promise=Promise.LABELS),
)
