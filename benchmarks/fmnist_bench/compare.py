"""Did it get slower? A git revision and this checkout, measured in turns on the same machine."""

from __future__ import annotations

import io
import json
import math
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

import fmnist_edge
from fmnist_bench import environment
from fmnist_bench.backends import Images
from fmnist_bench.report import COLD, MANY, ONE, PHOTO, PNG, Table, digits, duration
from fmnist_bench.workloads import PROGRAMS, photo, picture_file, start, timed
from fmnist_edge.errors import GateError, UsageError

LIMIT: Final = 1.10  # a figure is slower if it takes more than this many times as long ...
CONFIDENCE: Final = 0.95  # ... with this confidence
# Pairs of processes, because two processes of the same code differ by some percent (where their memory lies): at least
# the first number, up to the second if noise hides the answer. Of a pair's short rounds the minimum counts, which was
# disturbed the least. docs/benchmarks.md says how well this works.
PAIRS: Final = (11, 33)
ROUNDS: Final = 15
STARTS: Final = 5
_ROUND_SECONDS: Final = 0.006
FIGURES: Final = (ONE, PNG, PHOTO, MANY, COLD)
Ask = Callable[[str, int], float]
"""Takes a figure and a number of calls, returns the seconds they took."""


@dataclass(frozen=True)
class Verdict:
    """A figure of both sides: seconds, the minimum of the rounds of each pair."""

    title: str
    base: Sequence[float]
    head: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        """How many times as long the head took, in each pair."""
        return [head / base for base, head in zip(self.base, self.head, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the paired ratios."""
        return statistics.median(self.ratios)

    @property
    def is_slower(self) -> bool:
        """Whether the head takes more than LIMIT times as long, with CONFIDENCE."""
        return lower_bound(self.ratios) > LIMIT

    @property
    def is_open(self) -> bool:
        """Whether these pairs leave it open."""
        return lower_bound([1 / ratio for ratio in self.ratios]) <= 1 / LIMIT and not self.is_slower


def lower_bound(ratios: Sequence[float]) -> float:
    """Return the lower bound of the median ratio, with CONFIDENCE; 0 if there are too few to tell.

    The sign test's bound: the k-th smallest of n, with the largest k for which fewer than k heads in n tosses of a
    coin have a probability of at most 1 - CONFIDENCE (Conover, Practical Nonparametric Statistics, section 3.2). It
    only assumes that the pairs are independent.
    """
    chance, k = 0.0, 0
    while k < len(ratios) and (chance := chance + math.comb(len(ratios), k) / 2 ** len(ratios)) <= 1 - CONFIDENCE:
        k += 1
    return sorted(ratios)[k - 1] if k else 0.0


def compare(revision: str, images: Images, on_step: Callable[[str], None]) -> list[Verdict]:
    """Measure this checkout against a git revision of it.

    Raises UsageError if there is no such revision or checkout; GateError if a process of either side fails.
    """
    with tempfile.TemporaryDirectory(prefix="fmnist-bench-") as scratch:
        base = _lay_out(revision, Path(scratch) / "base")
        return compare_sides(base, Path(fmnist_edge.__file__).parents[1], images, Path(scratch), on_step)


def _lay_out(revision: str, target: Path) -> Path:
    """Put the runtime of a git revision into a folder; return the folder with its package."""
    checkout = Path(fmnist_edge.__file__).parents[2]
    archive = ["git", "-C", str(checkout), "archive", revision, "runtime"]
    done = subprocess.run(archive, capture_output=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[0]
        raise UsageError(f"--against {revision}: not a .json file, and not a git revision of {checkout} ({reason})")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as files:
        files.extractall(target, filter="data")
    return target / "runtime"


def compare_sides(
    base: Path, head: Path, images: Images, scratch: Path, on_step: Callable[[str], None]
) -> list[Verdict]:
    """Measure two folders with the package in pairs of processes, until every figure is decided or PAIRS are done."""
    png, picture = picture_file(images[0]), photo(images[0], "640x480 JPEG")
    files: dict[str, Any] = {"png": np.frombuffer(png, np.uint8), "photo": np.frombuffer(picture, np.uint8)}
    np.savez(scratch / "images.npz", pixels=images, **files)
    (scratch / "image.png").write_bytes(png)
    found = {figure: Verdict(figure, (), ()) for figure in FIGURES}
    for number in range(PAIRS[1]):
        wanted = [figure for figure in FIGURES if number < PAIRS[0] or found[figure].is_open]
        on_step(f"pair {number + 1}: {', '.join(wanted)}")
        for figure, before, now in _pair((base, head), wanted, scratch) if wanted else ():
            found[figure] = Verdict(figure, (*found[figure].base, before), (*found[figure].head, now))
    return list(found.values())


def _pair(sides: tuple[Path, Path], figures: Sequence[str], scratch: Path) -> Iterator[tuple[str, float, float]]:
    """Measure figures by one process of each side: (figure, seconds before, seconds now)."""
    with ExitStack() as stack:
        asks = [stack.enter_context(_process(side, scratch / "images.npz")) for side in sides]
        classify = [sys.executable, "-m", "fmnist_edge", "classify", str(scratch / "image.png")]
        starts = [partial(start, classify, _variables(side)) for side in sides]
        for figure in figures:
            if figure == COLD:
                before, now = _in_turns([partial(timed, run) for run in starts], STARTS)
                yield figure, before, now
            else:
                calls = _calls(asks[0], figure)
                before, now = _in_turns([partial(ask, figure, calls) for ask in asks], ROUNDS)
                yield figure, before / calls, now / calls


def _calls(ask: Ask, figure: str) -> int:
    """Return the number of calls that takes about _ROUND_SECONDS."""
    few = max(1, round(_ROUND_SECONDS / 10 / ask(figure, 1)))
    return max(1, round(_ROUND_SECONDS * few / ask(figure, few)))


def _in_turns(runs: Sequence[Callable[[], float]], rounds: int) -> tuple[float, float]:
    """Return the minima of two measurements that take turns, each first in every other round."""
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for place in (0, 1) if number % 2 else (1, 0):
            found[place].append(runs[place]())
    return min(found[0]), min(found[1])


def _variables(side: Path) -> dict[str, str]:
    return environment() | {"PYTHONPATH": str(side)}


@contextmanager
def _process(side: Path, images: Path) -> Iterator[Ask]:
    """Start a side's process and yield the function that measures in it. Raises GateError if it ends."""
    command = [sys.executable, str(PROGRAMS / "side.py"), str(images)]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process: Any = subprocess.Popen(command, env=_variables(side), text=True, **pipes)

    def ask(figure: str, calls: int) -> float:
        try:
            print(json.dumps([figure, calls]), file=process.stdin, flush=True)
            return float(process.stdout.readline())
        except (OSError, ValueError) as error:
            process.kill()
            reason = (process.communicate()[1].strip().splitlines() or ["it ended"])[-1]
            raise GateError(f"cannot measure {figure!r} of {side}: {reason}") from error

    with process:
        yield ask
        process.stdin.close()


def table(verdicts: Sequence[Verdict], revision: str) -> Table:
    """Return the verdicts as a table."""
    rows = [
        [
            one.title,
            *(duration(statistics.median(times)) for times in (one.base, one.head)),
            *(digits(ratio) for ratio in (one.ratio, lower_bound(one.ratios))),
            "slower" if one.is_slower else "ok",
        ]
        for one in verdicts
    ]
    note = (
        "Ratio: the median of the paired ratios; with 95\u00a0% confidence it is at least the bound beside it. "
        f"A bound over {LIMIT:.2f} fails; times alone never do."
    )
    return Table(f"Against {revision}", ("", "before", "now", "ratio", "at least", ""), rows, note)


def check(verdicts: Sequence[Verdict], revision: str) -> None:
    """Raise GateError, naming the figures, if one got slower."""
    slower = [f"{one.title} takes {one.ratio:.2f} times as long" for one in verdicts if one.is_slower]
    if slower:
        raise GateError(f"slower than {revision}: {'; '.join(slower)}")
