"""Fetching: bad mirrors, good mirrors, and Debian's package from a local repository by the real apt-get."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from fmnist_edge import download
from fmnist_edge.dataset import SHA256, check_folder
from fmnist_edge.download import MIRRORS, FetchListener, fetch_dataset, wanted_mirrors
from fmnist_edge.errors import DataError, OutputError
from tests.runtime.conftest import Mirror

pytestmark = pytest.mark.usefixtures("swept")
LABELS = ("train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte")


class Heard(FetchListener):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.progress: list[tuple[str, int, int | None]] = []

    def step(self, message: str) -> None:
        self.steps.append(message)

    def received(self, name: str, so_far: int, total: int | None) -> None:
        self.progress.append((name, so_far, total))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A folder that does not exist yet."""
    return tmp_path / "data" / "fashion-mnist"


@pytest.fixture
def half_done(target: Path, compressed: dict[str, bytes]) -> Path:
    """A fetch that ended before the labels, which are small, came."""
    target.mkdir(parents=True)
    for stem in SHA256:
        if stem not in LABELS:
            (target / f"{stem}.gz").write_bytes(compressed[stem])
    return target


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*")) if folder.exists() else []


# A busy machine may keep even a good mirror waiting for a second.
STALL_SECONDS = 3
BAD = {
    "truncated": r"truncated: \d+ of \d+ bytes came",
    "unsized": "truncated: the compressed data ends early",
    "wrong": "not the dataset's file: SHA-256",
    "page": "truncated: 41 bytes",
    "huge": "not the dataset's file: more than",
    "garbage": "this is not HTTP",
    "missing": "the server answers 404 Not Found",
    "stalls": "nothing came for 3 s",
}


@pytest.mark.parametrize(("behaviour", "message"), BAD.items())
def test_a_bad_mirror_is_a_clear_error_and_leaves_nothing(
    behaviour: str, message: str, mirror: Mirror, target: Path
) -> None:
    url = mirror.url(behaviour)
    with pytest.raises(DataError, match=message) as caught:
        fetch_dataset(target, mirrors=[url], debian=False, stall_seconds=STALL_SECONDS)
    assert f"{url}: train-labels-idx1-ubyte.gz: " in str(caught.value)
    assert names(target) == []


def test_a_mirror_that_never_answers_is_given_up(mirror: Mirror, target: Path) -> None:
    mirror.answer = lambda *_: mirror.released.wait(20)  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(DataError, match=r"nothing came for 0\.2 s"):
        fetch_dataset(target, mirrors=[mirror.url("good")], debian=False, stall_seconds=0.2)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "no-url", "http://[bad/", "gopher://x/"])
def test_a_mirror_that_cannot_be_reached_is_one_line(url: str, target: Path) -> None:
    with pytest.raises(DataError, match="could not be fetched") as caught:
        fetch_dataset(target, mirrors=[url], debian=False)
    assert "\n" not in str(caught.value)
    assert "name it with --data" in str(caught.value)


@pytest.mark.parametrize("behaviour", BAD)
def test_a_good_mirror_after_a_bad_one_is_used(behaviour: str, mirror: Mirror, half_done: Path) -> None:
    heard = Heard()
    bad, good = mirror.url(behaviour), mirror.url("good")
    fetch_dataset(half_done, mirrors=[bad, good], debian=False, stall_seconds=STALL_SECONDS, listener=heard)
    assert names(half_done) == sorted(f"{stem}.gz" for stem in SHA256)
    assert any(line.startswith(f"{bad} failed: ") for line in heard.steps)


def test_a_fetch_into_an_empty_folder_is_complete_and_shows_its_progress(mirror: Mirror, target: Path) -> None:
    heard = Heard()
    assert fetch_dataset(target, mirrors=[mirror.url("good")], debian=False, listener=heard) == target
    assert check_folder(target).state == "complete"
    assert names(target) == sorted(f"{stem}.gz" for stem in SHA256)
    ends = {name: so_far == total for name, so_far, total in heard.progress}
    assert ends == {f"{stem}.gz": True for stem in SHA256}


def test_what_is_there_and_good_is_kept_and_only_the_rest_is_fetched(mirror: Mirror, half_done: Path) -> None:
    (half_done / f"{LABELS[0]}.gz").write_bytes(b"damaged")
    fetch_dataset(half_done, mirrors=[mirror.url("good")], debian=False)
    assert mirror.requests == [f"/good/{stem}.gz" for stem in LABELS]
    assert check_folder(half_done).state == "complete"


def test_nothing_is_asked_for_when_all_is_there_unless_forced(
    mirror: Mirror, half_done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "SHA256", {stem: SHA256[stem] for stem in LABELS})
    for _ in range(2):
        fetch_dataset(half_done, mirrors=[mirror.url("good")], debian=False)
    assert len(mirror.requests) == 2
    fetch_dataset(half_done, mirrors=[mirror.url("good")], debian=False, force=True)
    assert len(mirror.requests) == 4


def test_a_failed_forced_fetch_keeps_the_good_files(mirror: Mirror, half_done: Path) -> None:
    fetch_dataset(half_done, mirrors=[mirror.url("good")], debian=False)
    with pytest.raises(DataError):
        fetch_dataset(half_done, mirrors=[mirror.url("wrong")], debian=False, force=True)
    assert check_folder(half_done).state == "complete"


def test_a_file_that_a_proxy_unpacked_is_kept_as_a_plain_file(mirror: Mirror, half_done: Path) -> None:
    fetch_dataset(half_done, mirrors=[mirror.url("unpacked")], debian=False)
    assert set(LABELS) <= set(names(half_done))
    assert check_folder(half_done).state == "complete"


def test_many_fetches_at_once_do_no_harm(mirror: Mirror, half_done: Path) -> None:
    failures: list[BaseException] = []

    def fetch() -> None:
        try:
            fetch_dataset(half_done, mirrors=[mirror.url("good")], debian=False, force=True)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert names(half_done) == sorted(f"{stem}.gz" for stem in SHA256)
    assert check_folder(half_done).state == "complete"


def test_a_folder_that_cannot_be_written_is_told_before_the_large_files_come(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="name another place"):
        fetch_dataset(tmp_path / "file", mirrors=[mirror.url("good")], debian=False)
    assert mirror.requests == [f"/good/{LABELS[0]}.gz"]


def test_a_file_that_cannot_be_replaced_is_fine_if_it_is_good(
    mirror: Mirror, half_done: Path, compressed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def another_process_has_it_open(path: Path, content: bytes) -> None:
        path.write_bytes(compressed[path.name.removesuffix(".gz")])
        raise OutputError("in use")

    monkeypatch.setattr(download, "write_atomically", another_process_has_it_open)
    fetch_dataset(half_done, mirrors=[mirror.url("good")], debian=False)
    assert check_folder(half_done).state == "complete"


def test_the_proxy_of_the_environment_is_used(mirror: Mirror, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(DataError, match="refused"):
        fetch_dataset(target, mirrors=[mirror.url("good")], debian=False)
    assert mirror.requests == []


def test_mirrors_can_be_named_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FMNIST_MIRRORS", " http://one/a/  http://two/ ")
    assert wanted_mirrors() == ("http://one/a/", "http://two/")
    monkeypatch.setenv("FMNIST_MIRRORS", " ")
    assert wanted_mirrors() == MIRRORS
    assert all(url.startswith("https://") for url in MIRRORS)


needs_apt = pytest.mark.skipif(
    not all(map(shutil.which, ("apt-get", "dpkg", "dpkg-deb"))), reason="there is no apt-get on this machine"
)
FIELDS = """Package: dataset-fashion-mnist
Version: {version}
Architecture: all
Maintainer: Nobody <nobody@localhost>
Description: test
"""


def build_package(folder: Path, version: str, files: dict[str, bytes]) -> Path:
    """Build a real .deb with the layout of Debian's."""
    data = folder / "build" / "usr" / "share" / "datasets" / "fashion-mnist"
    data.mkdir(parents=True)
    for stem, content in files.items():
        (data / f"{stem}.gz").write_bytes(content)
    control = folder / "build" / "DEBIAN"
    control.mkdir()
    (control / "control").write_text(FIELDS.format(version=version))
    package = folder / f"dataset-fashion-mnist_{version}_all.deb"
    subprocess.run(["dpkg-deb", "-Znone", "-b", folder / "build", package], check=True, capture_output=True)
    return package


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty local package repository, the only one that apt-get knows here; its lists are empty."""
    folder = tmp_path / "repository"
    (tmp_path / "lists" / "partial").mkdir(parents=True)
    (tmp_path / "temporary").mkdir()
    folder.mkdir()
    (folder / "Packages").touch()
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] copy:{folder} ./\n")
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::SourceList "{tmp_path}/sources.list";\n'
        'Dir::Etc::SourceParts "/dev/null";\n'
        f'Dir::State::Lists "{tmp_path}/lists";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return folder


def publish(repository: Path, package: Path) -> None:
    """List a package in the repository."""
    shutil.move(package, repository)
    content = (repository / package.name).read_bytes()
    version = package.name.split("_")[1]
    (repository / "Packages").write_text(
        FIELDS.format(version=version)
        + f"Filename: ./{package.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
    )


@needs_apt
def test_debians_package_gives_what_the_mirrors_do_not_even_with_empty_package_lists(
    mirror: Mirror,
    half_done: Path,
    repository: Path,
    tmp_path: Path,
    compressed: dict[str, bytes],
) -> None:
    publish(repository, build_package(tmp_path, "1.0", {stem: compressed[stem] for stem in LABELS}))
    heard = Heard()
    fetch_dataset(half_done, mirrors=[mirror.url("missing")], listener=heard)
    assert names(half_done) == sorted(f"{stem}.gz" for stem in SHA256)
    assert check_folder(half_done).state == "complete"
    assert "updating Debian's package lists in a private folder" in heard.steps
    name, received, total = heard.progress[-1]  # a bar that ends full
    assert (name, received) == ("dataset-fashion-mnist.deb", total)
    assert names(tmp_path / "lists") == ["partial"]  # the machine's own state is untouched
    assert names(tmp_path / "temporary") == []


@needs_apt
def test_a_debian_package_with_other_files_is_refused(
    half_done: Path, repository: Path, tmp_path: Path, compressed: dict[str, bytes]
) -> None:
    wrong = dict.fromkeys(LABELS, compressed[LABELS[1]])
    publish(repository, build_package(tmp_path, "1.0", wrong))
    before = names(half_done)
    with pytest.raises(DataError, match=r"Debian's package .*truncated: 10008 bytes, not 60008"):
        fetch_dataset(half_done, mirrors=[])
    assert names(half_done) == before
    assert names(tmp_path / "temporary") == []


@needs_apt
def test_a_repository_without_the_package_is_told_in_apts_own_words(
    half_done: Path, repository: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="Unable to locate package dataset-fashion-mnist"):
        fetch_dataset(half_done, mirrors=[])
    assert names(tmp_path / "temporary") == []


def test_a_machine_without_apt_is_told_so(half_done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download.shutil, "which", lambda _: None)
    with pytest.raises(DataError, match="this machine has no apt-get"):
        fetch_dataset(half_done, mirrors=[])
