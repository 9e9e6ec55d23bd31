"""Memory: whatever the picture, a whole `classify` takes less than 300 MB. A fact of the process, not a timing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.reliability.big_pictures import BOMBS, FORMS, can_write, write
from tests.reliability.processes import run

pytestmark = pytest.mark.skipif(os.name == "nt", reason="asks the system as POSIX has it")
LIMIT_MB = 300
PHOTO = str(next((Path(__file__).parents[2] / "samples" / "photos").glob("*.jpg")))
# The worst of each decoder; all others are in the long form.
QUICK = (
    "noise.png",
    "grey-transparent.png",
    "deeper-grey.tiff",
    "progressive.jpg",
    "largest.webp",
    "phone-transparent.avif",
    "three-scans.jpg",
)
REFUSED = {
    "phone-lossless.webp",
    "float.tiff",
    "transparent.tiff",
    "transparent.bmp",
    "cmyk.tiff",
    "deeper-grey.tiff",
    "progressive-cmyk.jpg",
    "lossy.webp",
    "colour.avif",
    "three-scans.jpg",
    "thousand-scans.jpg",
}


def peak(name: str, folder: Path) -> tuple[float, str | None]:
    """Return the peak of classifying a photo and then this picture, and why it was refused if it was."""
    path = write(name, folder)
    done = run("classify", "--format", "jsonl", PHOTO, str(path))
    path.unlink()
    error = json.loads(done.output.splitlines()[1])["error"]
    assert done.code == (1 if error else 0)
    return done.peak_mb, error and error["code"]


@pytest.mark.parametrize("name", [name for name in QUICK if can_write(name)])
def test_the_worst_pictures_take_less_than_300_mb(name: str, tmp_path: Path) -> None:
    taken, refused = peak(name, tmp_path)
    assert taken < LIMIT_MB
    assert bool(refused) == (name in REFUSED)


@pytest.mark.stress
def test_no_picture_takes_300_mb(tmp_path: Path) -> None:
    peaks = {name: peak(name, tmp_path) for name in (*FORMS, *BOMBS) if can_write(name)}
    over = [name for name, (taken, _) in peaks.items() if taken >= LIMIT_MB]
    assert over == []
    assert {name for name, (_, refused) in peaks.items() if refused} == REFUSED & peaks.keys()
