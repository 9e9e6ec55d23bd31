"""What the README states is what the files say and what the commands print."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fmnist_edge.model_info import EMBEDDED_CLASSIFIER, read_side_json

ROOT = Path(__file__).parents[1]
ROOMS = ("runtime", "train", "convert", "benchmarks")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_states_the_figures_inside_the_shipped_file() -> None:
    metadata = read_side_json(EMBEDDED_CLASSIFIER)
    parity = metadata["test"]["optimized"]
    shipped = next(line for line in README.splitlines() if line.startswith("|") and "(shipped)" in line)
    assert [cell.strip() for cell in shipped.strip("|").split("|")][1:] == [
        f"{metadata['bytes']:,}",
        f"{parity['accuracy']:.4f}",
        f"{100 * parity['agreement']:.2f} %",
        f"{parity['max_difference']:.4f}",
    ]
    original = next(line for line in README.splitlines() if "(the original)" in line)
    assert f"| {metadata['test']['keras_accuracy']:.4f} |" in original
    assert f"{(ROOT / 'train/artifacts/fmnist-mlp.keras').stat().st_size:,}" in original


def test_the_pages_state_what_was_measured_on_pictures() -> None:
    publish = pytest.importorskip("fmnist_bench.publish")
    record = json.loads((ROOT / "docs/photos.json").read_bytes())
    table = publish.photo_table(record)
    assert table in README
    assert table in (ROOT / "docs/photos.md").read_text(encoding="utf-8")


def test_the_transcript_is_what_the_command_prints() -> None:
    script = str(Path(sys.executable).with_name("fmnist-edge"))
    block = re.search(r"^    \$ fmnist-edge classify samples/photos/s\*\.jpg\n((?:    .*\n)+)", README, re.MULTILINE)
    assert block
    commands = re.split(r"^\$ ", re.sub(r"^    ", "", block.group(0), flags=re.MULTILINE), flags=re.MULTILINE)[1:]
    assert len(commands) == 2
    for transcript in commands:
        command, expected = transcript.split("\n", 1)
        words = [str(path) for word in command.split()[1:] for path in sorted(ROOT.glob(word)) or [word]]
        arguments = [str(Path(word).relative_to(ROOT)) if word.startswith(str(ROOT)) else word for word in words]
        done = subprocess.run([script, *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout == expected


def test_the_device_example_runs_as_it_stands(tmp_path: Path) -> None:
    page = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    code = next(part for part in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "InferenceSession" in part)
    for path in (EMBEDDED_CLASSIFIER, ROOT / "samples" / "9-ankle-boot.png"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Ankle boot 0.9")


def test_every_command_of_the_table_exists() -> None:
    from fmnist_edge.cli.main import COMMANDS

    table = README.split("| command | what it does |")[1].split("\n\n")[0]
    assert set(re.findall(r"`([a-z-]+)`", table)) == set(COMMANDS)


def test_the_files_and_names_of_the_architecture_exist() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    sources = {path: path.read_text(encoding="utf-8") for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    words = set(re.findall(r"`([\w./*]+)`", page))
    files = {word for word in words if word.endswith(".py")}
    names = {word.rsplit(".", 1)[-1] for word in words - files if re.search("[A-Z_]", word) and "/" not in word}
    assert len(files) > 25
    assert len(names) > 10
    assert [name for name in files if not any(path.match(name) for path in sources)] == []
    assert [name for name in names if not any(re.search(rf"\b{name}\b", text) for text in sources.values())] == []


def test_links_lead_to_files() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if not link.startswith(("http", "../../actions"))]
    assert len(links) > 5
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_side_json_is_valid_for_other_readers() -> None:
    text = EMBEDDED_CLASSIFIER.with_suffix(".json").read_text(encoding="ascii")
    assert json.loads(text)["labels"][9] == "Ankle boot"
