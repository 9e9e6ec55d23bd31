"""JavaScript runtimes: onnxruntime-node and onnxruntime-web in Node, onnxruntime-web in headless Chromium."""

from __future__ import annotations

import functools

from fmnist_bench.devices.device import Command, Method
from fmnist_bench.devices.tools import PROGRAMS, Tools


def node_native(packages: str = "node") -> Method:
    """Run onnxruntime-node, which is native code."""
    return functools.partial(_node, packages, "onnxruntime-node", "native in Node")


def node_wasm(tools: Tools) -> Command:
    """Run onnxruntime-web in Node: WebAssembly, one thread."""
    return _node("web", "onnxruntime-web", "WebAssembly in Node", tools)


def chromium_wasm(tools: Tools) -> Command:
    """Run onnxruntime-web in a page of headless Chromium: WebAssembly, one thread."""
    chromium = tools.program("chromium", "chromium")
    node, modules = tools.program("node", "nodejs", "npm"), tools.npm("web")
    line = (node, str(PROGRAMS / "run_chromium.mjs"), chromium, str(modules))
    return Command(line, "WebAssembly in headless Chromium")


def _node(packages: str, package: str, how: str, tools: Tools) -> Command:
    node, modules = tools.program("node", "nodejs", "npm"), tools.npm(packages)
    return Command((node, str(PROGRAMS / "run_node.mjs"), str(modules / package)), how)
