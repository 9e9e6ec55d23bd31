"""The kit's web page in a real browser: headless Chromium through playwright-core (`make stress`)."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from fmnist_edge import LABELS, Classifier
from fmnist_edge.batch import shown_label

from .conftest import ROOT, run

pytestmark = pytest.mark.stress
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DRIVERS = Path(__file__).parent / "browser"
SCENES = sorted((ROOT / "samples" / "scenes").glob("*.jpg"))
CLOSE = 0.02  # of probabilities: browsers decode JPEG otherwise than Pillow


@pytest.fixture(scope="module")
def web(npm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The web folder of a kit with the runtime of the npm package."""
    folder = tmp_path_factory.mktemp("web") / "kit"
    done = run("deploy", folder, "--web-runtime", npm / "onnxruntime-web")
    assert done.returncode == 0, done.stderr
    assert run("deploy", "--check", folder).returncode == 0
    return folder / "web"


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, int]]:
    """Serve a folder as the kit's README says; yields the address and the server's process number."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        try:
            yield f"http://localhost:{port}/", server.pid
        finally:
            server.terminate()


def drive(npm: Path, driver: str, *arguments: object) -> Any:
    """Run a driver with node; return what it printed as JSON."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    assert browser, "no chromium: apt-get install chromium"
    environment = {**os.environ, "CHROMIUM": browser, "NODE_MODULES": str(npm)}
    command = ["node", str(DRIVERS / driver), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Drawn scenes, a large one on its side, one cut out, one of the dataset; photos where there are any."""
    folder = tmp_path_factory.mktemp("pictures")
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    with PIL.Image.open(SCENES[7]) as scene:
        large = scene.resize((scene.width * 10, scene.height * 10)).rotate(90, expand=True)
        large.save(folder / "large.jpg", exif=exif, quality=90)
        cut = scene.convert("RGBA")
        cut.putalpha(PIL.Image.radial_gradient("L").resize(scene.size).point(lambda level: 255 * (level < 128)))
        cut.save(folder / "cut.png")
    photos = sorted(Path(os.environ.get("FMNIST_PHOTOS", "/nowhere")).glob("train/*/*.jpg"))[::250]
    return [*SCENES, folder / "large.jpg", folder / "cut.png", ROOT / "samples" / "0-t-shirt-top.png", *photos]


@pytest.fixture(scope="module")
def driven(npm: Path, web: Path, pictures: list[Path]) -> Any:
    """What came of driving the page."""
    with served(web) as (url, process):
        return drive(npm, "drive.mjs", url, process, *pictures)


def test_the_page_gives_the_answers_of_the_command_line(driven: Any, pictures: list[Path]) -> None:
    classifier = Classifier(route="photo")
    for path in pictures:
        expected, shown = classifier.classify(path), driven["dropped"][str(path)]
        assert shown["label"] == shown_label(expected), path.name
        assert shown["best"] == expected.label
        np.testing.assert_allclose(shown["probabilities"], expected.probabilities, atol=CLOSE, err_msg=path.name)
        assert expected.image is not None
        assert np.abs(np.array(shown["seen"], int).reshape(28, 28) - expected.image).mean() < 2
        assert re.search(r"· took \d+ ms$", shown["detail"])


def test_the_page_logs_nothing_and_asks_its_own_origin_alone(driven: Any) -> None:
    assert driven["seen"]["console"] == []
    assert driven["seen"]["errors"] == []
    origins = {address.split("/")[2] for address in driven["seen"]["requests"] if not address.startswith("blob:")}
    assert len(origins) == 1
    assert origins.pop().startswith("localhost:")
    assert len(driven["seen"]["requests"]) > 20


def test_the_keyboard_reaches_everything_and_pasting_works(driven: Any, pictures: list[Path]) -> None:
    assert driven["focused"] == ["choose", "Sample 1", "test"]
    assert driven["outline"] == "solid"
    assert driven["chosen"]["label"] == driven["dropped"][str(pictures[1])]["label"]
    assert driven["sample"]["label"] == "T-shirt/top"
    assert driven["pasted"]["label"] == driven["dropped"][str(pictures[0])]["label"]


def test_the_self_test_passes_in_the_browser(driven: Any) -> None:
    assert driven["verdict"].startswith("All as measured. 6 pictures: 0 labels differ")


def test_what_is_no_picture_is_said_so(driven: Any) -> None:
    assert driven["text"]["label"] == "That did not work"
    assert "notes.txt is no picture" in driven["text"]["detail"]


def test_it_works_without_a_network_once_loaded(driven: Any, pictures: list[Path]) -> None:
    assert driven["offline"]["probabilities"] == driven["dropped"][str(pictures[0])]["probabilities"]
    assert driven["secondTab"] == "Which garment is it?"


def test_a_screen_reader_finds_names_for_all_and_hears_the_answer(driven: Any) -> None:
    for line in ('button "Choose a picture"', 'group "Drawn sample pictures"', 'button "Sample 5"', "status:"):
        assert line in driven["tree"]
    after = driven["treeAfter"]
    assert 'img "Your picture, with the outline of what the model found"' in after
    assert 'img "What the model saw: the garment in 28 by 28 grey pixels"' in after
    assert 'list "Probability of each class"' in after
    assert all(label in after for label in LABELS)
    status = after.split("status:")[1].split("figure")[0]
    assert "T-shirt/top" in status
    assert "took" in status


def test_it_fits_phone_and_desktop_in_light_and_dark(npm: Path, web: Path, tmp_path: Path) -> None:
    with served(web) as (url, _):
        looks = drive(npm, "look.mjs", url, SCENES[7], tmp_path)
    assert set(looks) == {f"{size} {scheme}" for size in ("phone", "desktop") for scheme in ("light", "dark")}
    for name, look in looks.items():
        assert look["overflow"] <= 0
        assert look["narrow"] <= 320
        assert look["labelBottom"] < look["height"] * 0.8, name
        assert look["smallestButton"] >= 44, name  # of a finger: WCAG 2.5.5
        assert look["worst"][0] >= 4.5, look["worst"]  # WCAG 1.4.3
        assert look["camera"] == ("environment" if name.startswith("phone") else False)
    assert len(list(tmp_path.glob("*.png"))) == 8


def test_a_page_without_its_runtime_or_opened_as_a_file_says_what_to_do(npm: Path, kit: Path) -> None:
    with served(kit / "web") as (url, _):
        assert "the folder ort/ is missing" in drive(npm, "broken.mjs", url)["detail"]
    assert "python3 -m http.server" in drive(npm, "broken.mjs", (kit / "web" / "index.html").as_uri())["detail"]


def test_a_new_kit_reaches_a_browser_that_keeps_the_old_one(npm: Path, web: Path, tmp_path: Path) -> None:
    """The second load still shows the old kit whole; once its tabs are gone, the new one is there, whole."""
    mine = shutil.copytree(web, tmp_path / "web")
    with served(mine) as (url, _):
        new = tmp_path / "new"
        assert run("deploy", new, "--web-runtime", npm / "onnxruntime-web").returncode == 0
        page = new / "web" / "index.html"
        page.write_text(page.read_text().replace("Which garment is it?</h1>", "New</h1>"))
        worker = new / "web" / "service-worker.js"
        old, digest = (
            base64.b64encode(sha256(path.read_bytes()).digest()).decode() for path in (mine / "index.html", page)
        )
        worker.write_text(worker.read_text().replace(old, digest).replace('"version": "', '"version": "new'))
        found = drive(npm, "update.mjs", url, mine, new / "web")
    old_title = "Which garment is it?"
    assert found == {"before": old_title, "during": old_title, "newWorker": "installed", "after": "New", "caches": 1}
