"""Turn "Fashion Product Images (Small)" into labelled pictures: python studies/catalogue.py SOURCE FOLDER.

SOURCE is the download: the folder or zip file from Kaggle (styles.csv and images/), or the folder of .parquet files
from the Hugging Face hub (needs pyarrow). FOLDER, new or empty, gets train/, validation/ and labels.csv; name it in
$FMNIST_PICTURES. See studies/catalogue.md.
"""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import PIL.Image

CLASSES: Final[dict[str, str]] = {
    "Tshirts": "0",
    "Tops": "0|6",
    "Shirts": "6",
    "Jeans": "1",
    "Trousers": "1",
    "Track Pants": "1",
    "Leggings": "1",
    "Sweaters": "2",
    "Sweatshirts": "2|4",
    "Dresses": "3",
    "Jackets": "4",
    "Blazers": "4",
    "Sandals": "5",
    "Flip Flops": "5",
    "Sports Sandals": "5",
    "Flats": "5|7",
    "Heels": "5|9",
    "Sports Shoes": "7",
    "Casual Shoes": "7|9",
    "Formal Shoes": "7|9",
    "Handbags": "8",
    "Backpacks": "8",
    "Clutches": "8",
    "Duffel Bag": "8",
    "Laptop Bag": "8",
    "Messenger Bag": "8",
}
"""Article types to accepted classes: from their names, and from the pictures where two classes are possible."""
NO_GARMENT: Final = (
    *("Belts", "Bra", "Briefs", "Caps", "Deodorant", "Earrings", "Lipstick", "Nail Polish", "Perfume and Body Mist"),
    *("Sarees", "Scarves", "Shorts", "Skirts", "Socks", "Sunglasses", "Ties", "Wallets", "Watches"),
)
MOST_OF_A_TYPE: Final = 1500
MOST_OF_NO_GARMENT: Final = 160
MOST_IN_VALIDATION: Final = 120
MOST_OF_NO_GARMENT_IN_VALIDATION: Final = 30
BLOCK: Final = 100
"""Neighbours in the catalogue are often the same garment, so whole blocks of ids go to one part."""


def part_of(number: int) -> str | None:
    """Return the part of a picture by its id: train, validation, or None for one block in five, which is kept back."""
    block = (number // BLOCK * 2654435761) % 2**32 % 10
    return None if block < 2 else "validation" if block == 2 else "train"


def collect(source: Path, folder: Path) -> Counter[str]:
    """Write the collection and return how many pictures each part got. Exits if the folder has files."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        sys.exit(f"{folder} is not empty: name a new folder")
    taken: Counter[tuple[str, str]] = Counter()
    rows = []
    for number, kind, data in _pictures(source):
        part = part_of(number)
        labels = CLASSES.get(kind, "none" if kind in NO_GARMENT else None)
        if part is None or labels is None or taken[part, kind] >= _most(part, kind):
            continue
        path = PurePosixPath(part, kind.replace(" ", "_"), f"{number}.jpg")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.open(io.BytesIO(data)).convert("RGB").save(folder / path, quality=92)
        taken[part, kind] += 1
        rows.append((str(path), kind, labels))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "type", "labels"), *sorted(rows)])
    return Counter(path.split("/")[0] for path, _, _ in rows)


def _most(part: str, kind: str) -> int:
    if part == "train":
        return MOST_OF_NO_GARMENT if kind in NO_GARMENT else MOST_OF_A_TYPE
    return MOST_OF_NO_GARMENT_IN_VALIDATION if kind in NO_GARMENT else MOST_IN_VALIDATION


def _pictures(source: Path) -> Iterator[tuple[int, str, bytes]]:
    """Yield (id, article type, bytes of the picture), sorted by id."""
    if source.is_dir() and any(source.rglob("*.parquet")):
        yield from _from_parquet(source)
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            names = {PurePosixPath(name).name: name for name in archive.namelist()}
            for number, kind in _styles(archive.read(names["styles.csv"]).decode()):
                if f"{number}.jpg" in names:
                    yield number, kind, archive.read(names[f"{number}.jpg"])
    else:
        files = {path.name: path for path in source.rglob("*") if path.is_file()}
        for number, kind in _styles(files["styles.csv"].read_text()):
            if f"{number}.jpg" in files:
                yield number, kind, files[f"{number}.jpg"].read_bytes()


def _styles(text: str) -> list[tuple[int, str]]:
    """Return (id, article type) of each row. Some rows have commas in the last column, which is not needed."""
    rows = csv.DictReader(io.StringIO(text), restkey="rest")
    return sorted((int(row["id"]), row["articleType"]) for row in rows)


def _from_parquet(source: Path) -> Iterator[tuple[int, str, bytes]]:
    import pyarrow.dataset

    table = pyarrow.dataset.dataset(source, format="parquet").to_table(columns=["id", "articleType", "image"])
    for row in table.sort_by("id").to_pylist():
        yield int(row["id"]), row["articleType"], row["image"]["bytes"]


if __name__ == "__main__":
    counts = collect(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"{sys.argv[2]}: {counts['train']:,} pictures to train on, {counts['validation']:,} to report on")  # noqa: T201
