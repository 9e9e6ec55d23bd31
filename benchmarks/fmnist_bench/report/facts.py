"""What a reader must know of a run before its figures: machine, versions, model, data, what was left out."""

from __future__ import annotations

from typing import Final

from fmnist_bench.bench_report import Report
from fmnist_bench.report.units import size

_PLANS: Final = {
    "full": "full suite",
    "quick": "quick suite: few runs, for a first look",
    "device": "the runtime alone",
}


def facts(report: Report) -> list[tuple[str, str]]:
    """Return names and values, in the order to be read."""
    machine = report.machine
    given = [
        ("run", f"{_PLANS[report.plan]}, {report.date}"),
        ("CPU", f"{machine['cpu']}, {machine['cores']} cores, {machine['architecture']}{_virtual(report)}"),
        ("instruction sets", ", ".join(machine.get("instruction_sets", ())) or "unknown"),
        ("governor", machine.get("governor", "not readable")),
        ("memory", size(machine.get("memory_bytes"))),
        ("system", machine["system"]),
        ("load", _load(report)),
        ("versions", ", ".join(f"{name} {version}" for name, version in report.versions.items())),
        ("model", f"{report.model['name']} {report.model['version']}, SHA-256 {report.model['sha256']}"),
        ("made from", f"the Keras original with SHA-256 {report.model['original_sha256']}"),
        ("data", f"{report.dataset['name']}, {report.dataset['images']:,} images, SHA-256 {report.dataset['sha256']}"),
        ("threads", "one, unless a row says otherwise; cold starts and folders as each library has it by default"),
        ("not measured", "; ".join(report.not_measured)),
    ]
    return [(name, value) for name, value in given if value]


def warning(report: Report) -> str:
    """Return what disturbs the figures, or nothing."""
    load, cores = report.machine.get("load_before"), report.machine["cores"]
    if load is not None and load > cores / 2:
        busy = f"The machine was busy (load {load} on {cores} cores)"
        return f"{busy}: ratios hold better than times, and p99 hardly at all."
    return ""


def _virtual(report: Report) -> str:
    return ", in a virtual machine" if report.machine.get("hypervisor") else ""


def _load(report: Report) -> str:
    before, after = report.machine.get("load_before"), report.machine.get("load_after")
    return "" if before is None else f"{before} before, {after} after"
