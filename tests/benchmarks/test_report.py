"""The report: self-contained, complete, and right in a real browser (`make stress`)."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from fmnist_bench.charts import read_training_record
from fmnist_bench.evaluate import evaluate
from fmnist_bench.evaluation_report import MISTAKES, Subject, gallery, report_html
from fmnist_bench.labelled import answer_examples, answer_split, folder_examples
from fmnist_edge import Classifier
from fmnist_edge.explain import overlay
from fmnist_edge.session import inspect_model

RECORD = Path(__file__).parents[2] / "train" / "artifacts" / "fmnist-mlp.training.json"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Tags(HTMLParser):
    """Collects tags with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))


@pytest.fixture(scope="module")
def page() -> str:
    classifier = Classifier()
    answers, record = answer_split(classifier, "test"), read_training_record(RECORD)
    return report_html(Subject("A <title> & more", answers, evaluate(answers), inspect_model(), classifier, record))


def tags_of(page: str) -> list[tuple[str, dict[str, str]]]:
    parser = Tags()
    parser.feed(page)
    return parser.tags


def test_the_page_needs_nothing_but_itself(page: str) -> None:
    tags = tags_of(page)
    sources = [value for _, given in tags for name, value in given.items() if name in ("src", "srcset", "href")]
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert "script" not in {tag for tag, _ in tags}
    assert "url(" not in page


def test_every_picture_decodes_and_has_a_text(page: str) -> None:
    tags = tags_of(page)
    pictures = [given for tag, given in tags if tag == "img"]
    assert len(pictures) == 4 + MISTAKES
    assert all(picture["alt"] for picture in pictures)
    assert sum(tag == "source" for tag, _ in tags) == 4
    for given in pictures:
        with PIL.Image.open(io.BytesIO(base64.b64decode(given["src"].partition(",")[2]))) as picture:
            picture.load()


def test_links_lead_to_sections_and_the_title_is_escaped(page: str) -> None:
    tags = tags_of(page)
    links = {given["href"][1:] for tag, given in tags if tag == "a"}
    assert links <= {given["id"] for _, given in tags if "id" in given}
    assert "<h1>A &lt;title&gt; &amp; more</h1>" in page


def test_the_table_of_the_page_sums_to_all_images(page: str) -> None:
    table = page.split('<table class="heat">')[1].split("</table>")[0]
    assert (
        sum(int(cell.replace(",", "")) for cell in re.findall(r'<td style="[^"]*"[^>]*>([\d,]+)</td>', table)) == 10_000
    )


@pytest.mark.stress
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_shows_all_pictures_without_an_error(page: str, tmp_path: Path, width: int, dark: bool) -> None:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no chromium: apt-get install chromium")
    probe = """<script>addEventListener("load", () => { const images = [...document.images];
        document.body.dataset.probe = [images.length, images.filter(i => i.complete && i.naturalWidth > 0).length,
        images.filter(i => i.getBoundingClientRect().height < 20).length,
        document.documentElement.scrollWidth <= innerWidth, matchMedia("(prefers-color-scheme: dark)").matches,
        innerWidth].join(); parent.postMessage(document.body.dataset.probe, "*") });</script>"""
    (tmp_path / "page.html").write_text(page.replace("</body>", probe + "</body>"), encoding="utf-8")
    # In a frame, since a headless window is never narrower than 500 pixels.
    (tmp_path / "index.html").write_text(
        f"""<body><iframe src="page.html" style="width: {width}px; height: 800px; border: 0"></iframe>
        <script>addEventListener("message", event => document.body.dataset.probe = event.data)</script></body>"""
    )
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--dump-dom",
        "--virtual-time-budget=10000",
    ]
    dark_options = ["--force-dark-mode"] if dark else []
    url = (tmp_path / "index.html").as_uri()
    done = subprocess.run(
        [browser, *options, *dark_options, f"--user-data-dir={tmp_path}/profile", "--window-size=1400,900", url],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr
    found = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert found
    count = str(4 + MISTAKES)
    assert found.group(1).split(",") == [count, count, "0", "true", str(dark).lower(), str(width)]


def test_a_mistake_on_a_picture_is_shown_with_its_heat_map_and_named_within_the_folder(tmp_path: Path) -> None:
    (tmp_path / "Coat").mkdir()
    picture = PIL.Image.new("RGB", (120, 90), "red")
    picture.save(tmp_path / "Coat" / "red.png")
    classifier = Classifier()
    answers = answer_examples(classifier, folder_examples(tmp_path))
    wrong = replace(answers, probabilities=np.roll(np.eye(10, dtype=np.float32)[4:5], 1, axis=1))
    (mistake,) = gallery(wrong, 3, classifier)
    assert mistake.name == os.path.join("Coat", "red.png")  # noqa: PTH118
    shown = PIL.Image.open(io.BytesIO(base64.b64decode(mistake.image.split(",")[1])))
    assert shown.size == (120, 90)
    saw = classifier.classify(tmp_path / "Coat" / "red.png").saw
    assert saw is not None
    assert np.array_equal(np.asarray(shown), np.asarray(overlay(picture, saw)))
