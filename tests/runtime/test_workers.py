"""Several processes: the rows of one, whatever comes in; and what makes no sense is refused."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fmnist_edge import Classifier, FmnistEdgeError
from fmnist_edge import workers as bulk
from fmnist_edge.batch import Result, classify_all
from fmnist_edge.classifier import Prediction
from fmnist_edge.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from fmnist_edge.images import ImageSource
from fmnist_edge.workers import classify_with_workers
from tests.runtime.pictures import encoded, garment

ROOT = Path(__file__).parents[2]
SAMPLES = [str(path) for path in sorted((ROOT / "samples").glob("*.png"))]
SCENE = str(ROOT / "samples" / "scenes" / "7-sneaker.jpg")
SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))


def facts(result: Result) -> tuple[object, ...]:
    answer = result.prediction
    if answer is None:
        return result.path, str(result.error)
    arrays = (answer.probabilities, answer.image, answer.mask)
    return result.path, answer.labels, answer.threshold, *(None if one is None else one.tobytes() for one in arrays)


def run(*arguments: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([SCRIPT, "classify", *arguments], input=given, capture_output=True, timeout=120)


def test_two_workers_give_the_results_of_one_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "CHUNK", 3)
    inputs = [*SAMPLES, "missing.png", SCENE, str(Path(__file__)), *reversed(SAMPLES)]
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


class Slow(Classifier):
    """Leaves a file for each image that it classified."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return Slow, (self.folder,)

    def begin(self, image: ImageSource) -> NDArray[np.uint8] | Prediction:
        time.sleep(0.05)
        (self.folder / secrets.token_hex()).touch()
        return super().begin(image)


def test_whoever_wants_no_more_rows_waits_for_no_more_than_an_image_of_each_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "CHUNK", 20)
    results = classify_with_workers(Slow(tmp_path), SAMPLES * 40, 2)
    next(results)
    before = len(list(tmp_path.iterdir()))
    results.close()  # type: ignore[attr-defined]  # as an interrupt does
    assert len(list(tmp_path.iterdir())) - before <= 2 * 2


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_of_all_processes_is_one_word_and_what_was_done_is_printed() -> None:
    """As Ctrl-C in a terminal."""
    inputs = SAMPLES * 2000
    command = [SCRIPT, "classify", "--workers", "2", *inputs]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        rows = [process.stdout.readline() for _ in range(50)]
        os.killpg(process.pid, signal.SIGINT)
        rest, told = process.stdout.read(), process.stderr.read()
    assert (process.returncode, told.strip()) == (EXIT_FAILED, b"Aborted!")
    lines = [*rows, *rest.splitlines(keepends=True)]
    assert len(lines) < len(inputs)
    assert [line.split(b": ")[0].decode() for line in lines] == inputs[: len(lines)]


class Deadly(Classifier):
    """Ends the process that it is unpickled in, as the kernel does where memory runs out."""

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (1,)


def test_a_worker_that_dies_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(FmnistEdgeError, match="fewer --workers"):
        list(classify_with_workers(Deadly(), SAMPLES, 2))
