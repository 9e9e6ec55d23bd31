"""Figures as text: three significant digits, in the unit that fits."""

from __future__ import annotations

from typing import Final

_SECONDS: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_BYTES: Final = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def duration(seconds: float | None) -> str:
    """Return seconds as `4.15 µs`, `12.3 ms` or `1.20 s`; a dash for None."""
    if seconds is None:
        return "-"
    scale, unit = next((pair for pair in _SECONDS if seconds >= pair[0]), _SECONDS[-1])
    return f"{digits(seconds / scale)} {unit}"


def size(count: float | None) -> str:
    """Return bytes as `108 kB` or `61.2 MB`; a dash for None."""
    if count is None:
        return "-"
    scale, unit = next((pair for pair in _BYTES if count >= pair[0]), (1.0, "B"))
    return f"{digits(count / scale)} {unit}"


def rate(per_second: float | None) -> str:
    """Return a throughput as `5,340,000`; a dash for None."""
    if per_second is None:
        return "-"
    factor = 10 ** max(0, len(str(int(per_second))) - 3)
    return f"{round(per_second / factor) * factor:,}"


def percent(share: float | None) -> str:
    """Return a share as `89.56 %`; a dash for None."""
    return "-" if share is None else f"{100 * share:.2f} %"


def digits(value: float) -> str:
    """Return a number with three significant digits, without an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
