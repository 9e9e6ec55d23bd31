"""Fuzzing: `python -m tests.reliability.fuzz.run --runs 200000`, or `--seconds 20` for CI; exits 1 on a finding.

What is found lies in build/fuzz/TARGET/found, to become a test.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from tests.reliability.fuzz.seeds import LARGEST, image_seeds, model_seeds, pillow_seeds

ROOT: Final = Path(__file__).parents[3]
BUILD: Final = ROOT / "build" / "fuzz"
# libFuzzer's own watch, for what never comes back; what takes two seconds of processor time is found by `verdict`.
_STUCK_SECONDS: Final = 120
_MEMORY_MB: Final = 2048


class Target(NamedTuple):
    """What is fuzzed."""

    name: str
    seeds: Callable[[], Iterable[bytes]]
    largest: int


TARGETS: Final = (
    Target("images", image_seeds, LARGEST),
    Target("models", model_seeds, 1 << 17),
)


class Outcome(NamedTuple):
    """How a run of the fuzzer ended."""

    runs: int
    seeds: int
    coverage: int
    found: list[str]


def fuzz(target: Target, *, runs: int | None, seconds: int | None, seed: int, seeds: Iterable[bytes]) -> Outcome:
    """Run one target until so many inputs were tried, or for so long."""
    corpus, found = BUILD / target.name / "corpus", BUILD / target.name / "found"
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    count = _write_seeds(corpus, seeds, target.largest)
    limits = [f"-runs={runs}"] if runs is not None else [f"-max_total_time={seconds}"]
    command = [sys.executable, "-m", f"tests.reliability.fuzz.fuzz_{target.name}", *limits, f"-seed={seed}"]
    command += [f"-max_len={target.largest}", f"-rss_limit_mb={_MEMORY_MB}"]
    command += [f"-timeout={_STUCK_SECONDS}", f"-report_slow_units={_STUCK_SECONDS}"]
    command += [f"-artifact_prefix={found}/", "-print_final_stats=1", "-verbosity=1", str(corpus)]
    log = BUILD / target.name / "log.txt"
    with log.open("wb") as file:
        code = subprocess.run(command, cwd=ROOT, stderr=file, stdout=file, check=False).returncode
    text = log.read_text(errors="replace")
    done = re.findall(r"Done (\d+) runs", text) or re.findall(r"number_of_executed_units: (\d+)", text)
    covered = re.findall(r"cov: (\d+)", text)
    names = sorted(path.name for path in found.iterdir())
    if code and not names:
        names = [f"exit code {code}: see {log}"]
    return Outcome(int(done[-1]) if done else 0, count, int(covered[-1]) if covered else 0, names)


def _write_seeds(corpus: Path, seeds: Iterable[bytes], largest: int) -> int:
    """Write each seed once, named by its content; return how many."""
    contents = {content for content in seeds if len(content) <= largest}
    for content in contents:
        (corpus / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)
    return len(contents)


def main() -> None:
    """Run the targets and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, help="inputs for each target")
    parser.add_argument("--seconds", type=int, help="or time for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pillow", type=Path, help="a source distribution of Pillow, whose pictures are seeds, too")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="images, models; both by default")
    options = parser.parse_args()
    failed = False
    for target in TARGETS:
        if options.targets and target.name not in options.targets:
            continue
        seeds = [*target.seeds(), *(pillow_seeds(options.pillow) if options.pillow and target.name == "images" else ())]
        outcome = fuzz(target, runs=options.runs, seconds=options.seconds, seed=options.seed, seeds=seeds)
        what = outcome.found or "nothing"
        told = f"{outcome.runs} inputs from {outcome.seeds} seeds, {outcome.coverage} edges, found {what}"
        print(f"{target.name}: {told}")  # noqa: T201
        failed |= bool(outcome.found) or outcome.runs == 0
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
