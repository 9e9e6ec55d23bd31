"""`fmnist-edge data` through the installed entry point."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fmnist_edge.dataset import SHA256, SIZES
from tests.runtime.conftest import Mirror

pytestmark = pytest.mark.usefixtures("swept")
SCRIPT = str(Path(sys.executable).with_name("fmnist-edge"))
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
LABELS = [stem for stem in SHA256 if "labels" in stem]

bare = pytest.mark.skipif(DEBIAN_FOLDER.exists(), reason="Debian's package is installed on this machine")


@pytest.fixture(autouse=True)
def without_apt(nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without the dataset, on a machine without apt-get, so that no test reaches the network."""
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, "data", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=60,
    )


@pytest.fixture
def half_done(tmp_path: Path, compressed: dict[str, bytes]) -> Path:
    """A folder that lacks the labels, which are small."""
    folder = tmp_path / "half"
    folder.mkdir()
    for stem in set(SHA256) - set(LABELS):
        (folder / f"{stem}.gz").write_bytes(compressed[stem])
    return folder


def cache(home: Path) -> Path:
    found = {"darwin": "Library/Caches", "win32": "AppData/Local"}.get(sys.platform, ".cache")
    return home / found / "fmnist-edge" / "fashion-mnist"


def test_fetch_fills_the_users_cache_and_prints_the_folder_alone(nowhere: Path, mirror: Mirror) -> None:
    done = run("fetch", FMNIST_MIRRORS=mirror.url("good"))
    assert (done.returncode, done.stdout) == (0, f"{cache(nowhere)}\n")
    assert len(done.stderr.splitlines()) == 1 + len(SHA256)
    assert "\r" not in done.stderr
    again = run("fetch", FMNIST_MIRRORS=mirror.url("good"))
    assert (again.returncode, again.stdout) == (0, f"{cache(nowhere)}\n")
    assert "a good copy is there already; --force fetches it again" in again.stderr
    assert len(mirror.requests) == len(SHA256)
    assert run("path").stdout == f"{cache(nowhere)}\n"


def test_force_fetches_again(half_done: Path, mirror: Mirror) -> None:
    environment = {"FMNIST_MIRRORS": mirror.url("good")}
    assert run("fetch", "-o", half_done, **environment).returncode == 0
    assert len(mirror.requests) == len(LABELS)
    assert run("fetch", "-o", half_done, **environment).returncode == 0
    assert len(mirror.requests) == len(LABELS)
    assert run("fetch", "-o", half_done, "--force", **environment).returncode == 0
    assert len(mirror.requests) == len(LABELS) + len(SHA256)


def test_fetch_mends_the_folder_of_the_variable(half_done: Path, mirror: Mirror) -> None:
    done = run("fetch", FMNIST_DATA=str(half_done), FMNIST_MIRRORS=mirror.url("good"))
    assert (done.returncode, done.stdout) == (0, f"{half_done}\n")
    assert len(mirror.requests) == len(LABELS)


def test_other_files_of_the_datasets_names_are_kept_without_overwrite(half_done: Path, mirror: Mirror) -> None:
    digits = half_done / f"{LABELS[0]}.gz"  # MNIST's files have the same names
    digits.write_bytes(b"handwritten")
    environment = {"FMNIST_MIRRORS": mirror.url("good")}
    refused = run("fetch", "-o", half_done, **environment)
    assert (refused.returncode, digits.read_bytes(), mirror.requests) == (2, b"handwritten", [])
    assert run("fetch", "-o", half_done, "--overwrite", **environment).returncode == 0
    assert digits.read_bytes() != b"handwritten"


def test_photos_do_not_replace_a_folder_that_holds_anything_else(tmp_path: Path) -> None:
    own = tmp_path / "Pictures"
    own.mkdir()
    (own / "holiday.jpg").write_bytes(b"sea")
    refused = run("fetch", "--photos", "-o", own, "--force", FMNIST_PHOTOS_ARCHIVE="http://127.0.0.1:9/none.zip")
    assert (refused.returncode, "name a new folder" in refused.stderr) == (2, True)
    assert (own / "holiday.jpg").read_bytes() == b"sea"


@bare
def test_a_fetch_that_fails_is_one_line_exit_3_and_leaves_nothing(nowhere: Path, mirror: Mirror) -> None:
    done = run("fetch", "-q", FMNIST_MIRRORS=mirror.url("truncated"))
    assert (done.returncode, done.stdout) == (3, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("Error: the dataset could not be fetched")
    assert "truncated" in done.stderr
    assert "this machine has no apt-get" in done.stderr
    assert [path for path in nowhere.rglob("*") if path.is_file()] == []


@bare
def test_a_stalling_mirror_is_given_up_after_the_timeout(mirror: Mirror) -> None:
    done = run("fetch", "--timeout", "0.3", FMNIST_MIRRORS=mirror.url("stalls"))
    assert done.returncode == 3
    assert "nothing came for 0.3 s" in done.stderr


def test_debug_shows_where_a_fetch_failed(tmp_path: Path, mirror: Mirror) -> None:
    done = run("fetch", "-o", tmp_path / "x", "--debug", FMNIST_MIRRORS=mirror.url("missing"))
    assert "Traceback" in done.stderr
    assert "Traceback" not in run("fetch", "-o", tmp_path / "x", FMNIST_MIRRORS=mirror.url("missing")).stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_fetch_leaves_nothing_half_written(
    number: int, tmp_path: Path, nowhere: Path, mirror: Mirror
) -> None:
    environment = {**os.environ, "FMNIST_MIRRORS": mirror.url("stalls")}
    command = [SCRIPT, "data", "fetch", "-o", str(tmp_path / "out")]
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    ) as process:
        for _ in range(3000):
            if mirror.requests:
                break
            time.sleep(0.02)
        process.send_signal(number)
        errors = process.communicate(timeout=60)[1].decode()
    assert mirror.requests
    assert process.returncode != 0
    assert "Traceback" not in errors
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_status_marks_the_place_that_is_used(dataset: Path) -> None:
    done = run("status", FMNIST_DATA=str(dataset))
    assert done.returncode == 0
    marks = {line[2:18].strip(): line[0] for line in done.stdout.splitlines()}
    places = ["--data", "$FMNIST_DATA", "user's cache", "Keras's cache", "Debian's package"]
    assert marks == {name: "*" if name == "$FMNIST_DATA" else " " for name in places}
    assert str(dataset) in done.stdout


def status(*arguments: object, **environment: str) -> tuple[int, Any]:
    done = run("status", "--format", "json", *arguments, **environment)
    return done.returncode, json.loads(done.stdout)


def test_status_as_json_tells_of_each_place(dataset: Path, nowhere: Path) -> None:
    code, found = status("--data", dataset)
    assert (code, found["used"]) == (0, str(dataset))
    assert found["places"][:3] == [
        {"place": "--data", "folder": str(dataset), "state": "complete", "detail": None},
        {"place": "$FMNIST_DATA", "folder": None, "state": "not-set", "detail": None},
        {"place": "user's cache", "folder": str(cache(nowhere)), "state": "not-looked-at", "detail": None},
    ]


@bare
def test_status_exits_3_and_says_what_to_do_where_there_is_nothing() -> None:
    done = run("status")
    assert done.returncode == 3
    assert "fmnist-edge data fetch" in done.stderr
    assert run("status", "--quiet").stderr == ""
    code, found = status()
    assert (code, found["used"]) == (3, None)
    assert [place["state"] for place in found["places"]] == ["not-set", "not-set", *["missing"] * 3]


def test_status_says_what_is_wrong_with_a_named_folder_and_looks_no_further(half_done: Path) -> None:
    code, found = status(FMNIST_DATA=str(half_done))
    assert (code, found["used"]) == (3, None)
    named = found["places"][1]
    assert named["state"] == "incomplete"
    assert named["detail"] == "; ".join(f"{stem}.gz is missing" for stem in SHA256 if stem in LABELS)
    assert {place["state"] for place in found["places"][2:]} == {"not-looked-at"}
    (half_done / LABELS[0]).write_bytes(bytes(SIZES[LABELS[0]]))
    assert status("--data", half_done)[1]["places"][0]["state"] == "damaged"


def test_path_exits_3_where_there_is_nothing_good(tmp_path: Path) -> None:
    done = run("path", "--data", tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("Error: ")
    assert "fmnist-edge data fetch -o" in done.stderr


@pytest.mark.parametrize("arguments", [["fetch", "--timeout", "0"], ["status", "--format", "xml"], ["path", "x"]])
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    assert run(*arguments).returncode == 2


def test_data_commands_load_no_numpy(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom fmnist_edge.cli.main import main\n"
        "sys.argv = ['fmnist-edge', 'data', 'path', '--data', sys.argv[1]]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 3\n"
        "assert 'fmnist_edge.dataset' in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True)
