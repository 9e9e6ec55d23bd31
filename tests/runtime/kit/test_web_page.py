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
import PIL.ImageOps
import pytest

from fmnist_edge import LABELS, Classifier

from .conftest import ROOT, run

pytestmark = pytest.mark.stress
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DRIVERS = Path(__file__).parent / "browser"
PICTURES = sorted((ROOT / "samples").rglob("*.jpg"))
CLOSE = 0.1  # of probabilities: browsers decode and reduce otherwise than Pillow
SAME_LABELS = 0.98  # share of the pictures


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
    """Samples, a large one on its side, one cut out, one of the dataset; a hundred photos where there are any."""
    folder = tmp_path_factory.mktemp("pictures")
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    with PIL.Image.open(PICTURES[-1]) as sample:
        large = sample.resize((sample.width * 6, sample.height * 6)).rotate(90, expand=True)
        large.save(folder / "large.jpg", exif=exif, quality=90)
        cut = sample.convert("RGBA")
        cut.putalpha(PIL.Image.radial_gradient("L").resize(sample.size).point(lambda level: 255 * (level < 128)))
        cut.save(folder / "cut.png")
    photos = sorted(Path(os.environ.get("FMNIST_PHOTOS", "/nowhere")).glob("train/*/*.jpg"))[::26]
    return [*PICTURES, folder / "large.jpg", folder / "cut.png", ROOT / "samples" / "0-t-shirt-top.png", *photos]


@pytest.fixture(scope="module")
def driven(npm: Path, web: Path, pictures: list[Path]) -> Any:
    """What came of driving the page."""
    with served(web) as (url, process):
        return drive(npm, "drive.mjs", url, process, *pictures)


def test_the_page_gives_the_answers_of_the_command_line(driven: Any, pictures: list[Path]) -> None:
    classifier = Classifier()
    same = []
    for path in pictures:
        expected, shown = classifier.classify(path), driven["dropped"][str(path)]
        best = int(expected.probabilities.argmax())
        same.append(shown["best"] == LABELS[best])
        assert abs(shown["probabilities"][best] - expected.probabilities[best]) < CLOSE, path.name
        assert abs(sum(shown["probabilities"]) - 1) < 0.006
        assert re.search(r" · took \d+ ms$", shown["detail"])
    assert np.mean(same) >= SAME_LABELS


def test_unsure_is_said_below_the_models_threshold_and_never_above_it(driven: Any, web: Path) -> None:
    threshold = json.loads((web / "model.json").read_text())["photo"]["unsure_below"]
    photos = [shown for path, shown in driven["dropped"].items() if not path.endswith("0-t-shirt-top.png")]
    for shown in photos:
        confidence = max(shown["probabilities"])
        if abs(confidence - threshold) > 0.001:  # figures on the page are rounded
            assert (shown["label"] == "unsure") == (confidence < threshold)
            assert shown["detail"].startswith(f"Best guess: {shown['best']}") == (confidence < threshold)


def test_the_map_lies_over_the_picture_in_its_shape(driven: Any, pictures: list[Path]) -> None:
    for path in pictures:
        shown = driven["dropped"][str(path)]
        with PIL.Image.open(path) as image:
            width, height = PIL.ImageOps.exif_transpose(image).size
        if (width, height) == (28, 28):
            assert shown["map"] is None  # the classifier of the dataset has none
        else:
            rows, columns = shown["map"]
            assert abs(columns / rows - width / height) < 0.05 * width / height
    assert driven["withoutMap"]["map"] is None
    assert driven["withoutMap"]["picture"]


def test_the_page_logs_nothing_and_asks_its_own_origin_alone(driven: Any) -> None:
    assert driven["seen"]["console"] == []
    assert driven["seen"]["errors"] == []
    origins = {address.split("/")[2] for address in driven["seen"]["requests"] if not address.startswith("blob:")}
    assert len(origins) == 1
    assert origins.pop().startswith("localhost:")
    assert len(driven["seen"]["requests"]) > 20


def test_the_keyboard_reaches_everything_and_pasting_works(driven: Any, pictures: list[Path]) -> None:
    assert driven["focused"] == ["camera", "choose", "Sample 1", "show-map", "test"]
    assert driven["outline"] == "solid"
    assert driven["chosen"]["label"] == driven["dropped"][str(pictures[1])]["label"]
    assert driven["sample"]["picture"]
    assert driven["pasted"]["probabilities"] == driven["dropped"][str(pictures[0])]["probabilities"]


def test_the_self_test_passes_in_the_browser(driven: Any) -> None:
    assert re.match(r"All as measured\. \d\d pictures: 0 labels differ", driven["verdict"])


def test_what_is_no_picture_is_said_so_and_nothing_of_the_picture_before_stays(driven: Any) -> None:
    text = driven["text"]
    assert text["label"] == "That did not work"
    assert "notes.txt is no picture" in text["detail"]
    assert text["probabilities"] == [None] * 10
    assert (text.get("best"), text["picture"], text["map"]) == (None, False, None)


def test_it_works_without_a_network_once_loaded(driven: Any, pictures: list[Path]) -> None:
    assert driven["offline"]["probabilities"] == driven["dropped"][str(pictures[0])]["probabilities"]
    assert driven["secondTab"] == "Which garment is it?"


def test_a_screen_reader_finds_names_for_all_and_hears_the_answer(driven: Any) -> None:
    for line in ('button "Live camera"', 'button "Choose a picture"', 'group "Sample pictures"', 'button "Sample 5"'):
        assert line in driven["tree"]
    after = driven["treeAfter"]
    assert 'img "Your picture, with what the answer rests on coloured"' in after
    assert 'list "Probability of each class"' in after
    assert all(label in after for label in LABELS)
    status = after.split("status:")[1].split("list")[0]
    assert "took" in status


@pytest.fixture(scope="module")
def camera_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample as a camera would give it: Y4M, 640x480, three equal frames, 30 a second."""
    with PIL.Image.open(PICTURES[-1]) as sample:
        fitted = PIL.ImageOps.fit(sample.convert("RGB"), (640, 480)).convert("YCbCr")
    light, blue, red = (np.asarray(channel) for channel in fitted.split())
    frame = b"FRAME\n" + light.tobytes() + blue[::2, ::2].tobytes() + red[::2, ::2].tobytes()
    path = tmp_path_factory.mktemp("camera") / "camera.y4m"
    path.write_bytes(b"YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420jpeg\n" + 3 * frame)
    return path


def test_it_fits_phones_and_desktop_in_light_and_dark(npm: Path, web: Path, camera_file: Path, tmp_path: Path) -> None:
    with served(web) as (url, _):
        looks = drive(npm, "look.mjs", url, PICTURES[-1], camera_file, tmp_path)
    assert len(looks) == 4 * 2 * 4 == len(list(tmp_path.glob("*.png")))
    for name, look in looks.items():
        assert (look["overflow"], look["outside"], look["cut"]) == (0, 0, []), name
        assert look["labelBottom"] < look["visibleBottom"], name
        assert look["smallestButton"] >= 44, name  # of a finger: WCAG 2.5.5
        assert look["worst"][0] >= 4.5, look["worst"]  # WCAG 1.4.3
        if name.endswith("live"):
            assert look["barsBottom"] <= look["visibleBottom"], name


@pytest.fixture(scope="module")
def filmed(npm: Path, web: Path, camera_file: Path) -> Any:
    """What the page shows of cameras."""
    with served(web) as (url, _):
        return drive(npm, "camera.mjs", url, camera_file)


def test_the_live_camera_shows_label_bars_and_map_over_the_video(filmed: Any) -> None:
    live = filmed["live"]
    assert live["shown"] == ["video", "map", "label", "bars", "still", "stop", "torch"]
    assert live["covers"]
    assert live["rate"] > 0  # `make page-figure` prints it; a busy machine turns no test red
    assert filmed["errors"] == []
    assert filmed["stopped"] is None


def test_a_tap_keeps_a_still_and_ends_the_camera(filmed: Any) -> None:
    assert filmed["still"]["picture"]
    assert filmed["still"]["map"] == [48, 64]
    assert filmed["cameraAfterStill"] is None
    if filmed["live"]["label"] != "unsure":
        assert filmed["still"]["label"] == filmed["live"]["label"]


def test_torch_and_choice_of_cameras_are_there_where_the_browser_has_them(filmed: Any) -> None:
    assert filmed["torch"] == ["true", {"advanced": [{"torch": True}]}]
    assert filmed["cameras"] == ["fake_device_0", "fake_device_1"]
    assert (filmed["first"], filmed["second"]) == ("fake_device_0", "fake_device_1")


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        ("NotAllowedError", "allow it in the site settings"),
        ("NotFoundError", "choose a picture instead"),
        ("NotReadableError", "Another program uses the camera"),
        ("http", "https or localhost"),
    ],
)
def test_without_a_camera_one_line_says_what_to_do(filmed: Any, refusal: str, advice: str) -> None:
    shown = filmed["without"][refusal]
    assert shown["label"] == "No camera"
    assert advice in shown["detail"]


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
