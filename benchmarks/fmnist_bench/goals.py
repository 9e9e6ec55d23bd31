"""The ratios that the project set itself, and how this run stands to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fmnist_bench.bench_report import Goal
from fmnist_bench.row import Row

OURS = "int8-classifier"


def reached_goals(rows: Iterable[Row]) -> list[Goal]:
    """Return every goal whose rows were measured."""
    return list(_goals({(row.figure, row.contender, row.threads, row.images): row for row in rows}))


def _goals(rows: dict[tuple[str, str, int, int], Row]) -> Iterator[Goal]:
    for title, over, under, goal in _RATIOS:
        if over in rows and under in rows:
            yield Goal(title, rows[over].p50 / rows[under].p50, goal)
    ours, bare = rows.get(("one-image", OURS, 1, 1)), rows.get(("one-image", "int8-session", 1, 1))
    if ours and bare:
        yield Goal("Classifier.predict: time in session.run's", ours.p50 / bare.p50, 1.3, False)
    yield from _memory(rows)


_MANY = ("ten-thousand", OURS, 1, 10_000)
_RATIOS = (
    ("one image: times faster than model(x)", ("one-image", "keras-call", 1, 1), ("one-image", OURS, 1, 1), 100.0),
    ("one image: times faster than predict", ("one-image", "keras-predict", 1, 1), ("one-image", OURS, 1, 1), 1000.0),
    ("one image: times faster than LiteRT int8", ("one-image", "litert-int8", 1, 1), ("one-image", OURS, 1, 1), 1.0),
    (
        "one PNG: times faster than LiteRT int8",
        ("png-to-label", "litert-int8", 1, 1),
        ("png-to-label", OURS, 1, 1),
        1.0,
    ),
    ("10,000 images: times faster than LiteRT int8", ("ten-thousand", "litert-int8", 1, 10_000), _MANY, 2.0),
    ("10,000 images: times faster than predict", ("ten-thousand", "keras-predict", 1, 10_000), _MANY, 10.0),
    (
        "cold start: times faster than the Keras script",
        ("cold-start", "keras-predict", 1, 1),
        ("cold-start", OURS, 1, 1),
        20.0,
    ),
    *(
        (
            f"{count:,} files: speed in that of Pillow alone",
            ("folder", "pillow", 1, count),
            ("folder", OURS, 1, count),
            0.8,
        )
        for count in (1_000, 10_000, 50_000)
    ),
)


def _memory(rows: dict[tuple[str, str, int, int], Row]) -> Iterator[Goal]:
    """Memory must stay flat and time linear from the smallest to the largest folder."""
    ours = sorted((row for key, row in rows.items() if key[:3] == ("folder", OURS, 1)), key=lambda row: row.images)
    if len(ours) < 2:
        return
    small, large = ours[0], ours[-1]
    what = f"{large.images:,} files against {small.images:,}"
    if small.peak_bytes and large.peak_bytes:
        yield Goal(f"peak memory, {what}", large.peak_bytes / small.peak_bytes, 1.1, False)
    middle = ours[-2]
    per_file = (large.p50 / large.images) / (middle.p50 / middle.images)
    yield Goal(f"time a file, {large.images:,} files against {middle.images:,}", per_file, 1.1, False)
