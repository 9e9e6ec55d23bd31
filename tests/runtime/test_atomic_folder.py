"""Folders appear whole or not at all, also when the writer is killed at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fmnist_edge.atomic import write_folder_atomically
from fmnist_edge.errors import OutputError

OLD = {"a.txt": b"old", "deep/b.txt": b"old"}
NEW = {"a.txt": b"new", "deep/er/c.bin": bytes(1000)}
posix = pytest.mark.skipif(os.name == "nt", reason="signals and limits of POSIX")

WRITER = """
import sys
from pathlib import Path
from fmnist_edge import atomic
{setup}
atomic.write_folder_atomically(Path(sys.argv[1]), {{"a.txt": b"new", "deep/er/c.bin": bytes(1000)}})
"""


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def run_writer(folder: Path, setup: str) -> subprocess.CompletedProcess[str]:
    program = WRITER.format(setup=setup)
    return subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=False)


def test_a_new_folder_appears_with_its_parents_and_an_old_one_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "parent" / "kit"
    write_folder_atomically(folder, OLD)
    assert content(folder) == OLD
    write_folder_atomically(folder, NEW)
    assert content(folder) == NEW
    assert list(folder.parent.iterdir()) == [folder]


@posix
def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write_folder_atomically(tmp_path / "link", NEW)
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "real") == NEW


@posix
def test_the_folder_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    write_folder_atomically(tmp_path / "ours", NEW)
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@posix
def test_a_disk_that_fills_up_leaves_the_old_folder_and_no_debris(tmp_path: Path) -> None:
    write_folder_atomically(tmp_path / "kit", OLD)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))"
    done = run_writer(tmp_path / "kit", limit)
    assert "cannot write the folder" in done.stderr
    assert "File too large; name another place" in done.stderr
    assert content(tmp_path / "kit") == OLD
    assert list(tmp_path.iterdir()) == [tmp_path / "kit"]


@posix
def test_a_disk_that_fills_up_leaves_no_parents_behind(tmp_path: Path) -> None:
    run_writer(tmp_path / "x" / "y" / "kit", "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_of_a_parent_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match="name another place"):
        write_folder_atomically(tmp_path / "taken" / "kit", NEW)


def test_the_folder_that_one_is_in_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    with pytest.raises(OutputError, match="you are inside"):
        write_folder_atomically(tmp_path, NEW)


@posix
def test_a_mount_point_is_refused() -> None:
    with pytest.raises(OutputError, match="mount point"):
        write_folder_atomically(Path("/proc"), NEW)


@posix
@pytest.mark.parametrize("moment", ["fsync", "rename"])
@pytest.mark.parametrize("call", [1, 2])
def test_a_killed_writer_leaves_nothing_or_a_whole_folder_and_the_next_run_sweeps(
    tmp_path: Path, moment: str, call: int
) -> None:
    """Killed in the first or second `os.fsync`, or at the first or second rename: old one away, new one in."""
    where = {"fsync": "atomic.os, 'fsync'", "rename": "Path, 'rename'"}[moment]
    setup = f"""
import os, signal, itertools
atomic._swapped = lambda *_: False  # as on other systems
count, original = itertools.count(1), getattr({where})
def kill(*arguments):
    if next(count) == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments)
setattr({where}, kill)"""
    write_folder_atomically(tmp_path / "kit", OLD)
    assert run_writer(tmp_path / "kit", setup).returncode == -signal.SIGKILL
    assert not (tmp_path / "kit").exists() or content(tmp_path / "kit") == OLD
    write_folder_atomically(tmp_path / "kit", NEW)
    assert content(tmp_path / "kit") == NEW
    assert list(tmp_path.iterdir()) == [tmp_path / "kit"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems need two steps")
@pytest.mark.parametrize(("moment", "left"), [("before", OLD), ("after", NEW)])
def test_a_folder_is_replaced_in_one_step_that_no_kill_can_divide(
    tmp_path: Path, moment: str, left: dict[str, bytes]
) -> None:
    order = {"before": "(kill(), swap(*a))", "after": "(swap(*a), kill())"}[moment]
    setup = f"""
import os, signal
swap, kill = atomic._swapped, lambda: os.kill(os.getpid(), signal.SIGKILL)
atomic._swapped = lambda *a: {order}
del Path.rename"""
    write_folder_atomically(tmp_path / "kit", OLD)
    assert run_writer(tmp_path / "kit", setup).returncode == -signal.SIGKILL
    assert content(tmp_path / "kit") == left
    write_folder_atomically(tmp_path / "kit", NEW)
    assert content(tmp_path / "kit") == NEW
    assert list(tmp_path.iterdir()) == [tmp_path / "kit"]


@posix
def test_the_old_folder_comes_back_when_the_next_run_fails_too(tmp_path: Path) -> None:
    kill = "import os; rename = Path.rename; atomic._swapped = lambda *_: False\n" + (
        "Path.rename = lambda *a: (os.kill(os.getpid(), 9) if a[0].name == 'new' else rename(*a))"
    )
    write_folder_atomically(tmp_path / "kit", OLD)
    assert run_writer(tmp_path / "kit", kill).returncode == -signal.SIGKILL
    assert not (tmp_path / "kit").exists()
    run_writer(tmp_path / "kit", "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))")
    assert content(tmp_path / "kit") == OLD


@posix
def test_a_running_writer_is_not_swept(tmp_path: Path) -> None:
    wait = "import os, time; fsync = os.fsync; atomic.os.fsync = lambda f: (fsync(f), time.sleep(1.5))"
    program = WRITER.format(setup=wait)
    with subprocess.Popen([sys.executable, "-c", program, tmp_path / "kit"]) as running:
        deadline = time.monotonic() + 20
        while not list(tmp_path.glob(".kit.*/new/a.txt")) and time.monotonic() < deadline:
            time.sleep(0.02)
        write_folder_atomically(tmp_path / "kit", OLD)
        assert list(tmp_path.glob(".kit.*"))
    assert running.returncode == 0
    assert content(tmp_path / "kit") == NEW
    assert list(tmp_path.iterdir()) == [tmp_path / "kit"]
