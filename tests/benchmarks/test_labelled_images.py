"""Folders of labelled images: names of labels, maps, what is left out and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from fmnist_bench.labelled import folder_examples, parse_group, parse_label, parse_map
from fmnist_edge.errors import DataError, UsageError
from fmnist_edge.model_info import LABELS
from tests.runtime.pictures import encoded, garment


def folder_of(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir()
        (root / name / "1.png").write_bytes(encoded(garment()))
    return root


@pytest.mark.parametrize("name", ["T-shirt/top", "t-shirt-top", "T_SHIRT top", "tshirttop", "0", "0-t-shirt-top"])
def test_a_label_is_known_in_all_its_spellings(name: str) -> None:
    assert parse_label(name) == 0


def test_every_label_and_its_sample_name_is_its_own_index() -> None:
    assert [parse_label(label) for label in LABELS] == list(range(10))
    samples = sorted((Path(__file__).parents[2] / "samples").glob("*.png"))
    assert [parse_label(path.stem) for path in samples] == list(range(10))
    for name in ("10", "hat", "1-t-shirt-top", "shoes", "none"):
        with pytest.raises(UsageError, match=f"'{name}'"):
            parse_label(name)


def test_a_map_gives_one_or_several_labels_or_leaves_out() -> None:
    mapping = parse_map("pants=Trouser, shoes=Sandal|sneaker|9,other=,hats=none")
    assert mapping == {"pants": (1,), "shoes": (5, 7, 9), "other": None, "hats": ()}


@pytest.mark.parametrize("text", ["pants", "=Trouser", "pants=hat", "a=1,a=2", "", "a=1|"])
def test_a_map_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_map(text)


def test_a_group_of_one_has_no_effect_and_is_refused() -> None:
    assert parse_group("T-shirt/top,Pullover,Shirt") == (0, 2, 6)
    with pytest.raises(UsageError, match="no effect"):
        parse_group("Shirt,6")


def test_sub_folders_are_labels_or_mapped_and_loose_files_are_left_out(tmp_path: Path) -> None:
    folder_of(tmp_path, "Coat", "shoes", "other", ".hidden", "none")
    (tmp_path / "README.md").write_text("x")
    found = folder_examples(tmp_path, {"shoes": (5, 7, 9)}, ["other"])
    assert [(one.truth.name, one.truth.accepted) for one in found] == [
        ("Coat", (4,)),
        ("none", ()),
        ("shoes", (5, 7, 9)),
    ]
    assert [Path(one.name).parts for one in found] == [("Coat", "1.png"), ("none", "1.png"), ("shoes", "1.png")]


def test_an_unknown_sub_folder_is_refused_unless_mapped_to_nothing(tmp_path: Path) -> None:
    folder_of(tmp_path, "Coat", "hats")
    with pytest.raises(UsageError, match="--skip hats"):
        folder_examples(tmp_path)
    assert len(folder_examples(tmp_path, {"hats": None})) == 1


def test_names_of_no_sub_folder_are_refused(tmp_path: Path) -> None:
    folder_of(tmp_path, "Coat")
    for mapping, skip in (({"hats": (4,)}, []), ({}, ["hats"])):
        with pytest.raises(UsageError, match="no sub-folder 'hats'"):
            folder_examples(tmp_path, mapping, skip)


def test_a_missing_or_empty_folder_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "empty" / "Coat").mkdir(parents=True)
    for folder in (tmp_path / "missing", tmp_path / "empty"):
        with pytest.raises(DataError):
            folder_examples(folder)
