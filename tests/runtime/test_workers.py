"""Several processes: the rows of one, whatever comes in; and what makes no sense is refused."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fmnist_edge import Classifier, FmnistEdgeError, workers
from fmnist_edge.batch import Result, classify_all
from fmnist_edge.classifier import Prediction
from fmnist_edge.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from fmnist_edge.image_files import ImageSource
from fmnist_edge.workers import classify_with_workers
from tests.reliability.processes import with_endless_list
from tests.runtime.pictures import encoded, garment

ROOT = Path(__file__).parents[2]
SAMPLES = [str(path) for path in sorted((ROOT / "samples").glob("*.png"))]
PHOTO = str(ROOT / "samples" / "photos" / "shoes-1.jpg")
SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))


def facts(result: Result) -> tuple[object, ...]:
    answer = result.prediction
    if answer is None:
        return result.path, str(result.error)
    arrays = (answer.probabilities, answer.image, answer.saw)
    return result.path, answer.model, answer.unsure_below, *(None if one is None else one.tobytes() for one in arrays)


def run(*arguments: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([SCRIPT, "classify", *arguments], input=given, capture_output=True, timeout=120)


def test_two_workers_give_the_results_of_one_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "CHUNK", 3)
    inputs = [*SAMPLES, "missing.png", PHOTO, str(Path(__file__)), *reversed(SAMPLES)]
    classifier = Classifier()
    expected = [facts(result) for result in classify_all(classifier, inputs)]
    assert [facts(result) for result in classify_with_workers(classifier, inputs, 2)] == expected


def test_the_command_prints_the_same_rows_with_folders_and_standard_input(tmp_path: Path) -> None:
    (tmp_path / "in" / "deeper").mkdir(parents=True)
    for number, place in enumerate(["1.png", "2.png", "deeper/3.png"]):
        (tmp_path / "in" / place).write_bytes(Path(SAMPLES[number]).read_bytes())
    (tmp_path / "in" / "4.png").write_bytes(b"no picture")
    arguments = ["-r", "--format", "jsonl", str(tmp_path / "in"), "-", SAMPLES[5]]
    one, two = (run(*arguments, *more, given=encoded(garment())) for more in ([], ["--workers", "2"]))
    assert one.returncode == two.returncode == EXIT_FAILED
    assert one.stdout == two.stdout
    assert len(one.stdout.splitlines()) == 6


def test_workers_without_effect_are_refused(tmp_path: Path) -> None:
    assert b"one input only" in run(SAMPLES[0], "--workers", "2").stderr
    refused = run(*SAMPLES[:2], "--workers", "2", "--explain", str(tmp_path / "drawn"))
    assert refused.returncode == EXIT_USAGE
    assert not (tmp_path / "drawn").exists()


def test_a_closed_pipe_ends_the_workers_quietly() -> None:
    command = f"'{SCRIPT}' classify --workers 2 {' '.join(SAMPLES * 30)} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (EXIT_OK, b"")
    assert len(done.stdout.splitlines()) == 1


class Held(Classifier):
    """Leaves a file for each image that it begins, and waits in each but those of the first kind until it is let go."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return Held, (self.folder,)

    def begin(self, image: ImageSource) -> NDArray[np.uint8] | Prediction:
        (self.folder / secrets.token_hex()).touch()
        data = image if isinstance(image, bytes) else Path(str(image)).read_bytes()
        while data != Path(SAMPLES[0]).read_bytes() and not self.folder.with_name("go").exists():
            time.sleep(0.01)
        return super().begin(image)


CHUNK = 20


def test_whoever_wants_no_more_rows_waits_for_no_more_than_an_image_of_each_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, shut_down = tmp_path / "begun", ProcessPoolExecutor.shutdown
    folder.mkdir()

    def let_go(pool: ProcessPoolExecutor, **options: bool) -> None:
        (tmp_path / "go").touch()
        shut_down(pool, **options)

    monkeypatch.setattr(workers, "CHUNK", CHUNK)
    monkeypatch.setattr(ProcessPoolExecutor, "shutdown", let_go)
    results = classify_with_workers(Held(folder), [SAMPLES[0]] * CHUNK + [SAMPLES[1]] * 400, 2)
    next(results)
    results.close()  # type: ignore[attr-defined]  # as an interrupt does
    assert len(list(folder.iterdir())) <= CHUNK + 2


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_of_all_processes_is_one_word_and_what_was_done_is_printed() -> None:
    """As Ctrl-C in a terminal."""
    with with_endless_list(SAMPLES, "--workers", "2") as process:
        rows = [process.stdout.readline() for _ in range(50)]
        os.killpg(process.pid, signal.SIGINT)
        rest, told = process.stdout.read(), process.stderr.read()
        process.wait()
    assert (process.returncode, told.strip()) == (EXIT_FAILED, b"Aborted!")
    lines = [*rows, *rest.splitlines(keepends=True)]
    assert [line.split(b": ")[0].decode() for line in lines] == [SAMPLES[at % len(SAMPLES)] for at in range(len(lines))]


class Deadly(Classifier):
    """Ends the process that it is unpickled in, as the kernel does where memory runs out."""

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (1,)


def test_a_worker_that_dies_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(FmnistEdgeError, match="fewer --workers"):
        list(classify_with_workers(Deadly(), SAMPLES, 2))
