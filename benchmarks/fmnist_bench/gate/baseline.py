"""What is compared with: a git revision laid out beside this one, or a saved bench.json."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tomllib
from importlib.metadata import PackageNotFoundError, entry_points
from pathlib import Path
from typing import Final

import fmnist_edge
from fmnist_bench.measuring.probing import Side, laid_out
from fmnist_edge.errors import UsageError

_PACKAGE: Final = "runtime/fmnist_edge"
_ENTRY: Final = "fmnist_edge.__main__:run"


def lay_out_revision(revision: str, folder: Path) -> Side:
    """Take the runtime of a git revision into `folder`, as pip would install it.

    pip itself would copy the same files, after fetching a build backend. Raises UsageError if the current folder is
    in no git repository, the revision is unknown, or holds no runtime.
    """
    archive = _git("archive", "--format=tar", revision, _PACKAGE, "pyproject.toml", revision=revision)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    root = folder / Path(_PACKAGE).parent
    _compile(root)
    return laid_out(revision, root, project["scripts"]["fmnist-edge"])


def this_revision() -> Side:
    """Return the package that runs, started in the same way as a revision that was laid out."""
    root = Path(fmnist_edge.__file__).parents[1]
    return laid_out("this one", root, _entry())


def _entry() -> str:
    try:
        found = entry_points(group="console_scripts", name="fmnist-edge")
    except PackageNotFoundError:
        return _ENTRY
    return next((one.value for one in found), _ENTRY)


def _git(*arguments: str, revision: str) -> bytes:
    try:
        return subprocess.run(["git", *arguments], capture_output=True, check=True).stdout
    except FileNotFoundError as error:
        raise UsageError("comparing with a revision needs git; give a saved bench.json instead") from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode("utf-8", "replace").strip().splitlines()[0]
        raise UsageError(f"{revision} is no saved bench.json, and no revision with a runtime: {reason}") from error


def _compile(root: Path) -> None:
    """Compile as pip does, so that the first start is like all others."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(root)], capture_output=True, check=False)
