"""A run that is stopped or killed goes on where it was: every image has its row, none has two."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lake.conftest import SCRIPT, Rows, assert_same, processes, rows_of, run, start, wait_for


def results(out: Path) -> list[Path]:
    return list(out.glob("*.parquet"))


# Runs a command on a cluster that has a single logical CPU.
ONE_CPU = """
import os, subprocess, sys, tempfile, ray
with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:
    ray.init(num_cpus=1, include_dashboard=False, _temp_dir=folder, log_to_driver=False)
    os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    code = subprocess.call(sys.argv[1:])
    ray.shutdown()
sys.exit(code)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_killed_twice_goes_on_with_one_and_with_two_cpus(
    workers: int, images: Path, plain: Rows, tmp_path: Path
) -> None:
    arguments = (images, "--out", tmp_path / "out", "--workers", workers, "--batch-size", 8)
    for done in (2, 6):
        with start(*arguments) as process:
            wait_for(lambda done=done: len(results(tmp_path / "out")) >= done, process)
            process.kill()
    assert len(results(tmp_path / "out")) < len(plain) / 8
    code, _ = run(*arguments)
    assert code == 1  # some of the files are no images
    assert_same(rows_of(tmp_path / "out"), plain)


def test_resuming_on_a_cluster_of_one_logical_cpu_does_not_hang(images: Path, plain: Rows, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with start(images, "--out", out, "--workers", 2, "--batch-size", 8) as process:
        wait_for(lambda: len(results(out)) >= 2, process)
        process.kill()
    command = [sys.executable, "-c", ONE_CPU, SCRIPT, "classify-lake", str(images), "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as cluster:
        said = cluster.communicate()[1]
    assert cluster.returncode == 1, said
    assert_same(rows_of(out), plain)


def test_a_killed_worker_loses_nothing_and_repeats_nothing(images: Path, plain: Rows, tmp_path: Path) -> None:
    marker = f"LAKE_TEST={tmp_path}"
    arguments = (images, "--out", tmp_path / "out", "--workers", 2, "--batch-size", 8)
    with start(*arguments, LAKE_TEST=str(tmp_path)) as process:
        wait_for(lambda: len(results(tmp_path / "out")) >= 2, process)
        os.kill(wait_for(lambda: processes(marker, "ray::Read_Images->"), process)[0], signal.SIGKILL)
        assert process.wait() == 1, process.communicate()
    assert_same(rows_of(tmp_path / "out"), plain)


# Put before the libraries of every process: whoever opens one of the images is killed or stopped.
SIGNALLED_BY_AN_IMAGE = """
import os, sys
sys.addaudithook(lambda event, args: event == "open" and "000050.png" in str(args[0]) and os.kill(os.getpid(), SIGNAL))
"""


def signalled_by_an_image(folder: Path, number: signal.Signals) -> str:
    """Return the PYTHONPATH with which a worker gets a signal at one of the images."""
    (folder / "sitecustomize.py").write_text(SIGNALLED_BY_AN_IMAGE.replace("SIGNAL", str(int(number))))
    return f"{folder}:{os.environ.get('PYTHONPATH', '')}"


def test_ctrl_c_ends_it_and_leaves_whole_files(images: Path, plain: Rows, tmp_path: Path) -> None:
    arguments = (images, "--out", tmp_path / "out", "--workers", 2, "--batch-size", 8)
    # One worker stops in the middle, so that the run can't be over before Ctrl-C comes.
    with start(*arguments, PYTHONPATH=signalled_by_an_image(tmp_path, signal.SIGSTOP)) as process:
        done = tmp_path / "out" / "_run" / "done" / "0"
        wait_for(lambda: len(set(done.glob("*.parquet")) - set(done.glob("*.pending.parquet"))) >= 2, process)
        process.send_signal(signal.SIGINT)
        assert (process.wait(), process.communicate()[1].split()[-1]) == (1, "Aborted!")
    assert 16 <= len(rows_of(tmp_path / "out")) < len(plain)
    assert not list((tmp_path / "out" / "_run" / "done").rglob("*.pending.parquet"))
    run(*arguments)
    assert_same(rows_of(tmp_path / "out"), plain)


# Put before the libraries of every process: all end at the third commit of a checkpoint, in the middle of it.
KILLED_AT_A_COMMIT = """
import os, signal, sys
if "classify-lake" in sys.argv:
    os.environ["LAKE_DRIVER"] = str(os.getpid())
else:
    from importlib.machinery import PathFinder
    class Patch(PathFinder):
        @classmethod
        def find_spec(cls, name, path=None, target=None):
            spec = super().find_spec(name, path, target)
            if name == "ray.data.checkpoint.checkpoint_writer":
                run = spec.loader.exec_module
                def exec_module(module):
                    run(module)
                    commit = module.BatchBasedCheckpointWriter.commit_checkpoint
                    def die(self, pending):
                        if len(self.filesystem.get_file_info(FileSelector(self.checkpoint_path_unwrapped))) < 3:
                            return commit(self, pending)
                        if {copied}:
                            self.filesystem.copy_file(pending.pending_path, pending.committed_path)
                        if {with_driver}:
                            os.kill(int(os.environ["LAKE_DRIVER"]), signal.SIGKILL)
                        elif os.path.exists("{mark}"):  # it has died before
                            return commit(self, pending)
                        open("{mark}", "w").close()
                        os.kill(os.getpid(), signal.SIGKILL)
                    from pyarrow.fs import FileSelector
                    module.BatchBasedCheckpointWriter.commit_checkpoint = die
                spec.loader.exec_module = exec_module
            return spec
    sys.meta_path.insert(0, Patch)
"""


def killed_at_a_commit(folder: Path, *, copied: bool, with_driver: bool) -> str:
    """Return the PYTHONPATH with which all processes end at a commit, or a worker alone, once."""
    program = KILLED_AT_A_COMMIT.replace("{copied}", str(copied)).replace("{with_driver}", str(with_driver))
    (folder / "sitecustomize.py").write_text(program.replace("{mark}", str(folder / "killed")))
    return f"{folder}:{os.environ.get('PYTHONPATH', '')}"


@pytest.mark.parametrize("copied", [False, True], ids=["before the rename", "amid a rename that is copy and delete"])
def test_a_kill_between_a_result_file_and_its_checkpoint_gives_no_row_twice(
    copied: bool, images: Path, plain: Rows, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = (images, "--out", out, "--workers", 1, "--batch-size", 20)
    code, said = run(*arguments, PYTHONPATH=killed_at_a_commit(tmp_path, copied=copied, with_driver=True))
    assert code == -signal.SIGKILL, said
    pending = list((out / "_run" / "done").rglob("*.pending.parquet"))
    assert pending
    assert any(list(out.glob(f"{path.name.removesuffix('.pending.parquet')}-*.parquet")) for path in pending)
    assert run(*arguments)[0] == 1
    assert_same(rows_of(out), plain)


def test_a_worker_killed_between_a_result_file_and_its_checkpoint_gives_no_row_twice(
    images: Path, plain: Rows, tmp_path: Path
) -> None:
    path = killed_at_a_commit(tmp_path, copied=True, with_driver=False)
    code, said = run(images, "--out", tmp_path / "out", "--workers", 1, "--batch-size", 20, PYTHONPATH=path)
    assert code == 1, said
    assert (tmp_path / "killed").exists()
    assert_same(rows_of(tmp_path / "out"), plain)


def test_an_image_that_kills_its_worker_each_time_ends_the_run(images: Path, tmp_path: Path) -> None:
    path = signalled_by_an_image(tmp_path, signal.SIGKILL)
    code, said = run(images, "--out", tmp_path / "out", "--workers", 1, "--batch-size", 20, PYTHONPATH=path)
    assert code == 3, said
    assert len(said.splitlines()) == 1
    assert said.startswith("Error: Ray gave up: ")
    assert rows_of(tmp_path / "out")
