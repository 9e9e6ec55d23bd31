"""Taking one protection away in a copy of the checkout, and looking which tests notice."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]
_TABLES: Final = ("pictures", "models", "runs", "watching")
_ROOMS: Final = ("runtime", "train", "convert", "benchmarks")
_SECONDS: Final = 1200  # a test that hangs has not failed
_ENOUGH: Final = "--maxfail=2"  # one will do, more say little
_FUZZ_SECONDS: Final = 28  # as in `make fuzz-quick`


@dataclass(frozen=True)
class Removal:
    """One protection, and how to do without it."""

    row: str
    """What it is for: a row of docs/reliability.md, or a demand of its own."""
    protection: str
    """In a few words."""
    edits: list[dict[str, str]]
    """Each with `file`, `before`, a text that is in it once, and `after`, what stands there without the protection."""
    test: str
    """What must fail: arguments of pytest, or `fuzz TARGET`."""

    @property
    def name(self) -> str:
        """The row and the protection."""
        return f"{self.row}: {self.protection}"


class RemovalError(Exception):
    """A removal could not be tried, or its test neither passed nor failed."""


def read_removals() -> list[Removal]:
    """Return what the tables beside this file list."""
    tables = [tomllib.loads((Path(__file__).with_name(f"{name}.toml")).read_text(encoding="utf-8")) for name in _TABLES]
    return [Removal(**entry) for table in tables for entry in table["removal"]]


def edited(removal: Removal, root: Path) -> dict[Path, str]:
    """Return the files of a checkout without the protection, by path. Raises RemovalError if a text is not there."""
    texts: dict[Path, str] = {}
    for edit in removal.edits:
        path, before = root / edit["file"], edit["before"]
        text = texts.get(path) or path.read_text(encoding="utf-8")
        if text.count(before) != 1:
            raise RemovalError(f"{edit['file']} holds {text.count(before)} times: {before}")
        texts[path] = text.replace(before, edit["after"])
    return texts


def failing_tests(removal: Removal) -> list[str]:
    """Return the names of the tests that fail without the protection. Raises RemovalError."""
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix="without-") as folder:
        copy = Path(folder)
        _copy_checkout(copy)
        for path, text in edited(removal, copy).items():
            path.write_text(text, encoding="utf-8")
        arguments = shlex.split(removal.test)
        try:
            return _fuzzed(copy, arguments[1]) if arguments[0] == "fuzz" else _tested(copy, arguments)
        except subprocess.TimeoutExpired as error:
            raise RemovalError(f"no end after {_SECONDS} s") from error


def _copy_checkout(copy: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in os.fsdecode(listed).split("\0")[:-1]:
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy / name)


def _run(copy: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run Python in the copy, whose packages come before the installed ones."""
    path = os.pathsep.join(str(copy / room) for room in _ROOMS)
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=copy, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=_SECONDS
    )


def _tested(copy: Path, arguments: list[str]) -> list[str]:
    done = _run(copy, ["-m", "pytest", "-q", "--no-header", "--tb=line", _ENOUGH, "-p", "no:cacheprovider", *arguments])
    if done.returncode not in (0, 1):
        raise RemovalError(f"pytest ended with {done.returncode}: {(done.stdout + done.stderr)[-1000:]}")
    failed = re.findall(r"^(?:FAILED|ERROR) \S+::(\w+)", done.stdout, re.MULTILINE)
    return list(dict.fromkeys(failed))


def _fuzzed(copy: Path, target: str) -> list[str]:
    done = _run(copy, ["-m", "tests.reliability.fuzz.run", "--seconds", str(_FUZZ_SECONDS), target])
    if done.returncode not in (0, 1):
        raise RemovalError(f"the fuzzer ended with {done.returncode}: {done.stderr[-1000:]}")
    return [f"make fuzz-quick ({target})"] if "found ['" in done.stdout else []
