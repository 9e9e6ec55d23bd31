"""The figures as tables of Markdown, put between the marks that README.md and docs/lake.md hold for them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from fmnist_bench.lake.cost import CORES, LAKE, Cost, cost
from fmnist_bench.lake.measuring import QUIET

NAMES: Final = {"dataset": "28x28 PNG", "photo": "photo, JPEG"}
_COMPARED: Final = {"scaling from 1 to 2 workers": "scaling", "overhead of 1 worker against `classify`": "overhead"}
_BLOCK: Final = "<!-- lake: {name} -->"
_END: Final = "<!-- end of lake -->"


def insert(page: Path, measured: dict[str, Any]) -> None:
    """Write the tables anew into a page. Raises ValueError if it has no place for any."""
    text = page.read_text(encoding="utf-8")
    blocks = {"rates": rates(measured), "costs": costs(measured), "measured on": measured_on(measured)}
    changed = 0
    for name, content in blocks.items():
        pattern = re.escape(_BLOCK.format(name=name)) + ".*?" + re.escape(_END)
        whole = f"{_BLOCK.format(name=name)}\n{content}\n{_END}"
        text, count = re.subn(pattern, lambda _, whole=whole: whole, text, flags=re.DOTALL)  # type: ignore[misc]
        changed += count
    if not changed:
        raise ValueError(f"{page} has no place for figures of the lake")
    page.write_text(text, encoding="utf-8")


def rates(measured: dict[str, Any]) -> str:
    """Return images a second of every command, by kind of lake, and what they come to."""
    lakes = measured["lakes"]
    rows = [
        [f"`{name}`", *(_rate(lakes[kind]["timings"][name], name) for kind in NAMES)]
        for name in lakes["dataset"]["timings"]
    ]
    rows += [[title, *(_both(lakes[kind], key) for kind in NAMES)] for title, key in _COMPARED.items()]
    heads = [f"{measured['images']:,} images", *(f"{NAMES[kind]}, images/s" for kind in NAMES)]
    return _table(heads, rows)


def _rate(timing: dict[str, float], name: str) -> str:
    whole = f"{timing['rate']:,.0f}"
    return f"{whole} ({timing['running_rate']:,.0f})" if "lake" in name else whole


def _both(lake: dict[str, float], key: str) -> str:
    """Return a share of the whole command, and in brackets of the time that the workers worked."""
    form = "{:.2f}" if key == "scaling" else "{:.0%}"
    return f"{form.format(lake[key])} ({form.format(lake[f'running_{key}'])})"


def costs(measured: dict[str, Any]) -> str:
    """Return what the hundred million images take, by kind."""
    found = {kind: _cost(measured, kind) for kind in NAMES}
    rows = [
        ["a core's time for an image from S3", *(f"{1000 * _seconds(measured, kind):.2f} ms" for kind in NAMES)],
        ["a core's time for all", *(f"{one.core_hours:,.0f} hours" for one in found.values())],
    ]
    rows += [[f"on {cores:,} cores", *(_on(one, cores) for one in found.values())] for cores in CORES]
    rows.append(["cores that one prefix of S3 keeps busy", *(f"{one.cores_of_a_prefix:.1f}" for one in found.values())])
    return _table([f"{LAKE:,} images", *NAMES.values()], rows)


def _on(one: Cost, cores: int) -> str:
    return f"{_time(one.hours[cores])}, reading {one.megabytes_a_second[cores]:,.0f} MB/s"


def _cost(measured: dict[str, Any], kind: str) -> Cost:
    return cost(_seconds(measured, kind), measured["lakes"][kind]["bytes_an_image"])


def _seconds(measured: dict[str, Any], kind: str) -> float:
    return float(measured["s3"][kind]["core_seconds_an_image"])


def _time(hours: float) -> str:
    return f"{60 * hours:.0f} minutes" if hours < 2 else f"{hours:,.1f} hours"


def measured_on(measured: dict[str, Any]) -> str:
    """Return what the figures were measured on."""
    machine, versions = measured["machine"], measured["versions"]
    names = ("python", "onnxruntime", "ray", "pyarrow")
    busy = measured["load_before"] or 0
    return (
        f"{_rounds(measured['rounds'])} of the whole commands, on {machine['cores']} cores of "
        f"{machine['cpu']}, "
        f"{', '.join(f'{name} {versions[name]}' for name in names)}; in brackets, without the start and end of Ray. "
        f"{f'The machine had been busy in the minute before (load {busy}). ' if busy > QUIET else ''}"
        f"An image takes {measured['lakes']['dataset']['bytes_an_image']:,} bytes as PNG and "
        f"{measured['lakes']['photo']['bytes_an_image']:,} as a photo of 260 to 419 pixels a side."
    )


def _rounds(count: int) -> str:
    return f"Medians of {count} rounds" if count > 1 else "One round, after one that does not count,"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
