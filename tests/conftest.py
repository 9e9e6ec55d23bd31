"""All temporary files of the tests, and of the programs that they start, go into one folder, which goes at the end."""

from __future__ import annotations

import os
import shutil
import tempfile

import hypothesis
import pytest

# On a busy machine any example may be slow, which says nothing of the code.
hypothesis.settings.register_profile(
    "any speed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any speed")

os.environ["TERM"] = "xterm-256color"  # the tests' terminals are of this kind, whoever starts the tests

_FOLDER = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):  # a process of pytest-xdist, which inherits the folder of the first one
        return
    config.stash[_FOLDER] = tempfile.tempdir = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="fmnist-edge-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if folder := config.stash.get(_FOLDER, None):
        shutil.rmtree(folder, ignore_errors=True)
