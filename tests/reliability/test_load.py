"""Load: a hundred thousand images, a million paths, many processes and threads: nothing lost, nothing grows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fmnist_edge import Classifier
from fmnist_edge.batch import Result
from tests.reliability.dropping import PHOTOS
from tests.reliability.kills import SAMPLES
from tests.reliability.load import FLAT_MB, Run, mixed, run_list, write_images
from tests.reliability.processes import SCRIPT, run, with_endless_list

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
PROCESSES, THREADS = 8, 32


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Return a file that is no image."""
    path = tmp_path / "broken.png"
    path.write_bytes(Path(SAMPLES[0]).read_bytes()[:-30])
    return path


def faults(done: Run, total: int) -> list[str]:
    """Return what is wrong with the rows of a run."""
    found = [] if done.rows == total else [f"{done.rows} rows for {total} inputs"]
    if done.different:
        found.append(f"{done.different} rows differ from others for the same file")
    classifier = Classifier()
    for path, record in done.first.items():
        if record["error"] is None and record != Result(path, classifier.classify(path)).as_record():
            found.append(f"{path}: {record}")
    if done.growth_mb() > FLAT_MB:
        found.append(f"{done.growth_mb():.1f} MB more after the first tenth")
    return found


@linux_only
def test_a_list_of_ten_thousand_is_answered_row_by_row_in_flat_memory(tmp_path: Path, broken: Path) -> None:
    total = 10_000  # of which the first tenth has all ten photos four times: the allocator settles after two or three
    done = run_list(mixed(write_images(tmp_path, 200), broken, total, 25, 100), total)
    assert faults(done, total) == []
    assert done.code == 1  # of the broken one


@linux_only
@pytest.mark.stress
def test_a_hundred_thousand_images_in_one_run(tmp_path: Path, broken: Path) -> None:
    total = 100_000
    done = run_list(mixed(write_images(tmp_path, 10_000), broken, total, 100, 100), total)
    wrong = faults(done, total)
    assert wrong == []


@linux_only
@pytest.mark.stress
def test_a_million_paths_on_standard_input() -> None:
    total = 1_000_000
    paths = (SAMPLES[0] if number % 10 == 0 else f"missing-{number % 1000}.png" for number in range(total))
    done = run_list(paths, total)
    wrong = faults(done, total)
    assert wrong == []


def test_many_processes_at_once_give_the_same_rows() -> None:
    inputs = [*SAMPLES, *map(str, PHOTOS[:3]), "missing.png"] * 4
    with ThreadPoolExecutor(PROCESSES) as pool:
        runs = list(pool.map(lambda _: run("classify", "--format", "jsonl", "-q", *inputs), range(PROCESSES)))
    assert {done.code for done in runs} == {1}
    assert len({done.output for done in runs}) == 1
    assert runs[0].output.count(b"\n") == len(inputs)


def test_many_threads_on_one_classifier_give_the_same_bits() -> None:
    classifier, inputs = Classifier(), [*SAMPLES, *map(str, PHOTOS)]
    expected = [classifier.classify(path).probabilities.tobytes() for path in inputs]

    def answer(_: int) -> list[bytes]:
        return [classifier.classify(path).probabilities.tobytes() for path in inputs]

    with ThreadPoolExecutor(THREADS) as pool:
        runs = list(pool.map(answer, range(THREADS)))
    assert all(answers == expected for answers in runs)


@linux_only
def test_an_interrupt_ends_at_once_and_what_was_done_is_printed() -> None:
    inputs = [*SAMPLES, str(PHOTOS[0])]
    with with_endless_list(inputs) as process:
        rows = [process.stdout.readline() for _ in range(50)]
        before = _used_seconds(process.pid)
        process.send_signal(signal.SIGINT)
        rest, told = process.stdout.read(), process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    # Of the process's own time, in which it would have classified hundreds: others on the machine do not count.
    assert usage.ru_utime + usage.ru_stime - before < 5
    assert (process.returncode, told.strip()) == (1, b"Aborted!")
    lines = [*rows, *rest.splitlines(keepends=True)]
    assert [line.split(b": ")[0].decode() for line in lines] == [inputs[at % 11] for at in range(len(lines))]
    assert all(line.endswith(b"%)\n") for line in lines)


def _used_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_rows_come_before_the_list_ends(tmp_path: Path) -> None:
    """As from `inotifywait` or `find` on a slow disk: what was named is answered while the list is still open."""
    command = [SCRIPT, "classify", "--files-from", "-", "--format", "jsonl"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        too_late = threading.Timer(120, process.kill)
        too_late.start()
        process.stdin.write(f"{SAMPLES[0]}\n".encode())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["path"] == SAMPLES[0]
        process.stdin.close()
        assert process.stdout.read() == b""
        too_late.cancel()
