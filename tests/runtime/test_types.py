"""The Python interface as its users read it: type hints in an editor, and the reference page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("user_program.py")
WRONG = """
from fmnist_edge import Classifier

Classifier(route="foo")
print(Classifier().classify(7))
print(Classifier().classify("shirt.png").labell)
"""
CHECKERS = {
    "mypy": ["-m", "mypy", "--strict", "--no-error-summary"],
    "pyright": ["-m", "basedpyright", "--level", "error", "--pythonpath", sys.executable],
}


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_users_program_passes_and_a_wrong_one_does_not(checker: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text(WRONG)
    command = [sys.executable, *CHECKERS[checker], PROGRAM, wrong]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    errors = [line for line in done.stdout.splitlines() if re.search(r":\d+(:\d+)?( -)?:? error", line)]
    assert {Path(line.split(":")[0].strip()).name for line in errors} == {"wrong.py"}, done.stdout
    assert {int(line.split(":")[1]) for line in errors} == {4, 5, 6}


def test_the_reference_of_the_python_interface_is_up_to_date() -> None:
    script = Path(__file__).parents[2] / "docs" / "make_api.py"
    assert subprocess.run([sys.executable, script, "--check"]).returncode == 0, f"run python {script}"
