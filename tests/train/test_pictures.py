"""Collections of labelled pictures, as people have them: folders, zip files, labels.csv, folders named by class."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fmnist_edge.errors import DataError
from fmnist_edge.pictures import (
    accepted_matrix,
    hold_out,
    load_squares,
    parse_labels,
    read_collection,
    read_collections,
)


def picture_bytes(size: tuple[int, int] = (40, 60), color: tuple[int, ...] = (250, 0, 0), form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB" if len(color) == 3 else "RGBA", size, color).save(buffer, form)
    return buffer.getvalue()


def lay(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture_bytes())
    return folder


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for one in folder.rglob("*"):
            if one.is_file():
                archive.write(one, one.relative_to(folder).as_posix())
    return path


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    folder = lay(tmp_path / "shop", "train/Shoes/1.png", "train/Hats/2.png", "validation/Shoes/3.png")
    rows = (
        "path,type,labels\ntrain/Shoes/1.png,shoe,7|9\ntrain/Hats/2.png,hat,none\nvalidation/Shoes/3.png,shoe,Sandal\n"
    )
    (folder / "labels.csv").write_text("\ufeff" + rows)
    return folder


def test_labels_are_numbers_names_or_none() -> None:
    assert parse_labels("9|7") == (7, 9)
    assert parse_labels("Ankle boot") == parse_labels("ankle-boot") == parse_labels("9") == (9,)
    assert parse_labels("T-shirt/top") == parse_labels("t-shirt") == (0,)
    assert parse_labels("shoes") == (5, 7, 9)
    assert parse_labels("none") == ()
    for wrong in ("10", "hat", "", "5|hat"):
        with pytest.raises(ValueError, match="names no class"):
            parse_labels(wrong)


def test_a_folder_and_its_zip_file_give_the_same_pictures(labelled: Path, tmp_path: Path) -> None:
    found = read_collection(labelled, "train")
    assert [(one.path, one.accepted, one.kind) for one in found] == [
        ("train/Hats/2.png", (), "Hats"),
        ("train/Shoes/1.png", (7, 9), "Shoes"),
    ]
    packed = read_collection(zipped(labelled, tmp_path / "shop.zip"), "train")
    assert [(one.path, one.accepted) for one in packed] == [(one.path, one.accepted) for one in found]
    np.testing.assert_array_equal(load_squares(found, 32), load_squares(packed, 32))
    assert [one.accepted for one in read_collection(labelled, "validation")] == [(5,)]


def test_folders_named_by_class_need_no_labels_file_and_belong_to_both_parts(tmp_path: Path) -> None:
    lay(tmp_path, "Bag/a.png", "ankle boot/b.png", "3/c.png", "none/d.png", "Bag/notes.txt")
    for part in ("train", "validation"):
        found = read_collection(tmp_path, part)  # type: ignore[arg-type]
        assert {one.path: one.accepted for one in found} == {
            "Bag/a.png": (8,),
            "ankle boot/b.png": (9,),
            "3/c.png": (3,),
            "none/d.png": (),
        }


def test_a_folder_of_collections_is_all_of_them_and_a_csv_file_corrects_labels(labelled: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    both.mkdir()
    zipped(labelled, both / "shop.zip")
    zipped(lay(tmp_path / "own", "Bag/a.png"), both / "own.zip")
    (both / "kinds.csv").write_text("path,labels\nshop.zip/train/Shoes/1.png,5\n")
    found = {one.name: one.accepted for one in read_collections([both], "train")}
    assert found == {"own.zip/Bag/a.png": (8,), "shop.zip/train/Hats/2.png": (), "shop.zip/train/Shoes/1.png": (5,)}


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("labels.csv", b"path,labels\nmissing.png,3\n", "missing.png"),
        ("labels.csv", b"path;labels\na.png;3\n", r"labels\.csv: its first line must name the columns"),
        ("labels.csv", b"path,labels\nh\xfct.png,3\n", r"labels\.csv is not UTF-8"),
        ("labels.csv", b"path,labels\nhat/a.png,hat\n", "'hat' names no class"),
    ],
)
def test_what_is_wrong_with_a_collection_is_one_line(tmp_path: Path, name: str, text: bytes, named: str) -> None:
    lay(tmp_path, "hat/a.png")
    (tmp_path / name).write_bytes(text)
    with pytest.raises(DataError, match=named):
        read_collection(tmp_path, "train")


def test_an_empty_folder_a_missing_one_and_a_damaged_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pictures in"):
        read_collections([tmp_path], "train")
    with pytest.raises(DataError, match="no such file"):
        read_collections([tmp_path / "nowhere"], "train")
    lay(tmp_path, "Bag/a.png")
    (tmp_path / "Bag/a.png").write_bytes(picture_bytes()[:50])
    with pytest.raises(DataError, match=r"Bag/a\.png cannot be decoded"):
        load_squares(read_collections([tmp_path], "train"), 32)


def test_pictures_of_a_sender_or_a_block_of_numbers_stay_together(tmp_path: Path) -> None:
    names = [f"Bag/{number}.png" for number in range(1000, 3000, 10)] + [f"Dress/p{number}.png" for number in range(80)]
    lay(tmp_path, *names)
    rows = [f"{name},{name.split('/')[0]},{number % 7 if '/p' in name else ''}" for number, name in enumerate(names)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,labels,sender", *rows]) + "\n")
    kept, out = hold_out(read_collection(tmp_path, "train"), 4)
    assert len(kept) + len(out) == len(names)
    assert kept
    assert out
    assert not {one.group for one in kept} & {one.group for one in out}
    groups = {one.group for one in (*kept, *out)}
    assert len(groups) == 20 + 7


def test_the_square_holds_the_whole_picture_and_repeats_its_edge(tmp_path: Path) -> None:
    (tmp_path / "Bag").mkdir()
    halves = Image.new("RGB", (400, 800), (200, 0, 0))
    halves.paste((0, 0, 200), (200, 0, 400, 800))
    halves.save(tmp_path / "Bag/a.png")
    square = load_squares(read_collection(tmp_path, "train"), 32)[0]
    assert square.shape == (32, 32, 3)
    assert (square[:, :15] == (200, 0, 0)).all()
    assert (square[:, 17:] == (0, 0, 200)).all()


def test_transparent_is_white_and_a_turned_photo_is_upright(tmp_path: Path) -> None:
    (tmp_path / "Bag").mkdir()
    (tmp_path / "Bag/a.png").write_bytes(picture_bytes((20, 20), (0, 0, 0, 0)))
    turned = Image.new("RGB", (40, 20), (0, 0, 0))
    turned.paste((255, 255, 255), (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned to the right
    turned.save(tmp_path / "Bag/b.jpg", exif=exif, quality=95)
    transparent, upright = load_squares(read_collection(tmp_path, "train"), 32)
    assert (transparent == 255).all()
    assert upright[4].min() > 200
    assert upright[-4].max() < 50


def test_accepted_classes_are_ones(labelled: Path) -> None:
    matrix = accepted_matrix(read_collection(labelled, "train"))
    assert [np.flatnonzero(row).tolist() for row in matrix] == [[], [7, 9]]


def test_reading_pictures_imports_no_tensorflow() -> None:
    code = "import sys, fmnist_edge.pictures; print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
