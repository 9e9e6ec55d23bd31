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
from fmnist_bench.backends import Images, environment
from fmnist_bench.report import COLD, MANY, ONE, PHOTO, PNG, Table, digits, duration
from fmnist_bench.timing import start, timed
from fmnist_bench.workloads import PROGRAMS, photo, picture_file
from fmnist_edge.errors import GateError, UsageError

LIMIT: Final = 1.10  # times as long as before: what is beyond it counts as slower ...
CONFIDENCE: Final = 0.95  # ... with this confidence
# Pairs of processes, since two processes of the same code differ by some percent (where their memory lies); rounds
# within a pair, since a shared machine is disturbed for moments. docs/benchmarks.md says how well they tell.
PAIRS: Final = 11
ROUNDS: Final = 7
_ROUND_SECONDS: Final = 0.02
FIGURES: Final = (ONE, PNG, PHOTO, MANY, COLD)


@dataclass(frozen=True)
class Side:
    """An installation that is measured."""

    root: Path
    """Folder that holds the package."""

    def variables(self) -> dict[str, str]:
        """Return the environment of its processes."""
        return environment() | {"PYTHONPATH": str(self.root)}

    def classify(self, png: Path) -> list[str]:
        """Return the command that classifies a file."""
        old = ["-c", "from fmnist_edge.cli.script import run; run()"]
        way = ["-m", "fmnist_edge"] if (self.root / "fmnist_edge" / "__main__.py").is_file() else old
        return [sys.executable, *way, "classify", str(png)]


@dataclass(frozen=True)
class Verdict:
    """A figure of both sides: seconds, of each pair the median of its rounds."""

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


def lower_bound(ratios: Sequence[float]) -> float:
    """Return what the median ratio is at least, with CONFIDENCE; 0 if there are too few to tell.

    The sign test's bound: the k-th smallest of n, k the largest for which fewer than k heads in n tosses of a coin
    have a chance of at most 1 - CONFIDENCE (Conover, Practical Nonparametric Statistics, section 3.2). It assumes
    nothing of the noise but that the pairs are independent.
    """
    chance, k = 0.0, 0
    while k < len(ratios) and (chance := chance + math.comb(len(ratios), k) / 2 ** len(ratios)) <= 1 - CONFIDENCE:
        k += 1
    return sorted(ratios)[k - 1] if k else 0.0


def compare(revision: str, images: Images, on_step: Callable[[str], None]) -> list[Verdict]:
    """Measure this checkout against a git revision of it.

    Raises UsageError if there is no such revision or checkout; GateError if a process of either fails.
    """
    with tempfile.TemporaryDirectory(prefix="fmnist-bench-") as scratch:
        base = _lay_out(revision, Path(scratch) / "base")
        return compare_sides(base, Side(Path(fmnist_edge.__file__).parents[1]), images, Path(scratch), on_step)


def _lay_out(revision: str, target: Path) -> Side:
    """Put the runtime of a git revision into a folder."""
    checkout = Path(fmnist_edge.__file__).parents[2]
    archive = ["git", "-C", str(checkout), "archive", revision, "runtime"]
    done = subprocess.run(archive, capture_output=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[0]
        raise UsageError(f"--against {revision}: not a .json file, and not a git revision of {checkout} ({reason})")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as files:
        files.extractall(target, filter="data")
    return Side(target / "runtime")


def compare_sides(
    base: Side, head: Side, images: Images, scratch: Path, on_step: Callable[[str], None]
) -> list[Verdict]:
    """Measure two installations in PAIRS pairs of processes, ROUNDS rounds in each."""
    png, picture = picture_file(images[0]), photo(images[0], "640x480 JPEG")
    files: dict[str, Any] = {"png": np.frombuffer(png, np.uint8), "photo": np.frombuffer(picture, np.uint8)}
    np.savez(scratch / "images.npz", pixels=images, **files)
    (scratch / "image.png").write_bytes(png)
    taken: dict[str, list[tuple[float, float]]] = {figure: [] for figure in FIGURES}
    for number in range(PAIRS):
        with ExitStack() as stack:
            sides = (base, head)
            asks = [stack.enter_context(_process(side, scratch / "images.npz")) for side in sides]
            starts = [partial(start, side.classify(scratch / "image.png"), side.variables()) for side in sides]
            for figure in FIGURES:
                on_step(f"pair {number + 1} of {PAIRS}: {figure}")
                calls = 1 if figure == COLD else _calls(asks[0], figure)
                rounds = [partial(timed, run) for run in starts]
                if figure != COLD:
                    rounds = [partial(ask, figure, calls) for ask in asks]
                taken[figure].append(_in_turns(rounds, calls))
    return [Verdict(figure, *zip(*pairs, strict=True)) for figure, pairs in taken.items()]


def _calls(ask: Callable[[str, int], float], figure: str) -> int:
    """Return how many calls take about _ROUND_SECONDS."""
    few = max(1, round(_ROUND_SECONDS / 10 / ask(figure, 1)))
    return max(1, round(_ROUND_SECONDS * few / ask(figure, few)))


def _in_turns(rounds: Sequence[Callable[[], float]], calls: int) -> tuple[float, float]:
    """Return the medians of two measurements that take turns, now one and now the other being the first."""
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS + 1):
        for place in (0, 1) if number % 2 else (1, 0):
            found[place].append(rounds[place]() / calls)
    return statistics.median(found[0][1:]), statistics.median(found[1][1:])  # the first warmed up


@contextmanager
def _process(side: Side, images: Path) -> Iterator[Callable[[str, int], float]]:
    """Start a side's process, and give what asks it for the seconds of so many calls of a figure."""
    command = [sys.executable, str(PROGRAMS / "side.py"), str(images)]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process: Any = subprocess.Popen(command, env=side.variables(), text=True, **pipes)

    def ask(figure: str, calls: int) -> float:
        try:
            print(json.dumps([figure, calls]), file=process.stdin, flush=True)
            return float(process.stdout.readline())
        except (OSError, ValueError) as error:
            process.kill()
            reason = (process.communicate()[1].strip().splitlines() or ["it ended"])[-1]
            raise GateError(f"cannot measure {figure!r} of {side.root}: {reason}") from error

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
        f"Ratio: the median of {PAIRS} paired ratios, which is at least the bound with 95\u00a0% confidence. "
        f"A bound over {LIMIT:.2f} fails; times alone never decide."
    )
    return Table(f"Against {revision}", ("", "before", "now", "ratio", "at least", ""), rows, note)


def check(verdicts: Sequence[Verdict], revision: str) -> None:
    """Raise GateError, naming the figures, if one got slower."""
    slower = [f"{one.title} takes {one.ratio:.2f} times as long" for one in verdicts if one.is_slower]
    if slower:
        raise GateError(f"slower than {revision}: {'; '.join(slower)}")
