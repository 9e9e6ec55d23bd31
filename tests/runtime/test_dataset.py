"""Finding, verifying and reading the dataset."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from fmnist_edge.dataset import (
    SHA256,
    SIZES,
    Split,
    cache_folder,
    check_folder,
    find_dataset,
    load_split,
    look,
    read_verified,
    user_cache,
)
from fmnist_edge.errors import EXIT_UNAVAILABLE, DataError

pytestmark = pytest.mark.usefixtures("swept")
LABELS_STEM = "t10k-labels-idx1-ubyte"


@pytest.fixture
def copy(dataset: Path, tmp_path: Path) -> Path:
    """A copy of the dataset that a test may damage."""
    return copied(dataset, tmp_path / "copy")


def copied(dataset: Path, target: Path) -> Path:
    target.mkdir(parents=True)
    for path in dataset.iterdir():
        if path.name.removesuffix(".gz") in SHA256:
            shutil.copy(path, target)
    return target


def file_of(folder: Path, stem: str) -> Path:
    return next(path for path in (folder / stem, folder / f"{stem}.gz") if path.exists())


@pytest.fixture(scope="module")
def everything(dataset: Path) -> Split:
    return load_split("full-train", dataset)


def test_the_whole_training_set_has_60000_images_6000_of_each_class(everything: Split) -> None:
    assert everything.images.shape == (60_000, 28, 28)
    assert everything.images.dtype == everything.labels.dtype == np.uint8
    assert np.bincount(everything.labels).tolist() == [6_000] * 10


@pytest.mark.parametrize(("name", "rows"), [("train", slice(0, 55_000)), ("validation", slice(55_000, None))])
def test_validation_is_the_last_5000_training_images(name: str, rows: slice, everything: Split, dataset: Path) -> None:
    split = load_split(name, dataset)  # type: ignore[arg-type]
    np.testing.assert_array_equal(split.images, everything.images[rows])
    np.testing.assert_array_equal(split.labels, everything.labels[rows])


def test_the_test_split_is_the_10000_images_of_the_other_files(dataset: Path) -> None:
    split = load_split("test", dataset)
    assert split.images.shape == (10_000, 28, 28)
    assert split.labels[:5].tolist() == [9, 2, 1, 1, 6]  # as the dataset's authors print them


def test_an_unknown_split_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(ValueError, match="train, validation, test, full-train"):
        load_split("testing")  # type: ignore[arg-type]


def test_splits_cannot_be_written_by_accident(everything: Split) -> None:
    with pytest.raises(ValueError, match="read-only"):
        everything.images[0, 0, 0] = 1


def test_plain_files_do_as_well_as_gz(copy: Path) -> None:
    for stem in SHA256:
        content = read_verified(copy, stem)
        file_of(copy, stem).unlink()
        (copy / stem).write_bytes(content)
    assert check_folder(copy).state == "complete"


def test_a_good_gz_beside_a_bad_plain_file_is_enough(compressed: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / LABELS_STEM).write_bytes(b"bad")
    (tmp_path / f"{LABELS_STEM}.gz").write_bytes(compressed[LABELS_STEM])
    assert len(read_verified(tmp_path, LABELS_STEM)) == SIZES[LABELS_STEM]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda good: b"", "truncated: 0 bytes"),
        (lambda good: good[: len(good) // 2], "truncated: the compressed data ends early"),
        (lambda good: gzip.decompress(good)[:-1], "truncated: 10007 bytes, not 10008"),
        (lambda good: gzip.decompress(good) + b"x", "not the dataset's file: SHA-256"),
        (lambda good: gzip.compress(bytes(10_008)), "not the dataset's file: SHA-256"),
        # Only as much as needed is unpacked: the end of this one, which is cut off, is never seen.
        (lambda good: gzip.compress(gzip.decompress(good) + bytes(1 << 24))[:-20], "not the dataset's file: SHA-256"),
        (lambda good: good[:20] + bytes(40) + good[60:], "damaged|not the dataset's file|truncated"),
    ],
    ids=["empty", "half-gz", "short", "long", "zeros", "bomb", "bits"],
)
def test_a_bad_file_is_named_with_what_is_wrong(
    damage: object, message: str, compressed: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / f"{LABELS_STEM}.gz").write_bytes(damage(compressed[LABELS_STEM]))  # type: ignore[operator]
    with pytest.raises(DataError, match=message) as caught:
        read_verified(tmp_path, LABELS_STEM)
    assert f"{LABELS_STEM}.gz is " in str(caught.value)


def test_the_sums_are_of_the_decompressed_bytes(compressed: dict[str, bytes], tmp_path: Path) -> None:
    again = gzip.compress(gzip.decompress(compressed[LABELS_STEM]), compresslevel=0)
    (tmp_path / f"{LABELS_STEM}.gz").write_bytes(again)
    assert len(read_verified(tmp_path, LABELS_STEM)) == SIZES[LABELS_STEM]


@pytest.mark.parametrize("place", ["FashionMNIST/raw", "raw", "."])
def test_the_folders_of_torchvision_and_the_names_of_kaggle_are_known(
    place: str, dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    for stem in SHA256:
        (tmp_path / place / stem.replace("-idx", ".idx")).write_bytes(read_verified(dataset, stem))
    assert check_folder(tmp_path).state == "complete"
    assert len(load_split("test", tmp_path).labels) == 10_000


def test_places_are_looked_at_in_the_documented_order(
    dataset: Path, nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras = copied(dataset, nowhere / ".keras" / "datasets" / "fashion-mnist")
    monkeypatch.setattr("fmnist_edge.dataset.DEBIAN_FOLDER", dataset)
    cache = cache_folder()
    assert cache is not None
    names = [result.name for result in look()]
    assert names == ["--data", "$FMNIST_DATA", "user's cache", "Keras's cache", "Debian's package"]
    assert find_dataset() == keras
    shutil.move(keras, cache)
    assert find_dataset() == cache
    shutil.move(cache, tmp_path / "named")
    assert find_dataset() == dataset
    monkeypatch.setenv("FMNIST_DATA", str(tmp_path / "named"))
    assert find_dataset() == tmp_path / "named"
    assert find_dataset(dataset) == dataset


def test_keras_home_moves_the_cache_of_keras(
    dataset: Path, nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    expected = copied(dataset, tmp_path / "keras" / "datasets" / "fashion-mnist")
    assert find_dataset() == expected


def test_a_machine_without_the_dataset_is_told_how_to_get_it(nowhere: Path) -> None:
    with pytest.raises(DataError, match="fmnist-edge data fetch") as caught:
        load_split("test")
    assert caught.value.exit_code == EXIT_UNAVAILABLE


def test_a_damaged_cache_is_passed_over_but_told(nowhere: Path) -> None:
    cache = cache_folder()
    assert cache is not None
    cache.mkdir(parents=True)
    (cache / LABELS_STEM).write_bytes(b"bad")
    with pytest.raises(DataError, match=f"not on this machine.*{LABELS_STEM} is truncated"):
        find_dataset()


def test_a_given_folder_without_the_files_is_an_error(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of the dataset's files is in it"):
        find_dataset(tmp_path)
    with pytest.raises(DataError, match="none of the dataset's files is in it"):
        find_dataset(tmp_path / "absent")


def test_a_file_given_for_a_folder_holds_none_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="none of the dataset's files is in it"):
        find_dataset(tmp_path / "file")


def test_a_given_folder_that_lacks_one_file_is_an_error(copy: Path) -> None:
    file_of(copy, LABELS_STEM).unlink()
    with pytest.raises(DataError, match=f"{LABELS_STEM}.gz is missing"):
        load_split("train", copy)


def test_a_bad_folder_in_the_variable_is_an_error_even_if_the_cache_is_good(
    copy: Path, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = cache_folder()
    assert cache is not None
    shutil.copytree(copy, cache)
    assert find_dataset() == cache
    (copy / f"{LABELS_STEM}.gz").write_bytes(b"bad")
    monkeypatch.setenv("FMNIST_DATA", str(copy))
    with pytest.raises(DataError, match=r"from \$FMNIST_DATA.*is not a good copy"):
        find_dataset()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_told_as_such(compressed: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / f"{LABELS_STEM}.gz"
    path.write_bytes(compressed[LABELS_STEM])
    path.chmod(0)
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        read_verified(tmp_path, LABELS_STEM)


def test_a_folder_in_place_of_a_file_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / LABELS_STEM).mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        read_verified(tmp_path, LABELS_STEM)


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", None, "home/.cache/fmnist-edge"),
        ("linux", "XDG_CACHE_HOME", "given/fmnist-edge"),
        ("darwin", None, "home/Library/Caches/fmnist-edge"),
        ("darwin", "XDG_CACHE_HOME", "home/Library/Caches/fmnist-edge"),
        ("win32", None, "home/AppData/Local/fmnist-edge"),
        ("win32", "LOCALAPPDATA", "given/fmnist-edge"),
    ],
)
def test_the_cache_is_in_the_platforms_own_place(
    platform: str,
    variable: str | None,
    expected: str,
    nowhere: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "given"))
    assert user_cache(platform) == tmp_path / expected


def test_a_relative_xdg_cache_home_is_ignored_as_its_specification_asks(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert user_cache("linux") == nowhere / ".cache" / "fmnist-edge"


def test_a_user_without_a_home_has_no_cache_and_no_crash(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", homeless)
    assert user_cache("linux") is None
    with pytest.raises(DataError, match="not on this machine"):
        find_dataset()
