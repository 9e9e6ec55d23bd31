"""The kit's Node example, run as a user would: `npm install`, then `node classify.js` (`make stress`)."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from fmnist_edge import LABELS, Classifier

from .conftest import ROOT, run

pytestmark = pytest.mark.stress


@pytest.fixture(scope="module")
def installed(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kit in whose node/ folder `npm install` was run."""
    mine = shutil.copytree(kit, tmp_path_factory.mktemp("node") / "kit")
    subprocess.run(["npm", "install", "--no-audit", "--no-fund"], cwd=mine / "node", check=True)
    return mine


def node(kit: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    program = ["node", str(kit / "node" / "classify.js"), *map(str, arguments)]
    return subprocess.run(program, capture_output=True, text=True, check=False, cwd=kit.parent)


def test_the_self_test_passes(installed: Path) -> None:
    done = node(installed)
    assert (done.returncode, done.stderr, done.stdout.count("ok")) == (0, "", 2)


@pytest.mark.parametrize("name", ["images.u8", "photo-2.rgb"])
def test_the_self_test_fails_when_any_answer_differs(installed: Path, name: str) -> None:
    path = installed / "vectors" / name
    good = np.fromfile(path, np.uint8)
    np.roll(good, len(good) // 3).tofile(path)
    try:
        done = node(installed)
    finally:
        good.tofile(path)
    assert (done.returncode, "FAIL" in done.stdout, done.stdout.count("\n")) == (1, True, 2)


def labels(output: str) -> list[str]:
    return [line.rsplit(" (", 1)[0] for line in output.splitlines()]


def test_it_gives_the_labels_of_the_command_for_samples_of_both_kinds(installed: Path) -> None:
    samples = sorted([*(ROOT / "samples").rglob("*.png"), *(ROOT / "samples").rglob("*.jpg")])
    theirs, mine = labels(run("classify", *samples).stdout), labels(node(installed, *samples).stdout)
    assert len(mine) == len(theirs) == len(samples) >= 20
    assert mine[:10] == theirs[:10]  # of the dataset: the same pixels
    assert sum(a != b for a, b in zip(mine, theirs, strict=True)) <= 1  # sharp reduces otherwise than Pillow


def test_photos_get_the_labels_of_the_command(installed: Path) -> None:
    photos = sorted(Path(os.environ.get("FMNIST_PHOTOS", "/nowhere")).glob("train/*/*.jpg"))[::26]
    if not photos:
        pytest.skip("needs $FMNIST_PHOTOS")
    theirs = [LABELS[int(Classifier().classify(path).probabilities.argmax())] for path in photos]
    before = (installed / "model.json").read_bytes()
    described = json.loads(before)
    changed = {**described, "photo": {**described["photo"], "unsure_below": 0}}  # never unsure
    (installed / "model.json").write_text(json.dumps(changed))
    try:
        mine = [line.rsplit(": ", 1)[1] for line in labels(node(installed, *photos).stdout)]
    finally:
        (installed / "model.json").write_bytes(before)
    assert np.mean([a == b for a, b in zip(mine, theirs, strict=True)]) >= 0.98


def test_a_large_photo_on_its_side_gets_the_same_label(installed: Path, tmp_path: Path) -> None:
    with PIL.Image.open(next((ROOT / "samples").rglob("*.jpg"))) as photo:
        large = photo.resize((photo.width * 4, photo.height * 4)).rotate(90, expand=True)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    large.save(tmp_path / "large.jpg", exif=exif)
    theirs, mine = run("classify", tmp_path / "large.jpg").stdout, node(installed, tmp_path / "large.jpg").stdout
    assert labels(mine) == labels(theirs)


def test_a_service_of_ones_own_classifies_what_is_uploaded(installed: Path) -> None:
    """The program of the kit's README."""
    code = re.search(r"```js\n(.*?)```", (installed / "README.md").read_text(), re.DOTALL)
    assert code
    port = free_port()
    program = code[1].replace("8000", str(port)).replace("./out/", f"{installed.as_uri()}/")
    (installed.parent / "service.mjs").write_text(program)
    photo = ROOT / "samples" / "photos" / "t-shirt-2.jpg"
    with subprocess.Popen(["node", str(installed.parent / "service.mjs")]) as service:
        try:
            answers = upload(port, photo.read_bytes()), upload(port, b"no picture")
        finally:
            service.terminate()
    (status, answer), (refused, error) = answers
    assert (status, answer["label"], sorted(answer)) == (200, "T-shirt/top", ["confidence", "label"])
    assert (refused, list(error)) == (400, ["error"])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def upload(port: int, data: bytes) -> tuple[int, dict[str, object]]:
    """Post a picture, as soon as the service listens."""
    deadline = time.monotonic() + 60
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("POST", "/", data)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "the service does not listen"
            time.sleep(0.1)
        finally:
            connection.close()


def test_the_map_is_drawn_in_letters(installed: Path) -> None:
    photo = next((ROOT / "samples").rglob("*.jpg"))
    first, *rows = node(installed, "--map", photo).stdout.splitlines()
    assert first == node(installed, photo).stdout.strip()
    assert {len(row) for row in rows} == {4 + 32}


def test_what_npm_installed_stays_when_the_kit_is_made_again(installed: Path) -> None:
    before = {path: path.stat().st_ino for path in (installed / "node" / "node_modules").rglob("*") if path.is_file()}
    assert len(before) > 100
    assert run("deploy", installed).returncode == 0
    assert {path: path.stat().st_ino for path in before} == before
    assert "not part of the kit" not in run("deploy", "--check", installed).stderr
    assert node(installed).returncode == 0


def test_what_is_no_picture_is_a_line_and_the_others_go_on(installed: Path) -> None:
    done = node(installed, "missing.jpg", ROOT / "samples" / "1-trouser.png")
    assert (done.returncode, done.stdout.count("\n"), done.stderr.count("\n")) == (1, 1, 1)
    assert done.stderr.startswith("missing.jpg: error: ")
